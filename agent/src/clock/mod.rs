//! The calling thread's CPU time, without a system call where that is possible.
//!
//! While a thread has not left its CPU, its CPU time is what the system call said once, plus the
//! ticks of the CPU's own counter since then. What remains is to know that it has not left, and
//! the kernel tells that in two places that user space can read: the restartable-sequence area of
//! the thread ([`rseq`]) and the page of a perf event ([`page`]). Neither is promised to tell, so
//! each is tried at the start ([`trial`]) and checked against the system call ever after.

#[cfg(test)]
mod forced;
#[cfg(test)]
mod kernels;
mod page;
mod rseq;
mod stretch;
mod ticks;
mod trial;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crate::counters::{Cause, Circumstances};
use crate::sys;
use stretch::Stretch;
use ticks::Scale;

/// How the CPU time of a thread is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Ticks, as long as the thread's restartable-sequence area says that it was not switched.
    Rseq,
    /// Ticks, as long as the page of the thread's task-clock event says so.
    Page,
    /// `clock_gettime(CLOCK_THREAD_CPUTIME_ID)`.
    SystemCall,
}

impl Way {
    const ALL: [Self; 3] = [Self::Rseq, Self::Page, Self::SystemCall];

    /// Whether every poll of every request can be measured with it.
    pub(crate) fn is_cheap(self) -> bool {
        self != Self::SystemCall
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rseq => "restartable sequence and time-stamp counter",
            Self::Page => "task-clock event page and time-stamp counter",
            Self::SystemCall => "clock_gettime(CLOCK_THREAD_CPUTIME_ID)",
        })
    }
}

/// What the clocks say at one moment: two words, so that it is given back in registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Now {
    /// The calling thread's CPU time, ns, or `ABSENT`.
    cpu_ns: u64,
    /// The monotonic clock, ns.
    pub(crate) wall_ns: u64,
}

const ABSENT: u64 = u64::MAX;

impl Now {
    /// Nothing was read.
    pub(crate) const NONE: Self = Self {
        cpu_ns: ABSENT,
        wall_ns: 0,
    };

    #[inline]
    pub(crate) fn new(cpu_ns: Option<u64>, wall_ns: u64) -> Self {
        Self {
            cpu_ns: cpu_ns.unwrap_or(ABSENT),
            wall_ns,
        }
    }

    /// The calling thread's CPU time, ns.
    #[inline]
    pub(crate) fn cpu_ns(self) -> Option<u64> {
        (self.cpu_ns != ABSENT).then_some(self.cpu_ns)
    }

    /// The same, or more than there can be: what is told for two that are there needs one comparison.
    #[inline]
    pub(crate) fn cpu_or_absent(self) -> u64 {
        self.cpu_ns
    }

    #[cold]
    fn by_calls() -> Self {
        Self::new(sys::thread_cpu_ns(), sys::monotonic_ns())
    }
}

/// What the clock of this process is read by, and how it has fared.
#[derive(Debug)]
pub(crate) struct CpuClock {
    way: AtomicU8,
    scale: Scale,
    /// After so many ticks the system call is asked again, even if the thread never left its CPU.
    max_stretch: AtomicU64,
    /// Why each way before the one that was begun with is not used.
    refusals: Vec<(Way, String)>,
    begun_with: Way,
    /// Times that ticks and system call were set against each other.
    checks: AtomicU64,
    /// Times that they were further apart than they may be.
    disagreements: AtomicU64,
}

/// Ticks and system call are set against each other every so often while a thread runs undisturbed.
const CHECK_EVERY_NS: u64 = 5_000_000;
/// The same when the operator asks for a close look.
const CHECK_CLOSELY_EVERY_NS: u64 = 50_000;
/// They may be apart by this much and by this part of the time between.
const TOLERANCE_NS: u64 = 3_000;
const TOLERANCE_PART: u64 = 50;
/// By how much a reading after the clock was given up may lie before the last one by ticks: so long these are believed
/// without asking the system.
pub(crate) const MAX_AHEAD_NS: u64 = CHECK_EVERY_NS;
/// The cheap way is given up once so many checks failed, if they are one in so many of all. Ticks out of pace fail each, and
/// a kernel that does not tell of switches most of those after one; what a hypervisor takes on a crowded machine was seen to
/// fail up to 4 in 100 of close looks for a while.
const MAX_DISAGREEMENTS: u64 = 50;
const MAX_DISAGREEMENTS_ONE_IN: u64 = 10;

