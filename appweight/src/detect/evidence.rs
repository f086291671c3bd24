//! Evidence that may be looked at every minute.

use statrs::function::erf::erfc_inv;

/// What the minutes of a watch may spend of its level, by minutes since its first look: the most at the watch's end, when most is known, some
/// half-way, and a little in each minute, so that what is plain is called at once.
const AT_THE_END: f64 = 0.6;
const HALF_WAY: (i64, f64) = (30, 0.1);
const MINUTES: i64 = 60;
const BY_THE_MINUTE: f64 = 0.28;
const LATER: f64 = 0.02;

/// The part of a pair's level that a look may spend, `minute` minutes after the first.
///
/// The parts of all minutes that there can be sum to 1, and do not depend on what is seen, so that by the union bound
/// the chance that a clean pair is ever called is at most the level, however its looks depend on each other. That
/// makes a confidence sequence of the intervals (Darling and Robbins 1967, "Confidence sequences for mean, variance, and
/// median"), as the unequal parts of a group-sequential plan do (Lan and DeMets 1983, "Discrete sequential boundaries
/// for clinical trials").
pub(crate) fn part_of_level(minute: i64, is_end: bool) -> f64 {
    if is_end {
        return AT_THE_END;
    }
    let (at, part) = HALF_WAY;
    let waited_for = if minute == at { part } else { 0.0 };
    waited_for
        + if minute < MINUTES {
            BY_THE_MINUTE / MINUTES as f64
        } else {
            let after = (minute - MINUTES) as f64;
            LATER / ((after + 1.0) * (after + 2.0))
        }
}

/// The part that a look may hope for in the end.
pub(crate) const LARGEST_PART: f64 = AT_THE_END;

/// The standard errors, of either sign, that chance exceeds with that probability.
pub(crate) fn z_of(probability: f64) -> f64 {
    std::f64::consts::SQRT_2 * erfc_inv(probability)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_never_spends_more_than_its_level() {
        let minutes = (0..100_000).map(|minute| part_of_level(minute, false));
        let spent = minutes.sum::<f64>() + part_of_level(70, true);
        assert!(spent <= 1.0 && spent > 0.999, "{spent}");
    }

    #[test]
    fn standard_errors_are_those_of_a_normal_number() {
        for (probability, z) in [(0.05, 1.959_964), (5.733_03e-7, 5.0), (1.523_97e-23, 10.0)] {
            assert!(
                (z_of(probability) - z).abs() < 1e-4,
                "{}",
                z_of(probability)
            );
        }
    }

    #[test]
    fn a_clean_watch_is_called_no_more_often_than_its_level() {
        let mut random = fastrand::Rng::with_seed(6);
        let mut normal = || (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
        let bounds: Vec<f64> = (0..70)
            .map(|minute| z_of(0.1 * part_of_level(minute, minute == 69)))
            .collect();
        let called = (0..4000)
            .filter(|_| {
                let mut score = 0.0;
                bounds.iter().enumerate().any(|(minute, bound)| {
                    score += normal();
                    let score: f64 = score / ((minute + 1) as f64).sqrt();
                    score.abs() >= *bound
                })
            })
            .count();
        assert!(called <= 400, "{called} of 4000 at a promised 10 %");
        assert!(called >= 100, "{called}: the bound is of no use");
    }
}
