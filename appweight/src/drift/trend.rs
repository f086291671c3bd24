//! The slope of a series, its interval, and how likely such a one is by chance.

use std::f64::consts::PI;

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::median::median;

/// How sure the interval is.
const CONFIDENCE: f64 = 0.95;
/// No series of a few dozen values tells a higher correlation from a trend.
const MOST_CORRELATED: f64 = 0.95;

/// A straight line through a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Slope {
    /// By how much the value grows from one place to the next.
    pub(super) slope: f64,
    /// The interval's lower end.
    pub(super) low: f64,
    /// The interval's upper end.
    pub(super) high: f64,
    /// How likely as clear a slope is where there is none.
    pub(super) chance: f64,
}

/// The slope of values at rising places; of fewer than five, or of values that are all the same, there is none.
///
/// The slope is the median of those of all pairs (Theil 1950, Sen 1968). The test is that of Mann (1945) and Kendall, its
/// variance that of Hamed and Rao (1998) with the correlation of an autoregressive noise of first order, of which the
/// estimate is freed of its bias (van Giersbergen 2005); Student's t with as many degrees as there are
/// effective values less two (Santer et al. 2000), since that variance is itself an estimate.
pub(super) fn slope(points: &[(usize, f64)]) -> Option<Slope> {
    let count = points.len();
    if count < 5 {
        return None;
    }
    let mut slopes = Vec::with_capacity(count * (count - 1) / 2);
    let mut score = 0.0;
    for (at, (place, value)) in points.iter().enumerate() {
        for (later_place, later) in &points[at + 1..] {
            slopes.push((later - value) / (later_place - place) as f64);
            score += f64::from(later.total_cmp(value) as i8);
        }
    }
    slopes.sort_unstable_by(f64::total_cmp);
    let middle = median(&mut slopes.clone());
    let inflation = inflation(points, middle);
    let variance = independent_variance(points) * inflation;
    if variance <= 0.0 {
        return None;
    }
    let deviation = variance.sqrt();
    let freedom = (count as f64 / inflation - 2.0).max(1.0);
    let student = StudentsT::new(0.0, 1.0, freedom).ok()?;
    // The score moves by two where a pair turns: half of that is its middle.
    let z = (score.abs() - 1.0).max(0.0) / deviation;
    let reach = student.inverse_cdf(f64::midpoint(1.0, CONFIDENCE)) * deviation;
    let pairs = slopes.len() as f64;
    let last = slopes.len() - 1;
    let low = ((pairs - reach) / 2.0).floor().max(1.0) as usize - 1;
    let high = (((pairs + reach) / 2.0).ceil() as usize).min(last);
    Some(Slope {
        slope: middle,
        low: slopes[low.min(last)],
        high: slopes[high],
        chance: (2.0 * student.sf(z)).min(1.0),
    })
}

/// The variance of Kendall's score if values are independent, less what ties take (Kendall 1975).
fn independent_variance(points: &[(usize, f64)]) -> f64 {
    let of = |count: f64| count * (count - 1.0) * (2.0 * count + 5.0);
    let mut values: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
    values.sort_unstable_by(f64::total_cmp);
    let ties = values.chunk_by(|a, b| a == b).map(|tie| tie.len() as f64);
    (of(points.len() as f64) - ties.map(of).sum::<f64>()) / 18.0
}

/// By how much correlation from value to value makes the variance larger, 1 or more (Hamed and Rao 1998, with ρ of
/// each distance as that of autoregressive noise: estimated one by one they are too noisy, and the test says
/// "trend" two to four times as often as it should).
fn inflation(points: &[(usize, f64)], slope: f64) -> f64 {
    let count = points.len() as f64;
    let correlation = correlation(points, slope);
    let sum: f64 = (1..points.len())
        .map(|distance| {
            let left = count - distance as f64;
            // That of ranks, as the score sees it.
            let of_ranks = 6.0 / PI * (correlation.powi(distance as i32) / 2.0).asin();
            left * (left - 1.0) * (left - 2.0) * of_ranks
        })
        .sum();
    1.0 + 2.0 / (count * (count - 1.0) * (count - 2.0)) * sum
}

/// The correlation of neighbours about the line, by ranks, 0 or more. Those beside a gap are no neighbours.
fn correlation(points: &[(usize, f64)], slope: f64) -> f64 {
    let count = points.len() as f64;
    let about: Vec<f64> = points
        .iter()
        .map(|(place, value)| value - slope * *place as f64)
        .collect();
    let ranks = ranks(&about);
    let middle = f64::midpoint(1.0, count);
    let spread: f64 = ranks.iter().map(|rank| (rank - middle).powi(2)).sum();
    let neighbours = (1..points.len()).filter(|at| points[*at].0 == points[at - 1].0 + 1);
    let (mut sum, mut pairs) = (0.0, 0.0);
    for at in neighbours {
        sum += (ranks[at] - middle) * (ranks[at - 1] - middle);
        pairs += 1.0;
    }
    if spread <= 0.0 || pairs < 1.0 {
        return 0.0;
    }
    // As over all n - 1 neighbours where there is no gap.
    let of_ranks = sum / spread * ((count - 1.0) / pairs);
    let of_values = 2.0 * (PI * of_ranks / 6.0).sin();
    let unbiased = (count * of_values + 2.0) / (count - 4.0);
    unbiased.clamp(0.0, MOST_CORRELATED)
}

/// From 1 on; of equal values the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for tie in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let rank = before as f64 + f64::midpoint(1.0, tie.len() as f64);
        for at in tie {
            ranks[*at] = rank;
        }
        before += tie.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_and_its_variance_are_kendalls() {
        // Two ties of two: (10·9·25 - 2·(2·1·9)) / 18.
        let values = [1.0, 2.0, 2.0, 3.0, 4.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        let points: Vec<(usize, f64)> = values.into_iter().enumerate().collect();
        assert_eq!(independent_variance(&points), 2214.0 / 18.0);
        assert_eq!(ranks(&values)[..4], [1.0, 2.5, 2.5, 4.0]);
    }

    #[test]
    fn a_straight_line_has_its_slope_whatever_is_missing() {
        let points: Vec<(usize, f64)> = (0..40)
            .filter(|at| at % 5 != 3)
            .map(|at| (at, 3.0 + 0.25 * at as f64))
            .collect();
        let found = slope(&points).unwrap();
        assert!((found.slope - 0.25).abs() < 1e-12);
        assert!(found.chance < 1e-6, "{found:?}");
    }

    #[test]
    fn a_few_wild_values_do_not_turn_it() {
        let mut points: Vec<(usize, f64)> = (0..40).map(|at| (at, at as f64)).collect();
        for at in [3, 20, 38] {
            points[at].1 = -1_000.0;
        }
        let found = slope(&points).unwrap();
        assert!((found.slope - 1.0).abs() < 0.1, "{found:?}");
    }

    #[test]
    fn what_never_varies_has_no_slope() {
        let points: Vec<(usize, f64)> = (0..40).map(|at| (at, 7.0)).collect();
        assert_eq!(slope(&points), None);
        assert_eq!(slope(&points[..4]), None);
    }
}
