//! Where a series changed for good: its level, or the way it grows.
//!
//! For series of one value a day or a week, as the weight of the peak minute. They are short, their
//! noise is correlated from one value to the next, some grow steadily, some have the shape of the
//! week, and some values are simply wrong. So, one after the other: the shape of a period is taken
//! off where there is one (`season`); single wrong values are drawn in (`noise`); and of all
//! ways to cut the series, exactly, the best is found (`partition`) together with the correlation of the noise and
//! the look of the segments, level or straight lines (`model`).

mod fit;
mod model;
mod noise;
mod partition;
mod season;

#[cfg(test)]
mod tests;

use statrs::distribution::{ChiSquared, ContinuousCDF};

use model::Model;

/// Fewer values than this are never cut off as a segment of their own.
const SHORTEST: usize = 4;

/// One place where a series changed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChangePoint {
    /// The first value after the change, from 0.
    pub index: usize,
    /// The mean of the segment that ends there, in the series' own unit.
    pub before: f64,
    /// The mean of the segment that begins there, in the series' own unit.
    pub after: f64,
    /// How sure it is that there is a change, from 0 to 1: one less the chance that a series without
    /// any (of normal noise) shows as large a one anywhere.
    pub confidence: f64,
}

/// Finds the changes of a series, in order. `None` is a gap: nothing was measured there.
///
/// One set of constants for all series, and nothing to set: what is found does not depend on the
/// unit of the values. A series of fewer than six values, or one that never varies, has no changes. Values that are
/// not finite are gaps. What is smaller than a tenth of the series' own spread is not seen. Up to 2,000 values the best cuts are found
/// exactly; of more, a thousandth of the series is the shortest segment that is told by itself, so that time grows with
/// the length and not with its square.
///
/// Methods: optimal partitioning with pruning (Killick, Fearnhead and Eckley 2012, PELT); a penalty in the manner of
/// Zhang and Siegmund 2007; correlated noise by Cochrane and Orcutt 1949, chosen together with the cuts.
///
/// ```
/// let mut series: Vec<Option<f64>> = (0..40).map(|day| Some(f64::from(day * 7 % 5))).collect();
/// for value in series.iter_mut().skip(25).flatten() {
///     *value += 20.0;
/// }
/// let changes = appweight::changepoints::changepoints(&series);
/// assert_eq!(changes.len(), 1);
/// assert_eq!(changes[0].index, 25);
/// assert!(changes[0].after > changes[0].before && changes[0].confidence > 0.999);
/// ```
#[must_use]
pub fn changepoints(series: &[Option<f64>]) -> Vec<ChangePoint> {
    let (places, values): (Vec<usize>, Vec<f64>) = series
        .iter()
        .enumerate()
        .filter_map(|(at, value)| Some((at, value.filter(|value| value.is_finite())?)))
        .unzip();
    if values.len() < 2 * SHORTEST {
        return Vec::new();
    }
    let steady = noise::draw_in(&season::take_off(&values));
    let Some(model) = Model::best_of(&steady) else {
        return Vec::new();
    };
    let mean = |from: usize, until: usize| {
        let part = &values[from..until];
        part.iter().sum::<f64>() / part.len() as f64
    };
    let bounds: Vec<usize> = [0]
        .into_iter()
        .chain(model.starts.iter().copied())
        .chain([values.len()])
        .collect();
    bounds
        .windows(3)
        .map(|three| ChangePoint {
            index: places[three[1]],
            before: mean(three[0], three[1]),
            after: mean(three[1], three[2]),
            confidence: confidence(
                model.gain(three[0], three[1], three[2]),
                model.shape().parameters(),
                three[2] - three[0],
            ),
        })
        .collect()
}

/// The gain of a cut is χ²-distributed where there is nothing to find; it was the best of `places`.
fn confidence(gain: f64, parameters: usize, places: usize) -> f64 {
    let tail = ChiSquared::new(parameters as f64).map_or(1.0, |chi| chi.sf(gain.max(0.0)));
    (1.0 - tail * places as f64).max(0.0)
}
