use std::borrow::Cow;
use std::future::Future;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use appweight_wire::Kind;

use crate::core::Core;
use crate::measured::{End, Measured};
use crate::measurement::{Guarded, Measurement, Outcome};
use crate::totals::get;
use crate::{AgentBuilder, AgentLayer, AgentStatus, collect, fork, sampling, ship, usage};

/// How long the drop of the last handle may wait for the collector.
const DROP_WAIT: Duration = Duration::from_secs(1);
/// Of the time of a shutdown so much is kept back at most to write what is left to the spool.
const SPOOL_WAIT: Duration = Duration::from_millis(500);

/// A handle to the agent of a service; clones are handles to the same.
///
/// Layers are handles too, and so are the services that they make; the clones of a service are not, so
/// keep one of the others for as long as it serves, as routers do. When the last one is dropped, what was counted is
/// sent, for at most a second; [`Agent::shutdown`] does the same with a deadline of one's own.
#[derive(Debug, Clone)]
pub struct Agent {
    running: Option<Arc<Running>>,
}

#[derive(Debug)]
struct Running {
    core: &'static Core,
}

impl Drop for Running {
    fn drop(&mut self) {
        // After a shutdown everybody has waited long enough.
        if let Some(core) = self.core.here()
            && core.stop.send_until().is_none()
        {
            end(core, DROP_WAIT);
        }
    }
}

impl Agent {
    /// Sets an agent up.
    pub fn builder() -> AgentBuilder {
        AgentBuilder::default()
    }

    /// Starts an agent that is set up by its environment alone; see [`AgentBuilder`] for the
    /// variables.
    #[must_use = "the agent ends when its last handle is dropped"]
    pub fn from_env(service: &str) -> Self {
        Self::builder().service(service).start()
    }

    /// An agent that does nothing.
    #[must_use]
    pub fn disabled() -> Self {
        Self { running: None }
    }

    pub(crate) fn run(core: &'static Core) -> Self {
        fork::watch();
        start_threads(core);
        // Without threads it is switched off and measures nothing.
        Self {
            running: Some(Arc::new(Running { core })),
        }
    }

    /// What is shared, while requests are measured.
    pub(crate) fn core(&self) -> Option<&'static Core> {
        measuring(self.of_start()?)
    }

    /// The same of the process that started it, whatever has become of it.
    pub(crate) fn of_start(&self) -> Option<&'static Core> {
        Some(self.running.as_ref()?.core)
    }

    /// The layer that measures the requests of axum and of any other tower service of
    /// `http::Request`s. Put it outside of what is to be charged to a request.
    ///
    /// A request is charged for its own polls: the thread's CPU time and instructions while its
    /// future runs, whichever threads run it and whatever else runs between. Work that a handler
    /// starts elsewhere is charged to it if it is started with [`crate::spawn`] or
    /// [`crate::spawn_blocking`]; with tokio's own it is not, unless it is measured as a task. A response body that is streamed is
    /// charged to its request too, which is counted when the stream ends; see [`crate::MeasureBody`].
    #[must_use]
    pub fn layer(&self) -> AgentLayer {
        AgentLayer::new(self.clone())
    }

    /// Does work that no client waits for, and counts it as a task. A panic is counted as an
    /// error and goes on.
    ///
    /// What is measured inside of something else that is measured is charged to both, and its flags
    /// and downstreams belong to the inner one alone.
    pub fn measure<N, T>(&self, name: N, work: impl FnOnce() -> T) -> T
    where
        N: Into<Cow<'static, str>>,
    {
        let Some(core) = self.core() else {
            return work();
        };
        let mut task = Guarded::new(Measurement::begin(
            core,
            Kind::Task,
            &name.into(),
            None,
            None,
        ));
        let entered = task.enter();
        let output = work();
        drop(entered);
        if let Some(task) = task.release() {
            task.finish(Outcome::DONE);
        }
        output
    }

    /// As [`Agent::measure`], for a future: it is charged for its own polls, from the first on.
    /// Dropped before its end it counts as an error.
    pub fn measure_future<N, F>(
        &self,
        name: N,
        future: F,
    ) -> impl Future<Output = F::Output> + use<N, F>
    where
        N: Into<Cow<'static, str>>,
        F: Future,
    {
        let agent = self.clone();
        let name = name.into();
        async move {
            let begun = agent
                .core()
                .map(|core| Measurement::begin(core, Kind::Task, &name, None, None));
            // A task that runs for ever does not keep the agent from ending.
            drop(agent);
            Measured::<F, OfTask>::new(future, begun).await
        }
    }

    /// Sends what was counted, measures nothing from then on, and waits for the collector at most
    /// that long. What could not be sent goes to the spool, if there is one. Says whether nothing was
    /// lost; what was is counted in [`AgentStatus::dropped`].
    ///
    /// Blocks the thread: in async code call it when the server has ended, or from
    /// `spawn_blocking`.
    ///
    /// Requests that are still open, and streams that are still sent, are not among what was counted, but for the spans of
    /// streams that are over: let the server end first.
    ///
    /// After a fork it ends the agent of the process that calls it.
    pub fn shutdown(&self, wait: Duration) -> bool {
        let Some(running) = &self.running else {
            return true;
        };
        match running.core.here() {
            Some(core) => end(core, wait),
            None => {
                // A child that has counted nothing, and shall not begin to.
                running.core.switch_off();
                true
            }
        }
    }

    /// What the agent counts with, and what it did so far in this process.
    #[must_use]
    pub fn status(&self) -> AgentStatus {
        let Some(running) = &self.running else {
            return AgentStatus::default();
        };
        let Some(core) = running.core.here() else {
            // A child that has counted nothing yet.
            return AgentStatus {
                enabled: running.core.is_switched_on(),
                ..AgentStatus::default()
            };
        };
        let _held = core.totals.hold();
        let (cells, unflushed) = core.shards().look(core.spans(), core.endpoints());
        let totals = &core.totals;
        let (clock_checks, clock_disagreements) = core.counters().clock_checks();
        AgentStatus {
            enabled: core.is_on(),
            counters: core.counters().statuses(),
            thins: core.thinning().thins(),
            clock_checks,
            clock_disagreements,
            impossible_differences: usage::impossible_differences(),
            requests: get(&totals.requests) + unflushed.requests,
            tasks: get(&totals.tasks) + unflushed.tasks,
            cells,
            sent: get(&totals.sent_records),
            sent_batches: get(&totals.sent_batches),
            sent_bytes: get(&totals.sent_bytes),
            queued_bytes: core.queue.bytes() as u64,
            spooled_batches: get(&totals.spooled_batches),
            spooled_bytes: get(&totals.spooled_bytes),
            spool_unreadable: get(&totals.spool_unreadable),
            retries: get(&totals.retries),
            dropped: get(&totals.dropped) + unflushed.dropped,
            dropped_requests: get(&totals.dropped_requests),
            other_endpoint: get(&totals.other_endpoint) + unflushed.other_endpoint,
            uncounted_flags: get(&totals.uncounted_flags) + unflushed.uncounted_flags,
            sampling: core.sampling().status(),
        }
    }
}

