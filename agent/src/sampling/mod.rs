//! Stacks of profiled requests, taken every so often without touching their code.
//!
//! The kernel interrupts the thread that polls a profiled request each time it has used so much, and writes the call
//! chain into a ring of that thread. What it wrote is added to the request's tree of addresses at the end of the poll;
//! threads of the agent make room in between, and find out later what the addresses are called.

pub(crate) mod allocations;
mod event;
mod hand_over;
mod modules;
mod process;
mod record;
mod refusal;
mod ring;
mod run;
mod sampler;
mod stacks;
mod status;
mod symbols;
mod threads;
mod tree;
mod trial;
mod waiter;

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use appweight_wire::Age;

pub(crate) use self::hand_over::Finished;
pub(crate) use self::run::{make_room, name_functions};
pub(crate) use self::stacks::Stacks;
pub use self::status::SamplingStatus;

use self::allocations::Snapshots;
use self::hand_over::{HandOver, SeenSpan, Span, Taken};
use self::process::Process;
use self::refusal::Absence;
use self::sampler::Tally;
use self::threads::Threads;
use self::trial::Found;
use crate::allocator::allocations_are_counted;
use crate::build_id::build_id;
use crate::frames::are_kept;
use crate::settings::Settings;

const SWITCHED_OFF: &str = "it is switched off";
const NOT_TRIED: &str = "it has not been tried yet";
/// Samples of the whole process per second of CPU where nobody said how many: of all its work, not of one request in M.
const OF_PROCESS: u32 = 99;
const CUT_SHORT: &str = "stacks are cut short: this program was built without frame pointers: build it with \
                         RUSTFLAGS=\"-C force-frame-pointers=yes\"";

/// How the requests of one agent are sampled.
#[derive(Debug)]
pub(crate) struct Sampling {
    /// Samples per second; 0: none are taken.
    per_second: u32,
    /// Once it was tried.
    found: OnceLock<Result<Found, Absence>>,
    threads: Threads,
    tally: Arc<Tally>,
    hand_over: HandOver,
    allocations: Result<Allocations, String>,
    /// The same for the whole process, where requests cannot be sampled; `None`: as it turns out.
    process_per_second: Option<u32>,
    process_found: OnceLock<Result<String, String>>,
    process: Mutex<Option<Process>>,
}

/// What is known of allocations.
#[derive(Debug)]
struct Allocations {
    mean: u64,
    snapshots: Mutex<Snapshots>,
}

impl Sampling {
    pub(crate) fn new(settings: &Settings) -> Self {
        let per_second = settings.sample_stacks;
        let allocated_bytes = settings.sample_allocations;
        Self {
            process_per_second: settings.sample_process,
            process_found: OnceLock::new(),
            process: Mutex::default(),
            allocations: Allocations::begin(allocated_bytes),
            per_second,
            found: OnceLock::new(),
            threads: Threads::new(),
            tally: Arc::default(),
            hand_over: HandOver::default(),
        }
    }

    /// Whether stacks are to be taken, if that can be.
    pub(crate) fn wants_stacks(&self) -> bool {
        self.per_second > 0
    }

