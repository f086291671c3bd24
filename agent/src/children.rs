//! Work that a request starts elsewhere and that belongs to it all the same.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use appweight_wire::Kind;
use pin_project_lite::pin_project;
use tokio::task::JoinHandle;

use crate::core::Core;
use crate::facts::{self, Facts};
use crate::measurement::Finished;
use crate::outside;
use crate::profiled::{Outer, Profiled};
use crate::usage::Usage;

/// Spawns a future whose work is charged to the current request or task, as
/// [`tokio::spawn`] does.
///
/// The request is counted once its last child has ended, with its own wall time and the work of
/// all. Flags and downstreams that a child tells are the request's. Without a current request this
/// is `tokio::spawn`.
///
/// ```
/// # async fn resize(_photo: Vec<u8>, _width: u32) {}
/// # async fn handler(photo: Vec<u8>) {
/// let small = appweight_agent::spawn(resize(photo.clone(), 150));
/// let large = appweight_agent::spawn(resize(photo, 1080));
/// let _ = tokio::join!(small, large);
/// # }
/// ```
///
/// # Panics
/// Outside of a tokio runtime.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    match facts::family() {
        Some(family) => tokio::spawn(Child {
            future: Some(future),
            charge: Charge::new(family),
        }),
        None => tokio::spawn(future),
    }
}

/// Runs work on the pool for blocking work, charged to the current request or task; otherwise as
/// [`tokio::task::spawn_blocking`]. See [`spawn`].
///
/// # Panics
/// Outside of a tokio runtime.
pub fn spawn_blocking<F, T>(work: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    match facts::family() {
        Some(family) => {
            let mut charge = Charge::new(family);
            tokio::task::spawn_blocking(move || {
                let _entered = charge.enter();
                work()
            })
        }
        None => tokio::task::spawn_blocking(work),
    }
}

/// A request's children. Each of them holds it, and the request until it ends: whoever drops it
/// last counts the request.
#[derive(Debug)]
pub(crate) struct Family {
    core: &'static Core,
    /// The request's kind and its endpoint's number.
    whose: (Kind, u32),
    shared: Mutex<Shared>,
}

#[derive(Debug)]
struct Shared {
    usage: Usage,
    facts: Facts,
    /// Of children that have ended, if the request is profiled.
    profiles: Vec<Profiled>,
    /// The request itself, once it has ended.
    finished: Option<Finished>,
}

impl Family {
    pub(crate) fn new(core: &'static Core, whose: (Kind, u32)) -> Arc<Self> {
        Arc::new(Self {
            core,
            whose,
            shared: Mutex::new(Shared {
                usage: Usage::new(),
                facts: Facts::default(),
                profiles: Vec::new(),
                finished: None,
            }),
        })
    }

    pub(crate) fn whose(&self) -> (Kind, u32) {
        self.whose
    }

    /// The request has ended; it is counted when its last child has.
    pub(crate) fn leave(self: Arc<Self>, finished: Finished) {
        self.lock().finished = Some(finished);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        let shared = self
            .shared
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(mut finished) = shared.finished.take() {
            let facts = std::mem::take(&mut shared.facts);
            finished.add(shared.usage, facts, &shared.profiles);
            finished.count();
        }
    }
}

/// What one child uses until it ends.
struct Charge {
    family: Arc<Family>,
    usage: Usage,
    facts: Option<Facts>,
    profiled: Option<Box<Profiled>>,
}

impl Charge {
    /// Of a child of what runs here.
    fn new(family: Arc<Family>) -> Self {
        let profiled = Profiled::of_child(family.core);
        let facts = Some(Facts::of_child(family.core, Arc::clone(&family)));
        Self {
            family,
            usage: Usage::new(),
            facts,
            profiled,
        }
    }

    fn enter(&mut self) -> Entered<'_> {
        let outer = facts::swap(self.facts.take());
        let before = self.family.core.counters().read_thread();
        let outer_profile = Profiled::enter(&mut self.profiled);
        Entered {
            charge: self,
            outer,
            outer_profile,
            before,
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let mut shared = self.family.lock();
        shared.usage.join(self.usage);
        if let Some(facts) = self.facts.take() {
            shared.facts.join(facts);
        }
        shared
            .profiles
            .extend(self.profiled.take().map(|profiled| *profiled));
    }
}

struct Entered<'a> {
    charge: &'a mut Charge,
    outer: Option<Facts>,
    outer_profile: Outer,
    before: crate::counters::Reading,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        Profiled::leave(&mut self.charge.profiled, self.outer_profile.take());
        let after = self.charge.family.core.counters().read_thread();
        if self.outer.is_none() {
            outside::leave(self.before.now.cpu_ns(), after.now.cpu_ns());
        }
        self.charge.usage.add(&self.before, &after);
        self.charge.facts = facts::swap(self.outer.take());
    }
}

pin_project! {
    /// A future that is charged to the request that spawned it.
    struct Child<F> {
        // Taken out to be dropped inside the measurement, so that its drop is charged too.
        #[pin]
        future: Option<F>,
        charge: Charge,
    }

    impl<F> PinnedDrop for Child<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _entered = this.charge.enter();
            this.future.set(None);
        }
    }
}

impl<F: Future> Future for Child<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let _entered = this.charge.enter();
        let polled = this
            .future
            .as_mut()
            .as_pin_mut()
            .expect("a future is not polled after its end")
            .poll(context);
        if polled.is_ready() {
            this.future.set(None);
        }
        polled
    }
}
