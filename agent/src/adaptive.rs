//! How thinly an endpoint is counted, from what it saw before. Numbers only: no clock, no thread.

/// An endpoint that falls silent from one moment to the next is counted so thinly for one more span
/// at most. A million requests a minute are thinned to a thousand with it.
pub(crate) const THINNEST: u32 = 1_024;

/// One in how many requests is counted in the next span, if one in `one_in` was in the last, in
/// which the endpoint saw `seen` requests: so that `target` of them or up to twice as many are
/// counted, or all if there are fewer.
///
/// It is a power of two, and stays while what it gave lies between three quarters of the target and
/// twice the target: every change opens a cell more, and chance alone moves a count.
pub(crate) fn next(one_in: u32, seen: u64, target: u64) -> u32 {
    let target = target.max(1);
    let counted = seen / u64::from(one_in.max(1));
    // Three quarters, without going over the largest number.
    let few = target - target / 4;
    if one_in > 0 && (few..target.saturating_mul(2)).contains(&counted) {
        return one_in;
    }
    let most = seen / target;
    match most.checked_ilog2() {
        Some(power) => 1 << power.min(THINNEST.ilog2()),
        None => 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TARGET: u64 = 1_000;

    #[test]
    fn a_rare_endpoint_is_counted_whole_and_a_busy_one_is_thinned() {
        assert_eq!(next(1, 0, TARGET), 1);
        assert_eq!(next(1, 1_999, TARGET), 1);
        assert_eq!(next(1, 2_000, TARGET), 2);
        assert_eq!(next(1, 60_000, TARGET), 32);
        assert_eq!(next(1, u64::MAX, TARGET), THINNEST);
        // Fallen silent, or to a tenth.
        assert_eq!(next(THINNEST, 12, TARGET), 1);
        assert_eq!(next(32, 6_000, TARGET), 4);
        // What chance moves changes nothing.
        assert_eq!(next(2, 1_990, TARGET), 2);
        assert_eq!(next(2, 2_010, TARGET), 2);
    }

    proptest! {
        #[test]
        fn what_is_counted_next_is_enough_and_bounded(
            power in 0_u32..=10,
            seen in prop_oneof![0_u64..100_000, any::<u64>()],
            target in prop_oneof![0_u64..5_000, any::<u64>()],
        ) {
            let chosen = next(1 << power, seen, target);
            prop_assert!(chosen.is_power_of_two() && chosen <= THINNEST);
            let counted = seen / u64::from(chosen);
            let target = target.max(1);
            prop_assert!(chosen == 1 || counted >= target - target / 4, "too few");
            prop_assert!(chosen == THINNEST || counted < target.saturating_mul(2) || counted == u64::MAX, "too many");
            // The same again: it has settled.
            prop_assert_eq!(next(chosen, seen, target), chosen);
        }
    }
}
