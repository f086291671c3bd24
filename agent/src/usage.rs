//! What a request has used up, added up over its polls.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::allocator::Allocated;
use crate::clock::{MAX_AHEAD_NS, Now};
use crate::counters::More;

/// The sum over the polls. A counter that one poll could not read makes the sum absent.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    cpu_ns: u64,
    instructions: u64,
    allocated: Allocated,
    /// What could not be read: a bit for each of the three.
    absent: u8,
    scaled: bool,
}

const CPU: u8 = 1;
const INSTRUCTIONS: u8 = 2;
const ALLOCATED: u8 = 4;

impl Usage {
    /// Nothing yet.
    pub(crate) const fn new() -> Self {
        Self {
            cpu_ns: 0,
            instructions: 0,
            allocated: Allocated::NONE,
            absent: 0,
            scaled: false,
        }
    }

    /// Copies it, as a copy of the whole would have to wait for what has just been written into a part of it.
    #[inline]
    pub(crate) fn copy_to(&self, place: &mut Self) {
        const MORE: u8 = INSTRUCTIONS | ALLOCATED;
        place.cpu_ns = self.cpu_ns;
        place.absent = self.absent;
        place.scaled = self.scaled;
        if self.absent & MORE != MORE {
            place.instructions = self.instructions;
            place.allocated = self.allocated;
        }
    }

    /// Adds the CPU time of one poll: both readings are of the thread that polled.
    #[inline]
    pub(crate) fn add(&mut self, before: Now, after: Now) {
        match cpu_time(before, after) {
            Some(used) => add(&mut self.cpu_ns, used, &mut self.absent, CPU),
            None => self.absent |= CPU,
        }
    }

    /// Nothing but CPU time was read of one poll.
    #[inline]
    pub(crate) fn add_no_more(&mut self) {
        self.absent |= ALLOCATED | INSTRUCTIONS;
    }

    /// Adds what else one poll used.
    pub(crate) fn add_more(&mut self, before: &More, after: &More) {
        match (before.allocated, after.allocated) {
            (Some(before), Some(after)) => self.allocated = self.allocated.and(after.since(before)),
            _ => self.absent |= ALLOCATED,
        }
        match (before.instructions, after.instructions) {
            (Some(before), Some(after)) => self.add_instructions(before, after),
            _ => self.absent |= INSTRUCTIONS,
        }
    }

    fn add_instructions(&mut self, before: [u64; 3], after: [u64; 3]) {
        match counted(before, after) {
            Some((count, scaled)) => {
                add(
                    &mut self.instructions,
                    count,
                    &mut self.absent,
                    INSTRUCTIONS,
                );
                self.scaled |= scaled;
            }
            None => self.absent |= INSTRUCTIONS,
        }
    }

    /// Adds what another part of the same request used.
    pub(crate) fn join(&mut self, other: Self) {
        self.absent |= other.absent;
        add(&mut self.cpu_ns, other.cpu_ns, &mut self.absent, CPU);
        add(
            &mut self.instructions,
            other.instructions,
            &mut self.absent,
            INSTRUCTIONS,
        );
        self.allocated = self.allocated.and(other.allocated);
        self.scaled |= other.scaled;
    }

    #[inline]
    pub(crate) fn cpu_ns(&self) -> Option<u64> {
        (self.absent & CPU == 0).then_some(self.cpu_ns)
    }

    #[inline]
    pub(crate) fn allocated(&self) -> Option<Allocated> {
        (self.absent & ALLOCATED == 0).then_some(self.allocated)
    }

    #[inline]
    pub(crate) fn instructions(&self) -> Option<u64> {
        (self.absent & INSTRUCTIONS == 0).then_some(self.instructions)
    }

    /// Whether the instructions are an estimate, because the counter was shared with others.
    #[inline]
    pub(crate) fn scaled(&self) -> bool {
        self.scaled && self.instructions().is_some()
    }
}

/// Adds to a sum; one that is too large for its type is absent.
#[inline]
fn add(sum: &mut u64, more: u64, absent: &mut u8, bit: u8) {
    match sum.checked_add(more) {
        Some(total) => *sum = total,
        None => *absent |= bit,
    }
}

