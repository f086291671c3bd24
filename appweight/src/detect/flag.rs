use super::regression::Estimate;

/// One (flag, value, endpoint) held against "off", minute by minute inside cluster and deploy.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FlagPair {
    information: f64,
    score: f64,
    /// Sum over minutes of squared differences in their own standard errors, and their number.
    squares: f64,
    count: f64,
}

impl FlagPair {
    /// A minute's difference of log costs with the variance that its requests give it.
    pub(crate) fn add(&mut self, difference: f64, variance: f64) {
        self.information += 1.0 / variance;
        self.score += difference / variance;
        self.squares += difference * difference / variance;
        self.count += 1.0;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.information <= 0.0
    }

    /// The flag's effect. Where minutes differ by more than their requests explain, the variance is raised to that
    /// (Cochran's Q over its degrees of freedom).
    pub(crate) fn estimate(&self) -> Estimate {
        let effect = self.score / self.information;
        let q = self.squares - self.score * effect;
        let excess = (q / (self.count - 1.0).max(1.0)).max(1.0);
        Estimate {
            effect,
            variance: excess / self.information,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_count_by_their_precision_and_disagreement_widens() {
        let mut pair = FlagPair::default();
        pair.add(0.10, 0.01);
        pair.add(0.20, 0.02);
        let estimate = pair.estimate();
        assert!((estimate.effect - 20.0 / 150.0).abs() < 1e-12);
        assert!((estimate.variance - 1.0 / 150.0).abs() < 1e-12);
        pair.add(1.10, 0.01);
        assert!(pair.estimate().variance > 10.0 / 250.0);
    }
}