/// What is shared in this process by the handles to an agent, while requests are measured.
#[inline]
pub(crate) fn measuring(mut core: &'static Core) -> Option<&'static Core> {
    if core.is_inherited() {
        core = core.after_fork(start_threads)?;
    }
    core.is_switched_on().then_some(core)
}

/// Starts what collects and ships.
fn start_threads(core: &'static Core) {
    // Every one of them, so that what the agent costs is told.
    let spawn = |name: &str, run: fn(&Core)| {
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || core.totals.own_threads.run(|| run(core)))
    };
    let spawned =
        spawn("appweight-ship", ship::run).and_then(|_| spawn("appweight-agent", collect::run));
    if let Err(error) = spawned {
        tracing::error!("AppWeight: no thread can be started ({error}); nothing is measured");
        core.switch_off();
        core.stop.ask(Instant::now());
        core.queue.close();
        core.stop.mark_ended();
        return;
    }
    let sampling = core.sampling();
    let mut started = Ok(());
    if sampling.is_wanted() || core.settings().sample_allocations > 0 {
        started = spawn("appweight-names", sampling::name_functions).map(drop);
    }
    if started.is_ok() && sampling.wants_stacks() {
        started = spawn("appweight-rings", sampling::make_room).map(drop);
    }
    if let Err(error) = started {
        tracing::warn!("AppWeight: nothing is sampled: no thread can be started ({error})");
    }
}

fn end(core: &Core, wait: Duration) -> bool {
    let dropped = get(&core.totals.dropped);
    core.switch_off();
    let deadline = Instant::now() + wait;
    let for_spool = match core.settings().spool {
        Some(_) => (wait / 4).min(SPOOL_WAIT),
        None => Duration::ZERO,
    };
    core.stop.ask(deadline - for_spool);
    if !core.stop.wait_for_end(deadline) {
        // The thread that sends may hang in one last attempt: what waits behind it is lost already,
        // unless it is being written to the spool.
        if core.settings().spool.is_none() {
            core.totals.lose(core.queue.clear());
        }
        return false;
    }
    get(&core.totals.dropped) == dropped
}

struct OfTask;

impl<T> End<T> for OfTask {
    fn outcome(_: &T) -> Outcome {
        Outcome::DONE
    }
}
