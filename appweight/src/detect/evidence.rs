//! Evidence that may be looked at every minute.

/// The information at which the watch of a deploy ends is about so many times that of the prior's
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

/// The standard errors at which that log e-value is reached when all information that is expected is in.
pub(crate) fn z_of(log_e: f64) -> f64 {
    let reached = log_e.max(0.0) + 0.5 * (1.0 + INFORMATION_RATIO).ln();
    (2.0 * reached * (1.0 + INFORMATION_RATIO) / INFORMATION_RATIO).sqrt()
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
    fn an_e_value_is_reached_at_its_own_z() {
        let log_e = 8.0;
        assert!((log_e_value(z_of(log_e), 500.0, 500.0) - log_e).abs() < 1e-12);
    }
}
