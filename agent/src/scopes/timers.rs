//! The timers of one agent: those that were asked for and are there.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::timer::Timer;
use crate::allocator::{allocated, allocations_are_counted};
use crate::clock::cpu_clock;
use crate::counters::{Counters, thread_page_faults};
use crate::profile::merge::{TimerCost, TimerName};

/// As many as a tree has room for at each edge.
pub(crate) const MAX_TIMERS: usize = 8;

#[derive(Debug)]
pub(crate) struct Timers {
    counters: &'static Counters,
    timers: Vec<Timer>,
    /// Names of those that are not there, each with the reason.
    missing: Vec<(String, String)>,
}

impl Timers {
    /// Those of the list that are there.
    pub(crate) fn new(wanted: &[Timer], counters: &'static Counters) -> Self {
        let mut timers: Vec<Timer> = Vec::new();
        let mut missing = Vec::new();
        for timer in wanted {
            let name = timer.name();
            if timers.iter().any(|known| known.name() == name) {
                continue;
            }
            let why = match absence(timer, counters) {
                Some(why) => why,
                None if timers.len() == MAX_TIMERS => format!("there are {MAX_TIMERS} already"),
                None => {
                    timers.push(timer.clone());
                    continue;
                }
            };
            missing.push((name.to_owned(), why));
        }
        Self {
            counters,
            timers,
            missing,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.timers.len()
    }

    pub(crate) fn are_there(&self) -> bool {
        !self.timers.is_empty()
    }

    /// Whether CPU time is the only one, whose reading costs so little that more than a branch round it would be seen.
    pub(super) fn is_cpu_time_alone(&self) -> bool {
        matches!(self.timers.as_slice(), [Timer::CpuTime])
    }

    /// Reads them one after the other, on the calling thread. Gives the bits of those that cannot be read.
    pub(super) fn read(&self, mut each: impl FnMut(usize, u64)) -> u8 {
        let mut absent = 0;
        for (at, timer) in self.timers.iter().enumerate() {
            match self.read_one(timer) {
                Some(now) => each(at, now),
                None => absent |= 1 << at,
            }
        }
        absent
    }

    #[inline]
    fn read_one(&self, timer: &Timer) -> Option<u64> {
        match timer {
            Timer::CpuTime => cpu_clock().now().cpu_ns(),
            Timer::WallTime => Some(cpu_clock().now().wall_ns),
            Timer::AllocatedBytes => allocated().map(|allocated| allocated.bytes),
            Timer::Allocations => allocated().map(|allocated| allocated.allocations),
            Timer::Instructions => self.counters.instructions().map(|[count, ..]| count),
            Timer::Rss => self.counters.rss_bytes(),
            Timer::PageFaults => thread_page_faults(),
            // The service's code, and nothing of the agent panics in a request.
            Timer::Custom(custom) => catch_unwind(AssertUnwindSafe(|| (custom.read)())).ok(),
        }
    }

    /// For how long the calling thread's instruction counter was there and did not count, because it was shared with
    /// others: if that grows, what it counted meanwhile is not all.
    pub(super) fn instructions_waited(&self) -> Option<(u8, u64)> {
        let at = self
            .timers
            .iter()
            .position(|timer| matches!(timer, Timer::Instructions))?;
        let [_, enabled, running] = self.counters.instructions()?;
        Some((1 << at, enabled.wrapping_sub(running)))
    }

    /// Their names as profiles have them, without those of the bits.
    pub(super) fn names(&self, absent: u8, cost: impl Fn(usize) -> TimerCost) -> Vec<TimerName> {
        let there = self.present(absent);
        there
            .map(|(at, timer)| TimerName {
                name: timer.name().to_owned(),
                unit: timer.unit().to_owned(),
                cost: cost(at),
            })
            .collect()
    }

    /// Each that is not among the bits, with its place.
    pub(super) fn present(&self, absent: u8) -> impl Iterator<Item = (usize, &Timer)> {
        let all = self.timers.iter().enumerate();
        all.filter(move |(at, _)| absent & (1 << at) == 0)
    }

    /// One line on those that are there and those that are not.
    pub(crate) fn describe(&self) -> String {
        let there = self.timers.iter().map(|timer| timer.name().to_owned());
        let missing = self.missing.iter();
        let missing = missing.map(|(name, why)| format!("no {name}: {why}"));
        there.chain(missing).collect::<Vec<_>>().join("; ")
    }
}

/// Why it cannot be read here.
fn absence(timer: &Timer, counters: &Counters) -> Option<String> {
    let counter = match timer {
        Timer::Instructions => "instructions",
        Timer::Rss => "rss",
        Timer::CpuTime => "cpu",
        Timer::AllocatedBytes | Timer::Allocations if !allocations_are_counted() => "allocations",
        _ => return None,
    };
    let mut statuses = counters.statuses().into_iter();
    statuses
        .find(|status| status.name == counter)?
        .absent_because
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    pub(crate) fn counters() -> &'static Counters {
        Box::leak(Box::new(Counters::probe()))
    }

    #[test]
    fn each_timer_is_there_once_or_says_why_not() {
        let wanted = [
            Timer::Instructions,
            Timer::CpuTime,
            Timer::WallTime,
            Timer::Rss,
            Timer::AllocatedBytes,
            Timer::Allocations,
            Timer::PageFaults,
            Timer::CpuTime,
            Timer::custom("mine", "x", || 7),
        ];
        let timers = Timers::new(&wanted, counters());
        let there: BTreeSet<&str> = timers.timers.iter().map(Timer::name).collect();
        for name in ["cpu", "wall", "rss", "page_faults", "mine"] {
            assert!(there.contains(name), "{timers:?}");
        }
        assert_eq!(timers.len(), there.len());
        for (name, why) in &timers.missing {
            assert!(!there.contains(&**name) && !why.is_empty(), "{timers:?}");
        }
        assert_eq!(timers.len() + timers.missing.len(), 8);
        let mut read = 0;
        assert_eq!(timers.read(|_, _| read += 1), 0);
        assert_eq!(read, timers.len());
        for timer in &wanted[..7] {
            assert_eq!(Timer::named(timer.name()).unwrap().name(), timer.name());
        }
        assert!(Timer::named("mine").is_none());
    }

    #[test]
    fn a_timer_that_panics_is_absent_and_a_ninth_is_refused() {
        let mut wanted: Vec<Timer> = (0..9)
            .map(|n| Timer::custom(format!("timer {n}"), "x", move || n))
            .collect();
        wanted[1] = Timer::custom("broken", "x", || panic!("not today"));
        let timers = Timers::new(&wanted, counters());
        assert_eq!((timers.len(), timers.missing.len()), (MAX_TIMERS, 1));
        let mut seen = Vec::new();
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let absent = timers.read(|at, now| seen.push((at, now)));
        std::panic::set_hook(hook);
        assert_eq!(absent, 0b10);
        assert_eq!(seen, [0, 2, 3, 4, 5, 6, 7].map(|n| (n, n as u64)));
        assert_eq!(timers.names(absent, |_| TimerCost::default()).len(), 7);
    }
}
