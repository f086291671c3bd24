//! How large a difference is, and how sure that is.
//!
//! The estimate is the ratio of two stratified means: within every span of time in which both
//! deploys served, their mean costs are set against each other, and spans count by
//! n₀·n₁ / (n₀ + n₁), as in a Mantel–Haenszel estimate (Cochran 1954), so that whatever moved both
//! at once (load, clock, a neighbour on the machine) falls out. Means, not ranks: capacity is a mean.
//!
//! The error is that of ln(after / before) by the delta method: the spread of requests within a
//! span, or the spread between spans or between host groups where one of these is clearly larger;
//! to which the noise between processes is added, which no number of requests averages away, and
//! what is not known of a restart's own effect, which is taken off.

use std::collections::BTreeMap;

use statrs::distribution::{ChiSquared, ContinuousCDF, StudentsT};

use super::restart::Restart;
use super::strata::{AFTER, BEFORE, EndpointStrata, Moments, Pair};
use crate::api::Change;
use crate::thresholds::{MIN_HOST_GROUPS_FOR_SPREAD, MIN_STRATA_FOR_SPREAD, SPREAD_CONFIDENCE};

/// A ratio of means with its error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Estimate {
    /// Mean cost, before and after, as measured.
    pub(crate) means: [f64; 2],
    /// What a restart adds to ln(after / before) by itself.
    pub(crate) restart: f64,
    /// Variance of ln(after / before): of the requests, of the processes and of the restart.
    pub(crate) variance: Variance,
}

/// A variance by where it comes from, and how well each part is known.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Variance {
    /// From the requests, or from spans or host groups where these differ more.
    pub(crate) requests: f64,
    /// Degrees of freedom of that.
    pub(crate) requests_freedom: f64,
    /// From the noise between processes.
    pub(crate) processes: f64,
    /// Degrees of freedom of that.
    pub(crate) processes_freedom: f64,
    /// From what is not known of the restart.
    pub(crate) restart: f64,
}

impl Variance {
    pub(crate) fn total(&self) -> f64 {
        self.requests + self.processes + self.restart
    }

    /// Degrees of freedom of the whole (Satterthwaite 1946); what is believed of the restart is
    /// taken as known.
    pub(crate) fn freedom(&self) -> f64 {
        let parts = [
            (self.requests, self.requests_freedom),
            (self.processes, self.processes_freedom),
        ];
        let uncertain: f64 = parts
            .iter()
            .filter(|(part, _)| *part > 0.0)
            .map(|(part, freedom)| part.powi(2) / freedom.max(1.0))
            .sum();
        if uncertain > 0.0 {
            (self.total().powi(2) / uncertain).clamp(1.0, 1e6)
        } else {
            1e6
        }
    }
}

impl Estimate {
    /// Compares both sides where they served side by side; `None` if they never did, or a mean is 0.
    pub(crate) fn side_by_side(endpoint: &EndpointStrata, restart: Restart) -> Option<Self> {
        let pairs = endpoint.pairs();
        let weight_of =
            |pair: &Pair| pair[BEFORE].n * pair[AFTER].n / (pair[BEFORE].n + pair[AFTER].n);
        let total_weight: f64 = pairs.iter().map(weight_of).sum();
        let mean = |side: usize| {
            pairs
                .iter()
                .map(|pair| weight_of(pair) * pair[side].mean())
                .sum::<f64>()
                / total_weight
        };
        let means = [mean(BEFORE), mean(AFTER)];
        if total_weight <= 0.0 || means.iter().any(|mean| *mean <= 0.0) {
            return None;
        }

        let within: f64 = [BEFORE, AFTER]
            .iter()
            .map(|&side| {
                let spread = pooled_variance(pairs.iter().map(|pair| pair[side]));
                let replication: f64 = pairs
                    .iter()
                    .map(|pair| weight_of(pair).powi(2) / pair[side].n)
                    .sum();
                spread * replication / (total_weight * means[side]).powi(2)
            })
            .sum();
        let residuals: f64 = pairs
            .iter()
            .map(|pair| {
                let residual =
                    pair[AFTER].mean() / means[AFTER] - pair[BEFORE].mean() / means[BEFORE];
                (weight_of(pair) * residual).powi(2)
            })
            .sum();
        let between = spread_between(
            pairs.len(),
            residuals / total_weight.powi(2),
            MIN_STRATA_FOR_SPREAD,
        );
        Some(Self::with_largest(
            endpoint,
            means,
            within,
            between,
            pairs.len(),
            restart,
        ))
    }

