/// A relative change with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Interval {
    pub(super) change: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

/// The change from the first to the second of each pair: the mean of the logarithms of their ratios,
/// which one block disturbed by the machine moves little, with a t interval.
pub(super) fn relative_change(pairs: &[(f64, f64)]) -> Interval {
    let logs: Vec<f64> = pairs
        .iter()
        .filter(|(base, changed)| *base > 0.0 && *changed > 0.0)
        .map(|(base, changed)| (changed / base).ln())
        .collect();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 blocks")]
    let n = logs.len() as f64;
    let mean = logs.iter().sum::<f64>() / n;
    let variance = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let half = t_975(n - 1.0) * (variance / n).sqrt();
    Interval {
        change: mean.exp_m1(),
        low: (mean - half).exp_m1(),
        high: (mean + half).exp_m1(),
    }
}

/// The 97.5 % quantile of Student's t, by the first terms of its expansion round the normal one
/// (Abramowitz and Stegun 26.7.5): right to 0.01 from 10 degrees of freedom on.
fn t_975(df: f64) -> f64 {
    const Z: f64 = 1.959_963_984_540_054;
    let first = (Z.powi(3) + Z) / 4.0;
    let second = (5.0 * Z.powi(5) + 16.0 * Z.powi(3) + 3.0 * Z) / 96.0;
    Z + first / df + second / (df * df)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_agree_with_the_tables() {
        for (df, expected) in [(10.0, 2.228), (30.0, 2.042), (1000.0, 1.962)] {
            assert!((t_975(df) - expected).abs() < 0.01, "{df}: {}", t_975(df));
        }
    }

    #[test]
    fn a_fixed_factor_is_found_and_lies_in_its_interval() {
        let mut rng = fastrand::Rng::with_seed(2);
        let pairs: Vec<(f64, f64)> = (0..400)
            .map(|_| {
                let base = 1000.0 * (0.5 + rng.f64());
                (base, base * 1.2 * (0.95 + 0.1 * rng.f64()))
            })
            .collect();
        let found = relative_change(&pairs);
        assert!(found.low < 0.2 && 0.2 < found.high, "{found:?}");
        assert!(found.high - found.low < 0.02, "{found:?}");
    }
}
