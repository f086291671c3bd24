//! Means per request and how sure they are.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::parts::Replicate;
use crate::compare::quantile;

/// Replicates with requests from which their spread is trusted. With fewer, an interval would be
/// wider than anything it could tell.
const MIN_REPLICATES: usize = 5;

/// Where a difference lies, with the confidence that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

impl Interval {
    /// Whether the difference may be none.
    #[must_use]
    pub fn holds_zero(&self) -> bool {
        self.low <= 0.0 && self.high >= 0.0
    }
}

/// What something costs per request, before and after.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = profile::Change)]
pub struct Change {
    /// Mean per request before.
    pub before: f64,
    /// Mean per request after.
    pub after: f64,
    /// Where the difference lies; absent if too few replicates were profiled to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
}

impl Change {
    /// How much more it is after.
    #[must_use]
    pub fn difference(&self) -> f64 {
        self.after - self.before
    }

    /// The same per so many requests.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self {
            before: self.before * factor,
            after: self.after * factor,
            interval: self.interval.map(|interval| Interval {
                low: interval.low * factor,
                high: interval.high * factor,
            }),
        }
    }

    /// Whether the difference is surely not zero. Not said without an interval.
    #[must_use]
    pub fn is_sure(&self) -> bool {
        self.interval.is_some_and(|interval| !interval.holds_zero())
    }

    /// From what both sides estimate.
    pub(super) fn between(before: &Mean, after: &Mean, reaches: &mut Reaches) -> Self {
        let difference = after.mean - before.mean;
        let interval = before.error.zip(after.error).map(|(old, new)| {
            let variance = old.variance + new.variance;
            // Welch and Satterthwaite.
            let parts = old.variance.powi(2) / old.freedom + new.variance.powi(2) / new.freedom;
            let freedom = if parts > 0.0 {
                variance.powi(2) / parts
            } else {
                old.freedom + new.freedom
            };
            let reach = variance.sqrt() * reaches.of(freedom);
            Interval {
                low: difference - reach,
                high: difference + reach,
            }
        });
        Self {
            before: before.mean,
            after: after.mean,
            interval,
        }
    }
}

/// How many standard errors intervals reach to either side, for a family of them at once (Bonferroni).
#[derive(Debug)]
pub(super) struct Reaches {
    confidence: f64,
    family: usize,
    /// By half degrees of freedom: the quantile takes far longer than all else.
    known: Vec<Option<f64>>,
}

impl Reaches {
    pub(super) fn new(confidence: f64, family: usize) -> Self {
        Self {
            confidence,
            family,
            known: Vec::new(),
        }
    }

    /// Degrees of freedom are rounded down, which makes an interval wider, never narrower.
    fn of(&mut self, freedom: f64) -> f64 {
        let halves = (freedom * 2.0).max(2.0) as usize;
        if self.known.len() <= halves {
            self.known.resize(halves + 1, None);
        }
        *self.known[halves]
            .get_or_insert_with(|| quantile(halves as f64 / 2.0, self.confidence, self.family))
    }
}

/// A mean per request.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mean {
    pub(super) mean: f64,
    pub(super) error: Option<Error>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Error {
    pub(super) variance: f64,
    pub(super) freedom: f64,
}

impl Mean {
    /// From what each replicate's requests cost together. The error is that of a ratio of sums, from
    /// the spread between replicates (Cochran, Sampling Techniques, 1977, chapter 6).
    pub(super) fn of(values: &[i64], replicates: &[Replicate]) -> Self {
        let requests: f64 = replicates.iter().map(|r| r.requests as f64).sum();
        if requests <= 0.0 {
            return Self::default();
        }
        let mean = values.iter().map(|value| *value as f64).sum::<f64>() / requests;
        let used = replicates.iter().filter(|r| r.requests > 0).count();
        let error = (used >= MIN_REPLICATES).then(|| {
            let squares: f64 = values
                .iter()
                .zip(replicates)
                .map(|(value, r)| ((*value as f64 - mean * r.requests as f64) / requests).powi(2))
                .sum();
            let used = used as f64;
            Error {
                variance: squares * used / (used - 1.0),
                freedom: used - 1.0,
            }
        });
        Self { mean, error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replicates(requests: &[u64]) -> Vec<Replicate> {
        requests
            .iter()
            .map(|requests| Replicate {
                requests: *requests,
                samples: 0,
            })
            .collect()
    }

    #[test]
    fn replicates_count_by_their_requests() {
        let mean = Mean::of(&[100, 300], &replicates(&[1, 3]));
        assert_eq!(mean.mean, 100.0);
        assert!(mean.error.is_none(), "two replicates tell no spread");
        assert_eq!(Mean::of(&[7], &replicates(&[0])).mean, 0.0);
    }

    #[test]
    fn the_interval_is_that_of_the_spread_between_replicates() {
        let before = Mean::of(&[90, 110, 95, 105, 100], &replicates(&[1; 5]));
        let after = Mean::of(&[140, 160, 145, 155, 150], &replicates(&[1; 5]));
        // The sample variance is 62.5, that of the mean of five 12.5.
        assert!((before.error.unwrap().variance - 12.5).abs() < 1e-9);
        let change = Change::between(&before, &after, &mut Reaches::new(0.95, 1));
        let interval = change.interval.unwrap();
        // Student's t with 8 degrees of freedom: 2.306 standard errors of 5.
        assert!((interval.low - (50.0 - 11.53)).abs() < 0.01, "{interval:?}");
        assert!(change.is_sure());
        let many = Change::between(&before, &after, &mut Reaches::new(0.95, 1_000));
        assert!(many.interval.unwrap().low < interval.low);
    }

    #[test]
    fn intervals_hold_as_often_as_they_say() {
        let mut random = fastrand::Rng::with_seed(5);
        let mut reaches = Reaches::new(0.9, 1);
        let (mut held, rounds) = (0, 2_000);
        let mut side = || {
            let requests = [40_u64; 16];
            let values: Vec<i64> = requests
                .iter()
                .map(|n| (0..*n).map(|_| random.i64(0..2_000)).sum())
                .collect();
            Mean::of(&values, &replicates(&requests))
        };
        for _ in 0..rounds {
            let (before, after) = (side(), side());
            let change = Change::between(&before, &after, &mut reaches);
            held += u32::from(change.interval.unwrap().holds_zero());
        }
        // 90 % of 2,000 with three standard deviations (13.4) to either side.
        assert!((1_760..=1_840).contains(&held), "{held}");
    }
}
