//! Single wrong values of a series, and how large its noise is.

use crate::median::median;

/// The median of |x| for a standard normal x.
const MEDIAN_OF_NORMAL: f64 = 0.674_489_750_196_081_7;
/// So many standard deviations from its neighbours' median is drawn in to just that.
const FARTHEST: f64 = 3.0;
/// Neighbours on each side.
const NEIGHBOURS: usize = 3;

/// The series with each value that stands alone drawn in to its neighbours (a Hampel filter): it is a
/// mistake or an incident, no change. A step stays as it is, since most neighbours of its last value are
/// on its own side.
pub(super) fn draw_in(series: &[f64]) -> Vec<f64> {
    let middles: Vec<f64> = (0..series.len())
        .map(|at| {
            let from = at.saturating_sub(NEIGHBOURS);
            let until = (at + NEIGHBOURS + 1).min(series.len());
            median(&mut series[from..until].to_vec())
        })
        .collect();
    let mut distances: Vec<f64> = series
        .iter()
        .zip(&middles)
        .map(|(value, middle)| (value - middle).abs())
        .collect();
    let reach = FARTHEST * median(&mut distances) / MEDIAN_OF_NORMAL;
    // Most values are their neighbours' median: a series of bare steps, or of few different values.
    if reach <= 0.0 {
        return series.to_vec();
    }
    series
        .iter()
        .zip(&middles)
        .map(|(value, middle)| value.clamp(middle - reach, middle + reach))
        .collect()
}

/// The variance of what is new in each value, from differences of neighbours, which changes of level
/// hardly touch. 0 for a series that never varies.
pub(super) fn variance(innovations: &[f64]) -> f64 {
    let mut differences: Vec<f64> = innovations.windows(2).map(|two| two[1] - two[0]).collect();
    let middle = median(&mut differences);
    let mut distances: Vec<f64> = differences
        .iter()
        .map(|difference| (difference - middle).abs())
        .collect();
    // Differences of independent noise have twice its variance.
    (median(&mut distances) / MEDIAN_OF_NORMAL).powi(2) / 2.0
}
