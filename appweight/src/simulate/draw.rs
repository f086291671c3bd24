//! Draws the sums of a cell's costs.
//!
//! Costs are lognormal, but for a small share that costs many times as much. Up to a dozen requests
//! are drawn one by one. For more, the sums of k lognormal costs are drawn from their distributions:
//! the mean of logs is normal; their variance is χ² with k − 1 degrees of freedom (taken as normal); and
//! the mean cost, given these two, is exp(mean + variance / 2) times 1 plus a normal number with
//! what they leave of the variance of a lognormal mean, (e^σ² − 1 − σ² − σ⁴/2) / k. The tail's requests are drawn apart.

use super::random::Random;

/// Up to so many requests are drawn one by one.
const ONE_BY_ONE: u64 = 12;

/// The sums of costs and of their logs, as a cell has them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sums {
    pub(crate) n: u64,
    pub(crate) sum: f64,
    pub(crate) sumsq: f64,
    pub(crate) sumlog: f64,
    pub(crate) sumsqlog: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Sums {
    fn none() -> Self {
        Self {
            n: 0,
            sum: 0.0,
            sumsq: 0.0,
            sumlog: 0.0,
            sumsqlog: 0.0,
            min: f64::INFINITY,
            max: 0.0,
        }
    }

    fn add_one(&mut self, log: f64) {
        let cost = log.exp();
        self.n += 1;
        self.sum += cost;
        self.sumsq += cost * cost;
        self.sumlog += log;
        self.sumsqlog += log * log;
        self.min = self.min.min(cost);
        self.max = self.max.max(cost);
    }
}

/// How an endpoint's costs are spread: mean and standard deviation of the log of a usual cost, and the tail.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) log_mean: f64,
    pub(crate) log_deviation: f64,
    pub(crate) tail_share: f64,
    pub(crate) tail_factor: f64,
}

impl Spread {
    /// Variance of the log of a cost, tail included.
    pub(crate) fn log_variance(&self) -> f64 {
        let between = self.tail_factor.ln();
        self.log_deviation.powi(2) + self.tail_share * (1.0 - self.tail_share) * between * between
    }
}

/// Draws n requests whose costs are `shift` (in logs) above the spread's.
pub(crate) fn draw(random: &mut Random, n: u64, spread: Spread, shift: f64) -> Sums {
    let mut sums = Sums::none();
    let mean = spread.log_mean + shift;
    let tail = random.poisson(n as f64 * spread.tail_share).min(n);
    for (count, mean) in [(n - tail, mean), (tail, mean + spread.tail_factor.ln())] {
        draw_lognormal(random, &mut sums, count, mean, spread.log_deviation);
    }
    sums
}

fn draw_lognormal(random: &mut Random, sums: &mut Sums, n: u64, mean: f64, deviation: f64) {
    if n <= ONE_BY_ONE {
        for _ in 0..n {
            let log = mean + deviation * random.normal();
            sums.add_one(log);
        }
        return;
    }
    let k = n as f64;
    let variance = deviation * deviation;
    let log_mean = mean + deviation / k.sqrt() * random.normal();
    let log_variance =
        (variance * (1.0 + (2.0 / (k - 1.0)).sqrt() * random.normal())).max(variance * 0.01);
    let left = (variance.exp() - 1.0 - variance - variance * variance / 2.0).max(0.0) / k;
    let cost =
        (log_mean + log_variance / 2.0).exp() * (1.0 + left.sqrt() * random.normal()).max(0.1);
    let farthest = deviation * (2.0 * k.ln()).sqrt();
    sums.n += n;
    sums.sum += k * cost;
    sums.sumsq += k * cost * cost * log_variance.exp();
    sums.sumlog += k * log_mean;
    sums.sumsqlog += (k - 1.0) * log_variance + k * log_mean * log_mean;
    sums.min = sums.min.min((log_mean - farthest).exp());
    sums.max = sums.max.max((log_mean + farthest).exp());
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPREAD: Spread = Spread {
        log_mean: 2.0,
        log_deviation: 0.8,
        tail_share: 0.02,
        tail_factor: 6.0,
    };

    /// Mean and variance over many cells of one size.
    fn moments(n: u64, of: impl Fn(&Sums) -> f64) -> (f64, f64) {
        let mut random = Random::new(7);
        let values: Vec<f64> = (0..20_000)
            .map(|_| of(&draw(&mut random, n, SPREAD, 0.0)))
            .collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values
            .iter()
            .map(|value| (value - mean).powi(2))
            .sum::<f64>()
            / values.len() as f64;
        (mean, variance)
    }

    #[test]
    fn large_cells_spread_as_small_ones_do() {
        for of in [
            (|sums: &Sums| sums.sumlog / sums.n as f64) as fn(&Sums) -> f64,
            |sums| sums.sum / sums.n as f64,
        ] {
            let (small_mean, small_variance) = moments(12, of);
            let (large_mean, large_variance) = moments(240, of);
            assert!((small_mean / large_mean - 1.0).abs() < 0.01);
            assert!((small_variance / (20.0 * large_variance) - 1.0).abs() < 0.06);
        }
    }

    #[test]
    fn the_spread_knows_its_own_moments() {
        let (mean, variance) = moments(100, |sums| sums.sumlog / sums.n as f64);
        assert!((variance * 100.0 / SPREAD.log_variance() - 1.0).abs() < 0.05);
        let (cost, _) = moments(100, |sums| sums.sum / sums.n as f64);
        let lognormal = (SPREAD.log_mean + SPREAD.log_deviation.powi(2) / 2.0).exp();
        let expected = lognormal * (1.0 + SPREAD.tail_share * (SPREAD.tail_factor - 1.0));
        assert!((cost / expected - 1.0).abs() < 0.01);
        assert!(mean > SPREAD.log_mean);
    }
}
