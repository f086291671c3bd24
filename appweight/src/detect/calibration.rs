/// Standard errors beyond which an estimate counts as if it were there: a real change must not pass for noise.
const CLIPPED_AT: f64 = 2.5;
/// The mean of a normal number's square that is clipped there: 0.8999 from within, 6.25 × 0.0124 from beyond.
const CLIPPED_SQUARE: f64 = 0.9775;
/// Estimates that what is usual is worth beside one's own.
const WORTH: f64 = 40.0;
/// Estimates after which an old one counts 1/e: some days of deploys.
const MEMORY: f64 = 200.0;
/// By how much errors may turn out other than they were told.
const SCALES: std::ops::RangeInclusive<f64> = 0.8..=2.0;

/// By how much standard errors are larger or smaller in truth than the model of the noise says.
///
/// Nearly all pairs of deploy and endpoint have not changed, so that the spread of past estimates in their own standard errors should be 1:
/// an empirical null (Efron 2004, "Large-scale simultaneous hypothesis testing: the choice of a null hypothesis", *JASA* 99).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Calibration {
    squares: f64,
    count: f64,
}

impl Calibration {
    /// Takes up what a watch ended with: the estimate in standard errors as the model has them. `scale` is what is in use.
    pub(crate) fn add(&mut self, z: f64, scale: f64) {
        if z.is_finite() {
            let kept = 1.0 - 1.0 / MEMORY;
            self.squares *= kept;
            self.count *= kept;
            self.squares += (z * z).min((CLIPPED_AT * scale).powi(2)) / CLIPPED_SQUARE;
            self.count += 1.0;
        }
    }

    pub(crate) fn absorb(&mut self, other: &Self) {
        self.squares += other.squares;
        self.count += other.count;
    }

    /// What standard errors are to be multiplied by, with what is usual as prior.
    pub(crate) fn scale(&self, usual: f64) -> f64 {
        let square = (self.squares + WORTH * usual * usual) / (self.count + WORTH);
        square.sqrt().clamp(*SCALES.start(), *SCALES.end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_that_were_told_too_large_are_found_out_whatever_a_few_changes_do() {
        let mut random = fastrand::Rng::with_seed(9);
        let mut normal = || (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
        let mut calibration = Calibration::default();
        let mut scale = 1.0;
        for at in 0..2000 {
            let change = if at % 100 == 0 { 8.0 } else { 0.0 };
            calibration.add(0.85 * normal() + change, scale);
            scale = calibration.scale(1.0);
        }
        assert!((scale - 0.88).abs() < 0.06, "{scale}");
        assert_eq!(Calibration::default().scale(1.1), 1.1);
    }
}
