//! One request or task while it runs: entered at the start of every poll, left at its end.

use std::sync::Arc;

use appweight_wire::{InstructionSource, Kind, RequestRecord};

use crate::children::Family;
use crate::core::Core;
use crate::counters::Reading;
use crate::facts::{self, Facts, Gathered};
use crate::names::clean;
use crate::outside;
use crate::passing::Begun;
use crate::profiled::{Outer, Profiled};
use crate::scopes::ended::Of;
use crate::shard::Ended;
use crate::shards::Chosen;
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

    #[inline]
    pub(crate) fn of_status(status: http::StatusCode) -> Self {
        Self {
            status: Some(status.as_u16()),
            error: status.is_server_error(),
        }
    }
}

/// A request or task that runs. Whoever holds it finishes it, once. Small, since it is moved with its
/// future.
#[derive(Debug)]
pub(crate) struct Measurement {
    core: &'static Core,
    usage: Usage,
    /// When it was first entered and last left, by the monotonic clock, ns; 0 before that.
    begun_ns: u64,
    left_ns: u64,
    gathered: Option<Box<Gathered>>,
    record: Option<Box<Recorded>>,
    /// Of the one request in M that is profiled.
    profiled: Option<Box<Profiled>>,
    user: u64,
    /// Its endpoint's number.
    endpoint: u32,
    /// How many it stands for.
    weight: u32,
    kind: Kind,
    has_user: bool,
    /// A panic went through it.
    panicked: bool,
}

/// What is gathered only for the one request in N that is recorded.
#[derive(Debug)]
struct Recorded {
    method: Option<http::Method>,
    rss_start_bytes: Option<u64>,
    polls: u64,
    thread_hops: u64,
    thread: Option<u64>,
}

impl Measurement {
    /// One that has been chosen to be counted.
    #[inline]
    pub(crate) fn begin(
        core: &'static Core,
        kind: Kind,
        endpoint: u32,
        chosen: Chosen,
        method: Option<&http::Method>,
        user: Option<u64>,
    ) -> Self {
        let record = if chosen.is_recorded {
            Some(Recorded::new(core, method))
        } else {
            None
        };
        Self {
            core,
            usage: Usage::new(),
            begun_ns: 0,
            left_ns: 0,
            gathered: None,
            record,
            profiled: chosen.is_profiled.then(|| Profiled::begin(core)),
            user: user.unwrap_or(0),
            endpoint,
            weight: chosen.weight,
            kind,
            has_user: user.is_some(),
            panicked: false,
        }
    }

    /// Begins a stretch of work on this thread, which lasts until the guard is dropped: also by a
    /// panic.
    #[inline]
    pub(crate) fn enter(&mut self) -> Entered<'_> {
        let facts = Facts::new(
            self.core,
            (self.kind, self.endpoint),
            self.record.is_some(),
            self.gathered.take(),
        );
        let outer = facts::swap(Some(facts));
        let before = self.core.counters().read_thread();
        if self.begun_ns == 0 {
            self.begun_ns = before.now.wall_ns;
        }
        let outer_profile = Profiled::enter(&mut self.profiled);
        Entered {
            measurement: self,
            outer,
            outer_profile,
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

    /// It lasts until now, though its last poll was before.
    pub(crate) fn lasts(&mut self) {
        self.left_ns = self.core.counters().wall_ns();
    }

    /// Counts what came to no end of its own: it panicked or was cancelled.
    pub(crate) fn give_up(mut self) {
        let outcome = match self.kind {
            Kind::Request if self.panicked => Outcome::PANICKED,
            Kind::Request | Kind::Task => Outcome::UNFINISHED,
        };
        if self.begun_ns == 0 {
            // Its service did not live to see it begin.
            self.lasts();
            self.begun_ns = self.left_ns;
        }
        self.finish(outcome);
    }

    /// Counts it, and records it if it was chosen; where it has children that still run, the last
    /// of them does.
    pub(crate) fn finish(mut self, outcome: Outcome) {
        match self.take_family() {
            None => self.count(outcome, false),
            Some(family) => family.leave(Finished {
                measurement: self,
                outcome,
            }),
        }
    }

    /// The same without moving it, where it has no children. Says whether that is so.
    #[inline]
    pub(crate) fn finish_here(&mut self, outcome: Outcome) -> bool {
        if self
            .gathered
            .as_ref()
            .is_some_and(|gathered| gathered.family.is_some())
        {
            return false;
        }
        self.count(outcome, false);
        true
    }

    /// Counts what a response that is still being sent has used until now, if the cell that it was last worked on in
    /// is over; the rest is counted as a request of its own.
    pub(crate) fn count_what_is_over(&mut self, outcome: Outcome) {
        let core = self.core;
        let width_us = core.spans().cell_us;
        let span = |moment_ns| core.micros_at(moment_ns) / width_us;
        if self.begun_ns == 0 || span(self.left_ns) == span(core.counters().wall_ns()) {
            return;
        }
        self.count(outcome, true);
        self.usage = Usage::new();
        self.begun_ns = self.left_ns;
        if let Some(gathered) = &mut self.gathered {
            gathered.downstream.clear();
        }
        if let Some(record) = &mut self.record {
            record.begin_anew(core);
        }
    }

    fn take_family(&mut self) -> Option<Arc<Family>> {
        self.gathered.as_mut()?.family.take()
    }

    #[inline]
    fn count(&mut self, outcome: Outcome, unfinished: bool) {
        let core = self.core;
        // Nobody would ever fetch it after the shutdown; and in a forked process the names' lock may
        // be held by a thread that is not there any more.
        if !core.is_on() {
            return;
        }
        let ended = Ended {
            kind: self.kind,
            endpoint: self.endpoint,
            weight: self.weight,
            end_us: core.micros_at(self.left_ns),
            wall_ns: self.left_ns.saturating_sub(self.begun_ns),
            usage: &self.usage,
            status: outcome.status,
            error: outcome.error,
            unfinished,
            age: core.age_at(self.begun_ns),
            flags: match &self.gathered {
                Some(gathered) => &gathered.flags,
                None => &[],
            },
            user: self.has_user.then_some(self.user),
        };
        let record = match &self.record {
            None => None,
            Some(recorded) => {
                let start_us = core.micros_at(self.begun_ns);
                Some(recorded.record(core, start_us, &ended, outcome, self.gathered.as_deref()))
            }
        };
        core.count(&ended, record);
        if unfinished {
            // It is profiled as a whole.
            return;
        }
        let of = Of {
            end_us: ended.end_us,
            kind: ended.kind,
            endpoint: ended.endpoint,
            age: ended.age,
        };
        if let Some(profile) = self.profiled.take().and_then(|profiled| profiled.end(of)) {
            core.keep_profile(profile);
        }
    }
}

/// A request or task that has ended, not counted yet.
#[derive(Debug)]
pub(crate) struct Finished {
    measurement: Measurement,
    outcome: Outcome,
}

impl Finished {
    /// Adds what its children used and told.
    pub(crate) fn add(&mut self, usage: Usage, facts: Facts, profiles: &[Profiled]) {
        let measurement = &mut self.measurement;
        measurement.usage.join(usage);
        let mut own = Facts::of(measurement.gathered.take());
        own.join(facts);
        measurement.gathered = own.take();
        if let Some(profiled) = &mut measurement.profiled {
            for child in profiles {
                profiled.join(child);
            }
        }
    }

