/// The distributions that a simulated day is drawn from, over one seeded generator.
#[derive(Debug, Clone)]
pub(crate) struct Random {
    source: fastrand::Rng,
    spare: Option<f64>,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            source: fastrand::Rng::with_seed(seed),
            spare: None,
        }
    }

    /// Uniform between two numbers.
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.source.f64()
    }

    /// Uniform on a logarithmic scale.
    pub(crate) fn log_between(&mut self, low: f64, high: f64) -> f64 {
        self.between(low.ln(), high.ln()).exp()
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.source.usize(..bound)
    }

    pub(crate) fn happens(&mut self, probability: f64) -> bool {
        self.source.f64() < probability
    }

    pub(crate) fn sign(&mut self) -> f64 {
        if self.source.bool() { 1.0 } else { -1.0 }
    }

    /// A standard normal number (Marsaglia's polar method, 1964).
    pub(crate) fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let (a, b) = (self.between(-1.0, 1.0), self.between(-1.0, 1.0));
            let square = a * a + b * b;
            if square > 0.0 && square < 1.0 {
                let factor = (-2.0 * square.ln() / square).sqrt();
                self.spare = Some(b * factor);
                return a * factor;
            }
        }
    }

    /// A Poisson number: by multiplication (Knuth) where the mean is small, else a rounded normal one,
    /// whose distribution function is then off by less than 2 %.
    pub(crate) fn poisson(&mut self, mean: f64) -> u64 {
        if mean > 30.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0) as u64;
        }
        let limit = (-mean).exp();
        let mut product = self.source.f64();
        let mut count = 0;
        while product > limit {
            product *= self.source.f64();
            count += 1;
        }
        count
    }
}
