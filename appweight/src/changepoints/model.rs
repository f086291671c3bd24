//! Which of all descriptions of a series is the best: how correlated its noise is, what its segments
//! look like, and where they begin.

use super::fit::{Fits, Shape};
use super::noise;
use super::partition::partition;

/// Correlations that are tried. What a series keeps for longer than some ten values is no noise: it has changed.
const CORRELATIONS: [f64; 10] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];
/// Rounds of cutting with the variance that the last cut left.
const ROUNDS: usize = 3;
/// No variance of noise below this part of the whole variance: levels and lines are a simplification, and a tenth of the
/// spread is as near as they need to come. What is smoother than that would else be cut wherever it bends.
const LEAST_NOISE: f64 = 0.01;

/// A description of a series.
pub(super) struct Model {
    fits: Fits,
    /// Where segments begin, but for the first.
    pub(super) starts: Vec<usize>,
    variance: f64,
    /// The lower, the better described.
    criterion: f64,
}

impl Model {
    /// The best description.
    ///
    /// Each is scored by what it leaves and by what it needs: n·ln(what is left, squared / n) plus, for
    /// each segment, ln n for each number fitted, twice that for its place, since a place is not a
    /// parameter like others (Zhang and Siegmund 2007), and once more because correlation and cuts
    /// explain the same things and are chosen together (as Romano, Rigaill, Runge and Fearnhead 2022
    /// do): in a short series too little correlation and one cut too many fit best too often else.
    pub(super) fn best_of(series: &[f64]) -> Option<Self> {
        [Shape::Level, Shape::Line]
            .into_iter()
            .flat_map(|shape| CORRELATIONS.map(|correlation| (shape, correlation)))
            .filter_map(|(shape, correlation)| Self::new(series, shape, correlation))
            .min_by(|a, b| a.criterion.total_cmp(&b.criterion))
    }

    fn new(series: &[f64], shape: Shape, correlation: f64) -> Option<Self> {
        let count = series.len();
        let fits = Fits::new(series, shape, correlation);
        let whole = fits.left(0, count).max(level_squares(series));
        let least = whole * LEAST_NOISE / count as f64;
        if least <= 0.0 {
            return None;
        }
        let logarithm = (count as f64).ln();
        let penalty = (shape.parameters() + 3) as f64 * logarithm;
        let innovations: Vec<f64> = series
            .windows(2)
            .map(|two| two[1] - correlation * two[0])
            .collect();
        let mut variance = noise::variance(&innovations).max(least);
        let mut starts = Vec::new();
        let mut criterion = f64::INFINITY;
        for round in 0..ROUNDS {
            let before = std::mem::replace(&mut starts, partition(&fits, count, variance, penalty));
            let left: f64 = segments(&starts, count)
                .map(|(from, until)| fits.left(from, until))
                .sum();
            let segments = starts.len() + 1;
            let values = (count - segments) as f64;
            criterion = count as f64 * (left / values).max(least).ln() + segments as f64 * penalty;
            let freedom = (values - (segments * shape.parameters()) as f64).max(1.0);
            variance = (left / freedom).max(least);
            if round > 0 && before == starts {
                break;
            }
        }
        settle(series, &mut starts);
        Some(Self {
            fits,
            starts,
            variance,
            criterion,
        })
    }

    /// By how many variances less is left, squared, if `from..until` is cut at `at`.
    pub(super) fn gain(&self, from: usize, at: usize, until: usize) -> f64 {
        let parts = self.fits.left(from, at) + self.fits.left(at, until);
        (self.fits.left(from, until) - parts) / self.variance
    }

    pub(super) fn shape(&self) -> Shape {
        self.fits.shape()
    }
}

/// A segment's first value is left out of its fit, so that it may as well be the last of the one before:
/// it belongs to the side that it lies nearer to.
fn settle(series: &[f64], starts: &mut [usize]) {
    for start in starts {
        let step = |at: usize| (series[at] - series[at - 1]).abs();
        if *start + 1 < series.len() && step(*start + 1) > step(*start) {
            *start += 1;
        }
    }
}

/// The segments that begin there.
fn segments(starts: &[usize], count: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
    let ends = starts.iter().copied().chain([count]);
    [0].into_iter().chain(starts.iter().copied()).zip(ends)
}

fn level_squares(series: &[f64]) -> f64 {
    let mean = series.iter().sum::<f64>() / series.len() as f64;
    series.iter().map(|value| (value - mean).powi(2)).sum()
}