    pub(crate) fn count(mut self) {
        self.measurement.count(self.outcome, false);
    }
}

impl Recorded {
    #[cold]
    fn new(core: &Core, method: Option<&http::Method>) -> Box<Self> {
        Box::new(Self {
            method: method.cloned(),
            rss_start_bytes: core.counters().rss_bytes(),
            polls: 0,
            thread_hops: 0,
            thread: None,
        })
    }

    #[cold]
    fn poll(&mut self) {
        let thread = current_thread();
        self.polls += 1;
        if self.thread.is_some_and(|before| before != thread) {
            self.thread_hops += 1;
        }
        self.thread = Some(thread);
    }

    /// What was told belongs to a part that is over.
    fn begin_anew(&mut self, core: &Core) {
        self.rss_start_bytes = core.counters().rss_bytes();
        self.polls = 0;
        self.thread_hops = 0;
    }

    #[cold]
    fn record(
        &self,
        core: &Core,
        start_us: u64,
        ended: &Ended<'_>,
        outcome: Outcome,
        gathered: Option<&Gathered>,
    ) -> Box<RequestRecord> {
        let instructions = ended.usage.instructions();
        let allocated = ended.usage.allocated();
        let mut record = Box::new(RequestRecord {
            kind: ended.kind,
            endpoint: core.endpoint_name(ended.endpoint),
            start_us,
            method: self
                .method
                .as_ref()
                .map(|method| clean(method.as_str()).into_owned()),
            status: outcome.status,
            error: outcome.error,
            unfinished: ended.unfinished,
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
        });
        if let Some(gathered) = gathered {
            record.flags.clone_from(&gathered.flags);
            record.downstream.clone_from(&gathered.downstream);
        }
        record
    }
}

/// Counts what it holds as unfinished if a panic drops it.
pub(crate) struct Guarded(Option<Begun>);

impl Guarded {
    #[inline]
    pub(crate) fn new(begun: Begun) -> Self {
        Self(Some(begun))
    }

    /// What is done until the guard is dropped is charged to what has begun, if that is measured.
    #[inline]
    pub(crate) fn enter(&mut self) -> Option<Entered<'_>> {
        match &mut self.0 {
            Some(Begun::Measured(measurement)) => Some(measurement.enter()),
            _ => None,
        }
    }

    /// Takes it out: from here on somebody else finishes it.
    #[inline]
    pub(crate) fn release(mut self) -> Option<Begun> {
        self.0.take()
    }
}

impl Drop for Guarded {
    #[inline]
    fn drop(&mut self) {
        if let Some(Begun::Measured(measurement)) = self.0.take() {
            measurement.give_up();
        }
    }
}

/// A stretch of work that is charged to its measurement.
pub(crate) struct Entered<'a> {
    measurement: &'a mut Measurement,
    outer: Option<Facts>,
    outer_profile: Outer,
    before: Reading,
}

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        let measurement = &mut *self.measurement;
        Profiled::leave(&mut measurement.profiled, self.outer_profile.take());
        let after = measurement.core.counters().read_thread();
        if self.outer.is_none() {
            outside::leave(self.before.now.cpu_ns(), after.now.cpu_ns());
        }
        measurement.usage.add(&self.before, &after);
        measurement.left_ns = after.now.wall_ns;
        measurement.panicked |= std::thread::panicking();
        measurement.gathered = facts::swap(self.outer.take()).and_then(Facts::take);
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
