//! One request or task while it runs: entered at the start of every poll, left at its end.

use std::time::Instant;

use appweight_wire::{Age, InstructionSource, Kind, RequestRecord};

use crate::core::Core;
use crate::counters::Reading;
use crate::facts::{self, Facts, Gathered};
use crate::names::clean;
use crate::outside;
use crate::shard::Ended;
use crate::usage::Usage;

/// How it ended.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Outcome {
    pub(crate) status: Option<u16>,
    pub(crate) error: bool,
}

impl Outcome {
    /// Nothing was answered: the future was dropped before its end, or gave an error.
    pub(crate) const UNFINISHED: Self = Self {
        status: None,
        error: true,
    };
    /// A request whose handler panicked: whoever catches it answers so, if anything can be.
    const PANICKED: Self = Self {
        status: Some(500),
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
    core: &'static Core,
    kind: Kind,
    age: Age,
    /// Its endpoint's number.
    endpoint: u32,
    /// How many it stands for.
    weight: u32,
    begun: Instant,
    usage: Usage,
    facts: Option<Facts>,
    user: Option<u64>,
    /// A panic went through it.
    panicked: bool,
    record: Option<Box<Recorded>>,
}

/// What is gathered only for the one request in N that is recorded.
#[derive(Debug)]
struct Recorded {
    start_us: u64,
    method: Option<http::Method>,
    rss_start_bytes: Option<u64>,
    polls: u64,
    thread_hops: u64,
    thread: Option<u64>,
}

impl Measurement {
    /// One that stands for `weight`.
    pub(crate) fn begin(
        core: &'static Core,
        kind: Kind,
        endpoint: u32,
        weight: u32,
        method: Option<&http::Method>,
        user: Option<u64>,
    ) -> Self {
        let begun = Instant::now();
        let record = core.choose_to_record().then(|| {
            Box::new(Recorded {
                start_us: core.micros_at(begun),
                method: method.cloned(),
                rss_start_bytes: core.counters().rss_bytes(),
                polls: 0,
                thread_hops: 0,
                thread: None,
            })
        });
        Self {
            core,
            kind,
            age: core.age_at(begun),
            endpoint,
            weight,
            begun,
            usage: Usage::new(),
            facts: Some(Facts::new(core, record.is_some())),
            user,
            panicked: false,
            record,
        }
    }

    /// Begins a stretch of work on this thread, which lasts until the guard is dropped: also by a
    /// panic.
    #[inline]
    pub(crate) fn enter(&mut self) -> Entered<'_> {
        let outer = facts::swap(self.facts.take());
        let before = self.core.counters().read_thread();
        outside::enter(before.cpu_ns);
        Entered {
            measurement: self,
            outer,
            before,
        }
    }

    /// As [`Measurement::enter`], counted as a poll.
    #[inline]
    pub(crate) fn enter_poll(&mut self) -> Entered<'_> {
        if let Some(recorded) = &mut self.record {
            recorded.poll();
        }
        self.enter()
    }

    /// Counts what came to no end of its own: it panicked or was cancelled.
    pub(crate) fn give_up(self) {
        let outcome = match self.kind {
            Kind::Request if self.panicked => Outcome::PANICKED,
            Kind::Request | Kind::Task => Outcome::UNFINISHED,
        };
        self.finish(outcome);
    }

    /// Counts it, and records it if it was chosen; where it has children that still run, the last
    /// of them does.
    pub(crate) fn finish(self, outcome: Outcome) {
        let end = Instant::now();
        let core = self.core;
        let mut finished = Finished {
            kind: self.kind,
            age: self.age,
            endpoint: self.endpoint,
            weight: self.weight,
            end_us: core.micros_at(end),
            wall_ns: u64::try_from(end.duration_since(self.begun).as_nanos()).unwrap_or(u64::MAX),
            usage: self.usage,
            outcome,
            user: self.user,
            gathered: self.facts.and_then(Facts::take),
            record: self.record,
        };
        let family = finished
            .gathered
            .as_mut()
            .and_then(|gathered| gathered.family.take());
        match family {
            None => finished.count(core),
            Some(family) => family.leave(finished),
        }
    }
}

/// A request or task that has ended, not counted yet.
#[derive(Debug)]
pub(crate) struct Finished {
    kind: Kind,
    age: Age,
    endpoint: u32,
    weight: u32,
    end_us: u64,
    wall_ns: u64,
    usage: Usage,
    outcome: Outcome,
    user: Option<u64>,
    gathered: Option<Box<Gathered>>,
    record: Option<Box<Recorded>>,
}

impl Finished {
    /// Adds what its children used and told.
    pub(crate) fn add(&mut self, usage: Usage, facts: Facts) {
        self.usage.join(usage);
        let mut own = Facts::of(self.gathered.take());
        own.join(facts);
        self.gathered = own.take();
    }

    pub(crate) fn count(self, core: &Core) {
        // Nobody would ever fetch it after the shutdown; and in a forked process the names' lock may
        // be held by a thread that is not there any more.
        if !core.is_on() {
            return;
        }
        let ended = Ended {
            kind: self.kind,
            endpoint: self.endpoint,
            weight: self.weight,
            end_us: self.end_us,
            wall_ns: self.wall_ns,
            usage: self.usage,
            status: self.outcome.status,
            error: self.outcome.error,
            age: self.age,
            flags: self
                .gathered
                .as_ref()
                .map_or(&[], |gathered| &gathered.flags),
            user: self.user,
        };
        let record = self.record.map(|recorded| {
            let mut record = recorded.into_record(core, &ended, self.outcome);
            if let Some(gathered) = &self.gathered {
                record.flags.clone_from(&gathered.flags);
                record.downstream.clone_from(&gathered.downstream);
            }
            record
        });
        core.count(&ended, record);
    }
}

impl Recorded {
    fn poll(&mut self) {
        let thread = current_thread();
        self.polls += 1;
        if self.thread.is_some_and(|before| before != thread) {
            self.thread_hops += 1;
        }
        self.thread = Some(thread);
    }

    fn into_record(self, core: &Core, ended: &Ended<'_>, outcome: Outcome) -> RequestRecord {
        let instructions = ended.usage.instructions();
        let allocated = ended.usage.allocated();
        RequestRecord {
            kind: ended.kind,
            endpoint: core.endpoint_name(ended.endpoint),
            start_us: self.start_us,
            method: self
                .method
                .map(|method| clean(method.as_str()).into_owned()),
            status: outcome.status,
            error: outcome.error,
            weight: core.record_weight(ended.weight),
            age: ended.age,
            instructions,
            instruction_source: match instructions {
                Some(_) => core.counters().instruction_source(),
                None => InstructionSource::None,
            },
            scaled: ended.usage.scaled(),
            cpu_ns: ended.usage.cpu_ns(),
            allocated_bytes: allocated.map(|allocated| allocated.bytes),
            allocations: allocated.map(|allocated| allocated.allocations),
            wall_ns: ended.wall_ns,
            rss_start_bytes: self.rss_start_bytes,
            rss_end_bytes: core.counters().rss_bytes(),
            polls: self.polls,
            thread_hops: self.thread_hops,
            ..RequestRecord::default()
        }
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
            measurement.give_up();
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
    #[inline]
    fn drop(&mut self) {
        let after = self.measurement.core.counters().read_thread();
        outside::leave(after.cpu_ns);
        self.measurement.usage.add(self.before, after);
        self.measurement.panicked |= std::thread::panicking();
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
