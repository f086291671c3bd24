use super::group::Group;
use crate::sys;

/// What came of reading a counter in user space and by the system call, in turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trial {
    /// All reads fit each other.
    Agrees,
    /// It cannot be read in user space, at least not at the moment.
    NotOffered,
    /// One is wrong.
    Differs,
}

/// How often both are read.
const ROUNDS: usize = 8;
/// How far two readings of the time may be apart: both are rounded to nanoseconds.
const ROUNDING_NS: u64 = 100;

/// Tries to read an event of the group without a system call: each reading must lie between that
/// of the event alone and that of the group. Costs some microseconds.
pub(crate) fn trial(group: &Group, event: usize) -> Trial {
    for _ in 0..ROUNDS {
        let before = group.descriptor(event).and_then(sys::read_perf_counter);
        let Some(between) = group.read_in_user_space(event) else {
            return Trial::NotOffered;
        };
        let after = group.read().and_then(|reading| reading.of(event));
        match (before, after) {
            (Some(before), Some(after)) if fits(before, between, after) => {}
            _ => return Trial::Differs,
        }
    }
    Trial::Agrees
}

/// Whether a reading (count, time enabled, time running) can have been made between the others.
fn fits(before: [u64; 3], between: [u64; 3], after: [u64; 3]) -> bool {
    let slack = [0, ROUNDING_NS, ROUNDING_NS];
    let in_order = (0..3).all(|number| {
        between[number].saturating_add(slack[number]) >= before[number]
            && between[number] <= after[number].saturating_add(slack[number])
    });
    // Both times are rounded alike. A difference that only one way of reading shows would be taken
    // for a counter that is shared with others.
    let missed = |[_, enabled, running]: [u64; 3]| enabled.checked_sub(running);
    in_order
        && missed(before) <= missed(between)
        && missed(between).is_some()
        && missed(between) <= missed(after)
}

#[cfg(test)]
mod tests {
    use perf_event::events::Software;

    use super::*;
    use crate::counters::group::Event;

    #[test]
    fn a_reading_fits_only_between_the_others() {
        let (before, after) = ([100, 5_000, 4_000], [200, 9_000, 7_500]);
        assert!(fits(before, [150, 7_000, 6_000], after));
        assert!(fits(before, before, after) && fits(before, after, after));
        assert!(fits(before, [150, 4_950, 3_950], after), "rounded");
        assert!(!fits(before, [99, 7_000, 6_000], after));
        assert!(!fits(before, [201, 7_000, 6_000], after));
        assert!(!fits(before, [150 + (1 << 48), 7_000, 6_000], after));
        assert!(!fits(before, [150, 0, 6_000], after), "a stale time");
        assert!(!fits(before, [150, 7_000, 9_000], after));
        assert!(
            !fits(before, [150, 7_000, 6_001], after),
            "ran longer than it did"
        );
        assert!(
            !fits(before, [150, 8_000, 6_000], after),
            "missed what it did not"
        );
    }

    #[test]
    fn an_event_of_the_kernel_s_own_is_not_offered() {
        if let Ok(group) = Group::open(&[Event::user(Software::TASK_CLOCK)], &[0]) {
            assert_eq!(trial(&group, 0), Trial::NotOffered);
        }
    }
}