static CLOCK: OnceLock<CpuClock> = OnceLock::new();

/// The clock of this process, tried out at the first call, which takes some milliseconds.
#[inline]
pub(crate) fn cpu_clock() -> &'static CpuClock {
    CLOCK.get_or_init(|| {
        at_fork();
        CpuClock::try_out()
    })
}

/// The calling thread's CPU time, ns, by the clock that requests are measured with; `None` where the
/// kernel has none.
///
/// On most machines this is no system call and takes some nanoseconds. Differences of two readings of
/// one thread are exact to some hundred nanoseconds. The first call in a process tries out what the
/// kernel offers, for some milliseconds.
#[inline]
#[must_use]
pub fn thread_cpu_ns() -> Option<u64> {
    cpu_clock().now().cpu_ns()
}

/// Each way, best first, with a clock that reads by it, or why it cannot be used here. What the process's own
/// clock did not try is tried now.
pub(crate) fn ways() -> Vec<(Way, Result<CpuClock, String>)> {
    let own = cpu_clock();
    let refusal = |way: Way| {
        let mut refusals = own.refusals.iter();
        refusals.find_map(|(refused, why)| (*refused == way).then(|| why.clone()))
    };
    Way::ALL
        .into_iter()
        .map(|way| {
            let usable = match refusal(way) {
                Some(why) => Err(why),
                None if way == Way::SystemCall => match sys::thread_cpu_ns() {
                    Some(_) => Ok(()),
                    None => Err("the kernel has no CPU clock for threads".to_owned()),
                },
                None => trial::of(way, own.scale),
            };
            let clock = usable.map(|()| CpuClock::new(way, own.scale, Vec::new()));
            (way, clock)
        })
        .collect()
}

/// What is to blame if a thread gets no event page; `None` if it does.
pub(crate) fn page_refusal() -> Option<Cause> {
    let error = page::Page::open().err()?;
    Some(Cause::of(&error, Circumstances::look()))
}

/// A child's clock starts at zero, but its one thread has the parent's memory, and so a stretch
/// that began in the parent; and it has none of the parent's event pages, but opens its own.
#[expect(unsafe_code, reason = "a handler is registered with the C library")]
fn at_fork() {
    extern "C" fn in_child() {
        rseq::disarm();
        page::forget();
    }
    // SAFETY: the handler only stores into atomics of this process and of the calling thread.
    unsafe {
        libc::pthread_atfork(None, None, Some(in_child));
    }
}

impl CpuClock {
    fn try_out() -> Self {
        Self::with_ticks(Scale::measure())
    }

    /// With how long a tick lasts, or why that is not known.
    fn with_ticks(scale: Result<Scale, String>) -> Self {
        let mut refusals = Vec::new();
        let (way, scale) = match scale {
            Ok(scale) => {
                let way =
                    [Way::Rseq, Way::Page]
                        .into_iter()
                        .find(|&way| match trial::of(way, scale) {
                            Ok(()) => true,
                            Err(why) => {
                                refusals.push((way, why));
                                false
                            }
                        });
                (way.unwrap_or(Way::SystemCall), scale)
            }
            Err(why) => {
                refusals.push((Way::Rseq, why.clone()));
                refusals.push((Way::Page, why));
                (Way::SystemCall, Scale::NONE)
            }
        };
        Self::new(way, scale, refusals)
    }

    fn new(way: Way, scale: Scale, refusals: Vec<(Way, String)>) -> Self {
        Self {
            way: AtomicU8::new(way as u8),
            scale,
            max_stretch: AtomicU64::new(scale.ticks(CHECK_EVERY_NS)),
            refusals,
            begun_with: way,
            checks: AtomicU64::new(0),
            disagreements: AtomicU64::new(0),
        }
    }

    /// How it is read now.
    pub(crate) fn way(&self) -> Way {
        let way = self.way.load(Ordering::Relaxed);
        Way::ALL
            .into_iter()
            .find(|known| *known as u8 == way)
            .unwrap_or(Way::SystemCall)
    }

    /// Why each better way is not used, best first.
    pub(crate) fn refusals(&self) -> &[(Way, String)] {
        &self.refusals
    }

    /// The way that was given up, and why.
    pub(crate) fn given_up(&self) -> Option<(Way, String)> {
        (self.way() != self.begun_with).then(|| {
            let (all, failed) = self.checks();
            let why =
                format!("given up: {failed} of {all} comparisons with the system call failed");
            (self.begun_with, why)
        })
    }