    /// Whether anything is to be sampled.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wants_stacks()
            || self.allocations.is_ok()
            || self.process_per_second.is_some_and(|number| number > 0)
    }

    /// Whether anything is, once it was tried.
    fn samples_any(&self) -> bool {
        self.allocations.is_ok()
            || matches!(self.found.get(), Some(Ok(_)))
            || matches!(self.process_found.get(), Some(Ok(_)))
    }

    /// For a request that is to be sampled; `None` if that cannot be, or not yet.
    pub(crate) fn begin(&self) -> Option<Box<Stacks>> {
        let found = self.found.get()?;
        found.is_ok().then(Box::default)
    }

    /// The calling thread's samples are that request's from now on. Gives it back where there are none.
    pub(crate) fn enter(&self, mut stacks: Box<Stacks>) -> Result<(), Box<Stacks>> {
        let Some(Ok(found)) = self.found.get() else {
            return Err(stacks);
        };
        stacks.polls += 1;
        let entered = self.threads.enter(found.pace, &self.tally, stacks);
        entered.map_err(|mut stacks| {
            stacks.unsampled_polls += 1;
            stacks
        })
    }

    /// The request that was entered last, with its samples.
    pub(crate) fn leave(&self) -> Option<Box<Stacks>> {
        self.threads.leave()
    }

    /// Hands a request over that has ended.
    pub(crate) fn finish(&self, finished: Finished) {
        self.hand_over.put(Taken::Request(finished));
    }

    /// Hands over what was allocated since the last time. `at_us` lies in the span that is over, in which so many requests of
    /// each endpoint ended.
    pub(crate) fn end_span(
        &self,
        at_us: u64,
        age: Age,
        requests: impl FnOnce() -> HashMap<u32, u64>,
    ) {
        if let Ok(allocations) = &self.allocations {
            let snapshots = allocations.snapshots.lock();
            let allocated = snapshots.unwrap_or_else(PoisonError::into_inner).take();
            self.hand_over.put(Taken::Span(Span {
                allocated,
                requests: requests(),
                age,
                at_us,
            }));
        }
        if let Some(process) = &mut *self.process() {
            self.hand_over.put(Taken::Process(SeenSpan {
                seen: process.take(),
                period_ns: process.period_ns(),
                age,
                at_us,
            }));
        }
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often the whole process is to be sampled, once it is known what of its requests can be; why not, if it is not.
    fn process_wanted(&self) -> Result<u32, &'static str> {
        match (self.process_per_second, self.found.get()) {
            (Some(0), _) => Err(SWITCHED_OFF),
            (_, Some(Ok(_))) => Err("not needed: the stacks of requests are sampled"),
            (Some(number), _) => Ok(number),
            (None, Some(Err(absence))) if absence.is_forbidden => {
                Ok(self.per_second.min(OF_PROCESS))
            }
            (None, Some(Err(_))) => Err("it was not asked for, and perf events are not forbidden"),
            (None, None) if self.wants_stacks() => Err(NOT_TRIED),
            (None, None) => Err(SWITCHED_OFF),
        }
    }

    /// Samples the whole process, if that is wanted and its requests cannot be.
    fn begin_process(&self) {
        let Ok(per_second) = self.process_wanted() else {
            return;
        };
        let found = Process::begin(per_second);
        self.process_found.get_or_init(|| match found {
            Ok(process) => {
                let how = format!(
                    "SIGPROF, each {} ns of CPU of the whole process, at most once in a tick of the kernel's",
                    process.period_ns()
                );
                *self.process() = Some(process);
                Ok(how)
            }
            Err(why) => Err(why),
        });
    }

    /// Nothing is handed over any more: waits until what was is in the profiles, for a part of the time until then at most.
    pub(crate) fn close(&self, until: Instant) {
        // Its timer ends with it.
        drop(self.process().take());
        self.threads.close();
        if self.is_wanted() {
            self.hand_over.close(until);
        }
    }

    pub(crate) fn status(&self) -> SamplingStatus {
        let tally = |sum: &std::sync::atomic::AtomicU64| sum.load(Ordering::Relaxed);
        let (read_by, absent_because) = match self.found.get() {
            _ if !self.wants_stacks() => (None, Some(SWITCHED_OFF.to_owned())),
            None => (None, Some(NOT_TRIED.to_owned())),
            Some(Err(absence)) => (None, Some(absence.why.clone())),
            Some(Ok(found)) => (Some(found.to_string()), None),
        };
        SamplingStatus {
            read_by,
            absent_because,
            refused: self.threads.refused.get().cloned(),
            requests: tally(&self.tally.requests),
            dropped_requests: self.hand_over.dropped(),
            samples: tally(&self.tally.samples),
            lost: tally(&self.tally.lost),
            given_to_none: tally(&self.tally.given_to_none),
            throttled: tally(&self.tally.throttled),
            polls: tally(&self.tally.polls),
            unsampled_polls: tally(&self.tally.unsampled_polls),
            allocations_read_by: self.allocations.as_ref().ok().map(ToString::to_string),
            allocations_absent_because: self.allocations.as_ref().err().cloned(),
            process_read_by: self
                .process_found
                .get()
                .and_then(|found| found.clone().ok()),
            process_absent_because: match self.process_found.get() {
                Some(found) => found.clone().err(),
                None => Some(self.process_wanted().err().unwrap_or(NOT_TRIED).to_owned()),
            },
            build_id: build_id().map(str::to_owned),
            untracked_allocations: allocations::untracked(),
        }
    }
}

/// Says why stacks of this program cannot be walked, if so.
fn stacks_are_whole() -> Result<(), String> {
    match are_kept() {
        Some(true) => Ok(()),
        Some(false) => Err(CUT_SHORT.to_owned()),
        None => Err("stacks of this architecture are not known".to_owned()),
    }
}

impl Allocations {
    fn begin(mean: u64) -> Result<Self, String> {
        if mean == 0 {
            return Err(SWITCHED_OFF.to_owned());
        }
        if !allocations_are_counted() {
            return Err("the program's global allocator is not AppweightAlloc".to_owned());
        }
        stacks_are_whole()?;
        allocations::begin(mean);
        Ok(Self {
            mean,
            snapshots: Mutex::new(Snapshots::of_allocations()),
        })
    }
}

impl std::fmt::Display for Allocations {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "AppweightAlloc, an allocation each {} bytes on average",
            self.mean
        )
    }
}
