//! Work that a request starts elsewhere and that belongs to it all the same.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use appweight_wire::Kind;
use pin_project_lite::pin_project;
use tokio::task::JoinHandle;

use crate::core::Core;
use crate::facts;
use crate::measurement::{Entered, Finished, Measurement, Share};

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
    /// Of children that have ended.
    share: Share,
    /// The request itself, once it has ended.
    finished: Option<Finished>,
}

impl Family {
    pub(crate) fn new(core: &'static Core, whose: (Kind, u32)) -> Arc<Self> {
        Arc::new(Self {
            core,
            whose,
            shared: Mutex::new(Shared {
                share: Share::NONE,
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
        if let Some(finished) = shared.finished.take() {
            finished.count(mem::replace(&mut shared.share, Share::NONE));
        }
    }
}

/// What one child uses until it ends.
struct Charge {
    family: Arc<Family>,
    measurement: Option<Box<Measurement>>,
}

impl Charge {
    /// Of a child of what runs here.
    fn new(family: Arc<Family>) -> Self {
        let measurement = Measurement::of_child(family.core, Arc::clone(&family));
        Self {
            family,
            measurement: Some(measurement),
        }
    }

    fn enter(&mut self) -> Option<Entered<'_>> {
        Entered::new(&mut self.measurement)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if let Some(measurement) = self.measurement.take() {
            self.family.lock().share.add(measurement);
        }
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
