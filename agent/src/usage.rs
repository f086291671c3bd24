//! What a request has used up, added up over its polls.

use crate::allocator::Allocated;
use crate::counters::Reading;

/// The sum over the polls. A counter that one poll could not read makes the sum absent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    cpu_ns: Option<u64>,
    instructions: Option<u64>,
    allocated: Option<Allocated>,
    scaled: bool,
}

impl Usage {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            cpu_ns: Some(0),
            instructions: Some(0),
            allocated: Some(Allocated::default()),
            scaled: false,
        }
    }

    /// Adds what one poll used: both readings are of the thread that polled.
    pub(crate) fn add(&mut self, before: Reading, after: Reading) {
        self.cpu_ns = sum(self.cpu_ns, cpu_time(before.cpu_ns, after.cpu_ns));
        self.allocated = match (self.allocated, before.allocated, after.allocated) {
            (Some(sum), Some(before), Some(after)) => Some(sum.and(after.since(before))),
            _ => None,
        };
        let instructions = match (before.instructions, after.instructions) {
            (Some(before), Some(after)) => counted(before, after),
            _ => None,
        };
        self.instructions = sum(self.instructions, instructions.map(|(count, _)| count));
        self.scaled |= instructions.is_some_and(|(_, scaled)| scaled);
    }

    /// Adds what another part of the same request used.
    pub(crate) fn join(&mut self, other: Self) {
        self.cpu_ns = sum(self.cpu_ns, other.cpu_ns);
        self.instructions = sum(self.instructions, other.instructions);
        self.allocated = match (self.allocated, other.allocated) {
            (Some(own), Some(other)) => Some(own.and(other)),
            _ => None,
        };
        self.scaled |= other.scaled;
    }

    pub(crate) fn cpu_ns(&self) -> Option<u64> {
        self.cpu_ns
    }

    pub(crate) fn allocated(&self) -> Option<Allocated> {
        self.allocated
    }

    pub(crate) fn instructions(&self) -> Option<u64> {
        self.instructions
    }

    /// Whether the instructions are an estimate, because the counter was shared with others.
    pub(crate) fn scaled(&self) -> bool {
        self.scaled && self.instructions.is_some()
    }
}

fn sum(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    a?.checked_add(b?)
}

/// Two ways of reading one clock may be apart by so much; what is further back is no reading.
const JITTER_NS: u64 = 5_000;

fn cpu_time(before: Option<u64>, after: Option<u64>) -> Option<u64> {
    let (before, after) = (before?, after?);
    match after.checked_sub(before) {
        None if before - after <= JITTER_NS => Some(0),
        difference => difference,
    }
}

/// The instructions between two readings of (count, time enabled, time running), and whether they
/// were scaled up. While a counter is multiplexed with others it runs for a part of the time only.
fn counted(before: [u64; 3], after: [u64; 3]) -> Option<(u64, bool)> {
    let count = after[0].checked_sub(before[0])?;
    let enabled = after[1].checked_sub(before[1])?;
    let running = after[2].checked_sub(before[2])?;
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

    fn reading(cpu_ns: u64, instructions: Option<[u64; 3]>) -> Reading {
        Reading {
            cpu_ns: Some(cpu_ns),
            allocated: None,
            instructions,
        }
    }

    #[test]
    fn adds_up_over_polls_and_scales_a_shared_counter() {
        let mut usage = Usage::new();
        usage.add(
            reading(10, Some([100, 50, 50])),
            reading(15, Some([300, 60, 60])),
        );
        assert_eq!(
            (usage.cpu_ns(), usage.instructions(), usage.scaled()),
            (Some(5), Some(200), false)
        );
        usage.add(
            reading(100, Some([0, 0, 0])),
            reading(103, Some([40, 20, 10])),
        );
        assert_eq!(
            (usage.cpu_ns(), usage.instructions(), usage.scaled()),
            (Some(8), Some(280), true)
        );
    }

    #[test]
    fn what_one_poll_could_not_read_is_absent_not_zero() {
        let mut usage = Usage::new();
        usage.add(reading(10, Some([0, 0, 0])), reading(15, Some([7, 9, 9])));
        usage.add(reading(10, None), reading(15, None));
        assert_eq!((usage.cpu_ns(), usage.instructions()), (Some(10), None));
        let mut never_ran = Usage::new();
        never_ran.add(reading(10, Some([5, 5, 5])), reading(15, Some([5, 9, 5])));
        assert_eq!(
            (never_ran.instructions(), never_ran.scaled()),
            (None, false)
        );
    }

    #[test]
    fn a_clock_that_steps_back_by_its_error_has_not_moved() {
        let mut usage = Usage::new();
        usage.add(reading(1_300, None), reading(1_000, None));
        assert_eq!(usage.cpu_ns(), Some(0));
    }

    #[test]
    fn an_impossible_difference_is_absent() {
        let mut usage = Usage::new();
        usage.add(
            reading(9_000, Some([9, 9, 9])),
            reading(1_000, Some([7, 9, 9])),
        );
        assert_eq!((usage.cpu_ns(), usage.instructions()), (None, None));
    }
}
