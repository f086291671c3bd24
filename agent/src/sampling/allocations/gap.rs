use std::cell::Cell;

use crate::sys;

thread_local! {
    /// The state of the thread's random numbers; 0 before the first.
    static STATE: Cell<u64> = const { Cell::new(0) };
}

/// How many bytes until the next sample, if there is one each `mean` bytes: as of raindrops, each byte is as likely as
/// any other, whatever came before.
pub(super) fn gap(mean: u64) -> u64 {
    // In (0, 1].
    let uniform = ((random() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
    (-uniform.ln() * mean as f64) as u64
}

/// How many bytes a sampled allocation stands for: the rarer it is that one of its size is sampled, the more.
pub(super) fn weight(bytes: u64, mean: u64) -> u64 {
    let chance = -(-(bytes as f64) / mean as f64).exp_m1();
    if chance > 0.0 {
        (bytes as f64 / chance).round() as u64
    } else {
        mean
    }
}

/// By xorshift: one that asks nobody for a seed that might allocate.
fn random() -> u64 {
    let mut state = STATE.get();
    if state == 0 {
        let here = STATE.with(|state| &raw const *state as u64);
        state = here.rotate_left(32) ^ sys::monotonic_ns() | 1;
    }
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    STATE.set(state);
    state.wrapping_mul(0x2545_f491_4f6c_dd1d)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_have_their_mean_and_their_spread() {
        let mean = 1 << 19;
        let gaps: Vec<f64> = (0..100_000).map(|_| gap(mean) as f64).collect();
        let average = gaps.iter().sum::<f64>() / gaps.len() as f64;
        // The mean of 100,000 of them has a standard error of 0.32 %.
        assert!((average / mean as f64 - 1.0).abs() < 0.02, "{average}");
        let longer = gaps.iter().filter(|gap| **gap > mean as f64).count();
        let expected = (-1.0_f64).exp();
        assert!(
            (longer as f64 / 100_000.0 - expected).abs() < 0.01,
            "{longer}"
        );
    }

    #[test]
    fn what_is_sampled_stands_for_what_is_not() {
        // A large one is nearly always sampled and stands for itself, a small one for a whole gap.
        assert_eq!(weight(64 << 20, 1 << 19), 64 << 20);
        let small = weight(16, 1 << 19);
        assert!(small.abs_diff(1 << 19) < 20, "{small}");
        assert_eq!(weight(0, 1 << 19), 1 << 19);
        let chance = 1.0 - (-0.5_f64).exp();
        assert_eq!(weight(500, 1_000), (500.0 / chance).round() as u64);
    }
}
