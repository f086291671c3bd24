use statrs::distribution::{ContinuousCDF, StudentsT};

/// A relative change with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Interval {
    pub(crate) change: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// The change by logarithms of ratios, each of a round: their mean, which one round disturbed by the machine moves little, with
/// a t interval. Nothing is known of fewer than two.
pub(crate) fn change_of(logs: &[f64]) -> Interval {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 blocks")]
    let n = logs.len() as f64;
    let mean = logs.iter().sum::<f64>() / n;
    let variance = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let half = StudentsT::new(0.0, 1.0, n - 1.0).map_or(f64::INFINITY, |t| {
        t.inverse_cdf(0.975) * (variance / n).sqrt()
    });
    Interval {
        change: mean.exp_m1(),
        low: (mean - half).exp_m1(),
        high: (mean + half).exp_m1(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_the_tables() {
        // Mean 2, standard error sqrt(1/3), t(0.975, 2) = 4.303.
        let found = change_of(&[1.0, 2.0, 3.0]);
        let half = 4.302_653 * (1.0_f64 / 3.0).sqrt();
        assert!((found.low.ln_1p() - (2.0 - half)).abs() < 1e-5, "{found:?}");
        assert!(
            (found.high.ln_1p() - (2.0 + half)).abs() < 1e-5,
            "{found:?}"
        );
        assert_eq!(change_of(&[0.1]).high, f64::INFINITY);
    }

    #[test]
    fn a_fixed_factor_is_found_and_lies_in_its_interval() {
        let mut rng = fastrand::Rng::with_seed(2);
        let logs: Vec<f64> = (0..400)
            .map(|_| (1.2 * (0.95 + 0.1 * rng.f64())).ln())
            .collect();
        let found = change_of(&logs);
        assert!(found.low < 0.2 && 0.2 < found.high, "{found:?}");
        assert!(found.high - found.low < 0.02, "{found:?}");
    }
}