#[inline]
fn cpu_time(before: Now, after: Now) -> Option<u64> {
    match after.cpu_ns()?.checked_sub(before.cpu_or_absent()) {
        None => cpu_time_backwards(before, after),
        difference => difference,
    }
}

#[cold]
fn cpu_time_backwards(before: Now, after: Now) -> Option<u64> {
    match before.cpu_ns()? - after.cpu_ns()? {
        ahead if ahead <= MAX_AHEAD_NS => Some(0),
        _ => impossible(),
    }
}

/// Differences that cannot be, of all requests of this process and those that it was forked off.
static IMPOSSIBLE: AtomicU64 = AtomicU64::new(0);

/// How many there were, for the agent's status.
pub(crate) fn impossible_differences() -> u64 {
    IMPOSSIBLE.load(Ordering::Relaxed)
}

/// None is told of one, but that there was.
#[cold]
fn impossible<T>() -> Option<T> {
    IMPOSSIBLE.fetch_add(1, Ordering::Relaxed);
    None
}

/// The instructions between two readings of (count, time enabled, time running), and whether they
/// were scaled up. While a counter is multiplexed with others it runs for a part of the time only.
fn counted(before: [u64; 3], after: [u64; 3]) -> Option<(u64, bool)> {
    let [Some(count), Some(enabled), Some(running)] =
        [0, 1, 2].map(|at| after[at].checked_sub(before[at]))
    else {
        return impossible();
    };
    if running >= enabled {
        return Some((count, false));
    }
    if running == 0 {
        return None;
    }
    let scaled = u128::from(count) * u128::from(enabled) / u128::from(running);
    Some((u64::try_from(scaled).ok()?, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Reading = (u64, Option<[u64; 3]>);

    fn add(usage: &mut Usage, before: Reading, after: Reading) {
        let now = |reading: Reading| Now::new(Some(reading.0), 0);
        let more = |reading: Reading| More {
            allocated: None,
            instructions: reading.1,
        };
        usage.add(now(before), now(after));
        usage.add_more(&more(before), &more(after));
    }

    #[test]
    fn adds_up_over_polls_and_scales_a_shared_counter() {
        let mut usage = Usage::new();
        add(
            &mut usage,
            (10, Some([100, 50, 50])),
            (15, Some([300, 60, 60])),
        );
        assert_eq!(
            (usage.cpu_ns(), usage.instructions(), usage.scaled()),
            (Some(5), Some(200), false)
        );
        add(
            &mut usage,
            (100, Some([0, 0, 0])),
            (103, Some([40, 20, 10])),
        );
        assert_eq!(
            (usage.cpu_ns(), usage.instructions(), usage.scaled()),
            (Some(8), Some(280), true)
        );
    }

    #[test]
    fn what_one_poll_could_not_read_is_absent_not_zero() {
        let mut usage = Usage::new();
        add(&mut usage, (10, Some([0, 0, 0])), (15, Some([7, 9, 9])));
        add(&mut usage, (10, None), (15, None));
        assert_eq!((usage.cpu_ns(), usage.instructions()), (Some(10), None));
        let mut never_ran = Usage::new();
        add(&mut never_ran, (10, Some([5, 5, 5])), (15, Some([5, 9, 5])));
        assert_eq!(
            (never_ran.instructions(), never_ran.scaled()),
            (None, false)
        );
    }

    #[test]
    fn a_clock_that_was_given_up_while_it_was_ahead_has_not_moved() {
        let mut usage = Usage::new();
        add(&mut usage, (1_000 + MAX_AHEAD_NS, None), (1_000, None));
        assert_eq!(usage.cpu_ns(), Some(0));
    }

    #[test]
    fn an_impossible_difference_is_absent_and_counted() {
        let mut usage = Usage::new();
        let before = impossible_differences();
        add(
            &mut usage,
            (1_001 + MAX_AHEAD_NS, Some([9, 9, 9])),
            (1_000, Some([7, 9, 9])),
        );
        assert_eq!((usage.cpu_ns(), usage.instructions()), (None, None));
        assert!(impossible_differences() >= before + 2);
    }
}
