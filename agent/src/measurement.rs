//! One request or task while it runs: entered at the start of every poll, left at its end.

use std::sync::Arc;
use std::time::Instant;

use appweight_wire::{Age, InstructionSource, Kind, RequestRecord};
use axum::extract::MatchedPath;

use crate::core::Core;
use crate::counters::Reading;
use crate::facts::{self, Facts};
use crate::shard::Ended;
use crate::usage::Usage;

/// The name of what is measured, kept without a copy where possible.
#[derive(Debug)]
pub(crate) enum Name {
    Route(MatchedPath),
    Static(&'static str),
    Owned(String),
}

impl Name {
    fn as_str(&self) -> &str {
        match self {
            Self::Route(path) => path.as_str(),
            Self::Static(name) => name,
            Self::Owned(name) => name,
        }
    }
}

/// How it ended.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Outcome {
    pub(crate) status: Option<u16>,
    pub(crate) error: bool,
}

impl Outcome {
    /// A panic, or the future was dropped before its end.
    pub(crate) const UNFINISHED: Self = Self {
        status: None,
        error: true,
    };
    /// A task that came to its end.
    pub(crate) const DONE: Self = Self {
        status: None,
        error: false,
    };

    pub(crate) fn of_status(status: http::StatusCode) -> Self {
        Self {
            status: Some(status.as_u16()),
            error: status.is_server_error(),
        }
    }
}

/// A request or task that runs. Whoever holds it finishes it, once.
#[derive(Debug)]
pub(crate) struct Measurement {
    core: Arc<Core>,
    kind: Kind,
    name: Name,
    begun: Instant,
    age: Age,
    usage: Usage,
    facts: Option<Facts>,
    user: Option<u64>,
    polls: u64,
    thread_hops: u64,
    thread: Option<u64>,
    record: Option<Box<Recorded>>,
}

/// What is gathered only for the one request in N that is recorded.
#[derive(Debug)]
struct Recorded {
    start_us: u64,
    method: Option<http::Method>,
    rss_start_bytes: Option<u64>,
}

impl Measurement {
    pub(crate) fn begin(core: &Arc<Core>, kind: Kind, name: Name) -> Self {
        Self::begin_with(core, kind, name, None, None)
    }

    pub(crate) fn begin_with(
        core: &Arc<Core>,
        kind: Kind,
        name: Name,
        method: Option<&http::Method>,
        user: Option<u64>,
    ) -> Self {
        let record = core.choose_to_record().then(|| {
            Box::new(Recorded {
                start_us: core.now_us(),
                method: method.cloned(),
                rss_start_bytes: core.counters().rss_bytes(),
            })
        });
        Self {
            core: Arc::clone(core),
            kind,
            name,
            begun: Instant::now(),
            age: core.age(),
            usage: Usage::new(),
            facts: Some(Facts {
                with_downstream: record.is_some(),
                ..Facts::default()
            }),
            user,
            polls: 0,
            thread_hops: 0,
            thread: None,
            record,
        }
    }

    /// Begins a stretch of work on this thread, which lasts until the guard is dropped: also by a
    /// panic.
    pub(crate) fn enter(&mut self) -> Entered<'_> {
        let outer = facts::swap(self.facts.take());
        let before = self.core.counters().read_thread();
        Entered {
            measurement: self,
            outer,
            before,
        }
    }

    /// As [`Measurement::enter`], counted as a poll.
    pub(crate) fn enter_poll(&mut self) -> Entered<'_> {
        let thread = current_thread();
        self.polls += 1;
        if self.thread.is_some_and(|before| before != thread) {
            self.thread_hops += 1;
        }
        self.thread = Some(thread);
        self.enter()
    }

    /// Counts it, and records it if it was chosen.
    pub(crate) fn finish(self, outcome: Outcome) {
        let wall_ns = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let facts = self.facts.unwrap_or_default();
        let core = self.core;
        let ended = Ended {
            kind: self.kind,
            endpoint: self.name.as_str(),
            end_us: core.now_us(),
            wall_ns,
            usage: self.usage,
            error: outcome.error,
            age: self.age,
            flags: &facts.flags,
            user: self.user,
        };
        let source = core.counters().instruction_source();
        let (polls, thread_hops) = (self.polls, self.thread_hops);
        let rest = self.record.map(|recorded| RequestRecord {
            kind: ended.kind,
            start_us: recorded.start_us,
            method: recorded
                .method
                .map(|method| crate::names::clean(method.as_str()).into_owned()),
            status: outcome.status,
            error: outcome.error,
            weight: core.record_one_in(),
            age: ended.age,
            instructions: ended.usage.instructions(),
            instruction_source: if ended.usage.instructions().is_some() {
                source
            } else {
                InstructionSource::None
            },
            scaled: ended.usage.scaled(),
            cpu_ns: ended.usage.cpu_ns(),
            wall_ns,
            rss_start_bytes: recorded.rss_start_bytes,
            rss_end_bytes: core.counters().rss_bytes(),
            flags: facts.flags.clone(),
            downstream: facts.downstream,
            polls,
            thread_hops,
            ..RequestRecord::default()
        });
        core.count(&ended, rest);
    }
}

/// Counts what it holds as unfinished if a panic drops it.
pub(crate) struct Guarded(Option<Measurement>);

impl Guarded {
    pub(crate) fn new(measurement: Measurement) -> Self {
        Self(Some(measurement))
    }

    /// Does work that is charged to the measurement.
    pub(crate) fn run<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let _entered = self.0.as_mut().map(Measurement::enter);
        work()
    }

    /// Takes it out: from here on somebody else finishes it.
    pub(crate) fn release(mut self) -> Option<Measurement> {
        self.0.take()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(measurement) = self.0.take() {
            measurement.finish(Outcome::UNFINISHED);
        }
    }
}

/// A stretch of work that is charged to its measurement.
pub(crate) struct Entered<'a> {
    measurement: &'a mut Measurement,
    outer: Option<Facts>,
    before: Reading,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let after = self.measurement.core.counters().read_thread();
        self.measurement.usage.add(self.before, after);
        self.measurement.facts = facts::swap(self.outer.take());
    }
}

/// A number of the calling thread that no other thread of the process ever has.
fn current_thread() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static THREADS: AtomicU64 = AtomicU64::new(1);
    thread_local! {
        static ID: u64 = THREADS.fetch_add(1, Ordering::Relaxed);
    }
    ID.try_with(|id| *id).unwrap_or(0)
}