    /// Times that ticks and system call were compared, and times that they disagreed.
    pub(crate) fn checks(&self) -> (u64, u64) {
        (
            self.checks.load(Ordering::Relaxed),
            self.disagreements.load(Ordering::Relaxed),
        )
    }

    /// From now on compares ticks and system call a hundred times as often.
    pub(crate) fn look_closely(&self) {
        self.max_stretch
            .store(self.scale.ticks(CHECK_CLOSELY_EVERY_NS), Ordering::Relaxed);
    }

    /// The calling thread's CPU time, ns.
    #[cfg(test)]
    pub(crate) fn now_ns(&self) -> Option<u64> {
        self.now().cpu_ns()
    }

    /// Reads the calling thread's CPU clock, and the wall clock by the same ticks. Differences of two
    /// readings of one thread are exact to some hundred ns and a hundredth, beside what an interrupt or the hypervisor takes
    /// within 5 ms; none is negative unless the clock has been given up between the two.
    #[inline]
    pub(crate) fn now(&self) -> Now {
        let way = self.way.load(Ordering::Relaxed);
        if way == Way::Rseq as u8 {
            rseq::with_thread(|stretch, area| self.read(stretch, area))
        } else if way == Way::Page as u8 {
            page::with_thread(|stretch, page| self.read(stretch, page))
                .unwrap_or_else(Now::by_calls)
        } else {
            Now::by_calls()
        }
    }

    /// The calling thread's ticks, if they are what is read.
    pub(crate) fn ticks_here(&'static self) -> Option<TicksHere> {
        let is_read = self.way() == Way::Rseq;
        is_read.then(|| TicksHere {
            clock: self,
            here: rseq::Here::find(),
        })
    }

    #[inline]
    fn read(&self, stretch: &Stretch, witness: &impl Arm) -> Now {
        let max = self.max_stretch.load(Ordering::Relaxed);
        match stretch.read(witness, self.scale, max) {
            Some(now) => now,
            None => self.begin(stretch, witness),
        }
    }

    /// The thread was switched, or a check is due.
    #[cold]
    fn begin(&self, stretch: &Stretch, witness: &impl Arm) -> Now {
        let Some(begun) = stretch.begin(witness, self.scale) else {
            return Now::by_calls();
        };
        if let Some(predicted) = begun.predicted_ns {
            self.checks.fetch_add(1, Ordering::Relaxed);
            let tolerance = TOLERANCE_NS + begun.since_ns / TOLERANCE_PART;
            if predicted.abs_diff(begun.now_ns) > tolerance {
                self.disagreed();
            }
        }
        Now::new(Some(begun.told_ns), begun.wall_ns)
    }

    fn disagreed(&self) {
        let failed = self.disagreements.fetch_add(1, Ordering::Relaxed) + 1;
        let all = self.checks.load(Ordering::Relaxed);
        if failed >= MAX_DISAGREEMENTS && failed.saturating_mul(MAX_DISAGREEMENTS_ONE_IN) >= all {
            let before = self.way.swap(Way::SystemCall as u8, Ordering::Relaxed);
            // For who holds ticks and does not ask for the way.
            self.max_stretch.store(0, Ordering::Relaxed);
            if before != Way::SystemCall as u8 {
                tracing::warn!(
                    failed,
                    all,
                    "AppWeight's cheap CPU clock and the system call disagree: the system call is used from now on"
                );
            }
        }
    }
}

/// The ticks of the thread that found them, for whoever reads so often that to find them each time would be seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TicksHere {
    clock: &'static CpuClock,
    here: rseq::Here,
}

impl TicksHere {
    /// The thread's CPU time, ns, if ticks tell it now: there is no system call and no message to a log, for which
    /// [`CpuClock::now`] has to be asked.
    #[inline(always)]
    pub(crate) fn cpu_ns(self) -> Option<u64> {
        let clock = self.clock;
        // None is shorter once the clock has been given up.
        let max = clock.max_stretch.load(Ordering::Relaxed);
        let stretch = self.here.stretch();
        let (cpu_ns, _) = stretch.look(&self.here, clock.scale, max)?;
        Some(cpu_ns)
    }
}

/// What tells whether the thread has been switched out since it was armed.
trait Witness {
    /// Whether there was no switch since it was armed by the calling thread.
    fn is_armed(&self) -> bool;
}

/// A witness that a new stretch can be begun with.
trait Arm: Witness {
    /// From now on a switch is told.
    fn arm(&self);
}
