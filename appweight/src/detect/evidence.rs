//! Evidence that may be looked at every minute.

use statrs::function::erf::erfc_inv;

/// What the minutes of a watch may spend of its level, by minutes since its first look: much where it is worth waiting for, the
/// most at the watch's end, and a little in each minute, so that what is plain is called at once.
const WAITED_FOR: [(i64, f64); 3] = [(20, 0.1), (30, 0.15), (45, 0.1)];
const AT_THE_END: f64 = 0.35;
const MINUTES: i64 = 60;
const BY_THE_MINUTE: f64 = 0.24;
const LATER: f64 = 0.06;

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
    let waited_for = WAITED_FOR.iter().find(|(at, _)| *at == minute);
    let waited_for = waited_for.map_or(0.0, |(_, part)| *part);
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

/// The information about a flag at which its watch ends is about so many times that of the prior's
/// centre: of the changes that can be told at all, the prior takes the smaller ones as likely.
const INFORMATION_RATIO: f64 = 9.0;

/// The log of the e-value against "no change": a likelihood ratio, mixed over changes ~ N(0, 1 / ρ),
/// which for a score that is a Brownian motion in its own information is a martingale, so that
/// looking every minute does not raise the rate of false alarms (Robbins 1970, "Statistical methods related to the law of
/// the iterated logarithm"; Howard, Ramdas, McAuliffe and Sekhon 2021, "Time-uniform, nonparametric,
/// nonasymptotic confidence sequences", proposition 5):
/// ln E = z² / 2 × I / (I + ρ) − ½ ln((I + ρ) / ρ).
///
/// ρ is the information that is expected in the end, divided by nine; it must be chosen before the data are seen.
pub(crate) fn log_e_value(z: f64, information: f64, expected_information: f64) -> f64 {
    let rho = expected_information / INFORMATION_RATIO;
    z * z / 2.0 * information / (information + rho) - 0.5 * (information / rho).ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mixture_is_the_integral_over_its_changes() {
        let (score, information, rho) = (7.0_f64, 4.0_f64, 2.0_f64);
        let steps = 20_000;
        let integral: f64 = (0..steps)
            .map(|step| {
                let change = -10.0 + 20.0 * (f64::from(step) + 0.5) / f64::from(steps);
                let prior =
                    (rho / std::f64::consts::TAU).sqrt() * (-rho * change * change / 2.0).exp();
                let ratio = (change * score - information * change * change / 2.0).exp();
                prior * ratio * 20.0 / f64::from(steps)
            })
            .sum();
        let closed = log_e_value(
            score / information.sqrt(),
            information,
            rho * INFORMATION_RATIO,
        );
        assert!((closed - integral.ln()).abs() < 1e-6);
    }

    #[test]
    fn looking_at_every_step_does_not_raise_the_rate() {
        let mut random = fastrand::Rng::with_seed(5);
        let mut normal = || (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
        let crossed = (0..4000)
            .filter(|_| {
                let mut score = 0.0;
                (1..=200).any(|step| {
                    score += normal();
                    let information = f64::from(step);
                    log_e_value(score / information.sqrt(), information, 200.0) >= 20.0_f64.ln()
                })
            })
            .count();
        assert!(crossed <= 200, "{crossed} of 4000 at a promised 5 %");
        assert!(crossed >= 20, "{crossed}: the bound is of no use");
    }

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