    /// Compares all requests of one side with all of the other, whenever they were; `None` if a
    /// side is empty or a mean is 0.
    pub(crate) fn before_after(endpoint: &EndpointStrata, restart: Restart) -> Option<Self> {
        let side = |side: usize| {
            let spans: Vec<Moments> = endpoint
                .by_time
                .values()
                .map(|pair| pair[side])
                .filter(|moments| moments.n > 0.0)
                .collect();
            let all = spans.iter().fold(Moments::default(), |mut all, moments| {
                all.add(*moments);
                all
            });
            (spans, all)
        };
        let (spans_before, before) = side(BEFORE);
        let (spans_after, after) = side(AFTER);
        let means = [before.mean(), after.mean()];
        if !means.iter().all(|mean| mean.is_finite() && *mean > 0.0) {
            return None;
        }
        let within = [before, after]
            .iter()
            .map(|all| all.deviations() / (all.n - 1.0).max(1.0) / all.n / all.mean().powi(2))
            .sum();
        let spans = spans_before.len().min(spans_after.len());
        let between = [(spans_before, before), (spans_after, after)]
            .iter()
            .map(|(spans, all)| {
                let residuals: f64 = spans
                    .iter()
                    .map(|span| (span.n / all.n * (span.mean() / all.mean() - 1.0)).powi(2))
                    .sum();
                spread_between(spans.len(), residuals, MIN_STRATA_FOR_SPREAD)
            })
            .sum();
        Some(Self::with_largest(
            endpoint, means, within, between, spans, restart,
        ))
    }

    fn with_largest(
        endpoint: &EndpointStrata,
        means: [f64; 2],
        within: f64,
        between: f64,
        strata: usize,
        restart: Restart,
    ) -> Self {
        let groups = |side: usize| endpoint.by_host_group[side].len();
        let hosts = spread_between_hosts(&endpoint.by_host_group);
        let count = endpoint.requests[BEFORE] as f64 + endpoint.requests[AFTER] as f64;
        let (requests, requests_freedom) = [
            (between, strata as f64 - 1.0),
            (hosts, groups(BEFORE).min(groups(AFTER)) as f64 - 1.0),
        ]
        .into_iter()
        .filter(|(spread, freedom)| exceeds(*spread, *freedom, within))
        .fold((within, count - 2.0), |largest, other| {
            if other.0 > largest.0 { other } else { largest }
        });
        Self {
            means,
            restart: restart.log_ratio,
            variance: Variance {
                requests,
                requests_freedom,
                processes: restart.noise * noise_scale(groups(BEFORE), groups(AFTER)),
                processes_freedom: restart.freedom,
                restart: restart.variance,
            },
        }
    }

    /// The change that is the code's, with an interval that holds with `confidence`, for `family` such intervals at
    /// once (Bonferroni).
    pub(crate) fn change(&self, confidence: f64, family: usize) -> Change {
        let error = self.variance.total().sqrt();
        let reach = error * quantile(self.variance.freedom(), confidence, family);
        let log_ratio = (self.means[AFTER] / self.means[BEFORE]).ln() - self.restart;
        Change {
            relative: log_ratio.exp_m1(),
            low: (log_ratio - reach).exp_m1(),
            high: (log_ratio + reach).exp_m1(),
            confidence,
            standard_error: error,
        }
    }
}

/// How much of the noise between processes is left when it is averaged over both sides' host groups.
pub(crate) fn noise_scale(groups_before: usize, groups_after: usize) -> f64 {
    1.0 / (groups_before.max(1) as f64) + 1.0 / (groups_after.max(1) as f64)
}

/// How many standard errors an interval reaches to either side.
pub(crate) fn quantile(freedom: f64, confidence: f64, family: usize) -> f64 {
    let tail = (1.0 - confidence) / (2.0 * family.max(1) as f64);
    StudentsT::new(0.0, 1.0, freedom)
        .map_or(f64::INFINITY, |student| student.inverse_cdf(1.0 - tail))
}

/// Whether a spread estimated with few degrees of freedom is larger than that of the requests alone
/// can be by chance (a χ² test). If not, the latter is the better estimate of the same thing.
fn exceeds(spread: f64, freedom: f64, within: f64) -> bool {
    ChiSquared::new(freedom.max(1.0))
        .is_ok_and(|chi| spread * freedom > within * chi.inverse_cdf(SPREAD_CONFIDENCE))
}

fn pooled_variance(parts: impl Iterator<Item = Moments>) -> f64 {
    let (deviations, freedom) = parts.fold((0.0, 0.0), |(deviations, freedom), part| {
        (deviations + part.deviations(), freedom + part.n - 1.0)
    });
    deviations / f64::max(freedom, 1.0)
}

fn spread_between(count: usize, squares: f64, enough: usize) -> f64 {
    if count < enough {
        return 0.0;
    }
    let count = count as f64;
    squares * count / (count - 1.0)
}

fn spread_between_hosts(by_host_group: &[BTreeMap<u8, Moments>; 2]) -> f64 {
    if by_host_group
        .iter()
        .any(|side| side.len() < MIN_HOST_GROUPS_FOR_SPREAD)
    {
        return 0.0;
    }
    by_host_group
        .iter()
        .map(|side| {
            let all = side.values().fold(Moments::default(), |mut all, moments| {
                all.add(*moments);
                all
            });
            let squares: f64 = side
                .values()
                .map(|group| (group.n / all.n * (group.mean() / all.mean() - 1.0)).powi(2))
                .sum();
            spread_between(side.len(), squares, MIN_HOST_GROUPS_FOR_SPREAD)
        })
        .sum()
}
