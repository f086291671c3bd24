//! Two deploys side by side, endpoint by endpoint.

mod estimate;
mod restart;
mod source;
mod strata;
pub(crate) mod verdict;

use appweight_wire::Kind;

use crate::api::{
    Arm, Comparison, Control, EndpointComparison, Metric, RestartEffect, TotalComparison,
};
use crate::evidence::PlacedCell;
use crate::thresholds::Thresholds;
use estimate::{Estimate, Variance};
pub(crate) use estimate::{noise_scale, quantile};
use restart::Restart;
pub(crate) use strata::is_usable;
use strata::{AFTER, BEFORE, EndpointStrata, lay_out};

/// Which two deploys of which service.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The service.
    pub service: &'a str,
    /// The old deploy's id.
    pub base: &'a str,
    /// The new deploy's id.
    pub head: &'a str,
    /// What to compare; by default instructions where both sides have them from one source, else CPU time.
    pub metric: Option<Metric>,
}

/// Why two deploys cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// No cell of that deploy is among the evidence.
    #[error("there is no cell of a warmed-up process of deploy {0}")]
    NoCells(String),
    /// Both sides have instructions, but from different sources.
    #[error(
        "instructions of {base} were counted as {base_source} and those of {head} as {head_source}: they cannot be compared (ask for CPU time instead)"
    )]
    MixedSources {
        /// The old deploy's id.
        base: String,
        /// How its instructions were counted.
        base_source: String,
        /// The new deploy's id.
        head: String,
        /// How its instructions were counted.
        head_source: String,
    },
}

/// Compares two deploys: where they served at the same time by those spans alone, else all of one
/// with all of the other, which [`Comparison::control`] tells. What a restart does by itself is
/// learned from `earlier`, the service's earlier roll-outs, and taken off.
///
/// # Errors
/// If there is no cell of one of them, or their instructions were counted in different ways.
pub fn compare(
    question: Question<'_>,
    cells: &[PlacedCell],
    earlier: &[Comparison],
    thresholds: &Thresholds,
) -> Result<Comparison, CompareError> {
    let deploys = [question.base, question.head];
    let (metric, source) = source::choose(question, cells)?;
    let (control, endpoints) = {
        let side_by_side = lay_out(cells, deploys, metric, source, true);
        if side_by_side.is_empty() {
            (
                Control::BeforeAfter,
                lay_out(cells, deploys, metric, source, false),
            )
        } else {
            (Control::SideBySide, side_by_side)
        }
    };
    let judged: Vec<Judged> = endpoints
        .into_iter()
        .map(|((kind, endpoint), strata)| {
            let restart = match control {
                Control::SideBySide => {
                    Restart::learn(earlier, (kind, &endpoint), metric, thresholds)
                }
                Control::BeforeAfter => Restart::of_no_effect(thresholds.before_after_noise),
            };
            Judged::new(kind, endpoint, strata, control, restart, thresholds)
        })
        .collect();
    let family = judged
        .iter()
        .filter(|judged| judged.estimate.is_some())
        .count();
    let total_cost: f64 = judged.iter().map(Judged::cost_before).sum();

    let total = total(&judged, thresholds);
    let mut endpoints: Vec<EndpointComparison> = judged
        .into_iter()
        .map(|judged| {
            let share = if total_cost > 0.0 {
                judged.cost_before() / total_cost
            } else {
                0.0
            };
            let change = judged
                .estimate
                .map(|estimate| estimate.change(thresholds.confidence, family));
            let arms = [judged.arm(BEFORE), judged.arm(AFTER)];
            let restart = judged.restart_effect();
            let (verdict, gates) =
                verdict::verdict(&judged.endpoint, arms, change, restart, thresholds);
            EndpointComparison {
                kind: judged.kind,
                endpoint: judged.endpoint,
                metric,
                instruction_source: source.unwrap_or_default(),
                control,
                before: arms[BEFORE],
                after: arms[AFTER],
                change,
                restart,
                request_error: judged
                    .estimate
                    .map(|estimate| estimate.variance.requests.sqrt()),
                share,
                verdict,
                gates,
            }
        })
        .collect();
    endpoints.sort_by(|a, b| {
        b.share
            .total_cmp(&a.share)
            .then_with(|| a.endpoint.cmp(&b.endpoint))
    });
    Ok(Comparison {
        service: question.service.to_owned(),
        base: question.base.to_owned(),
        head: question.head.to_owned(),
        metric,
        control,
        endpoints,
        total,
    })
}

/// One endpoint with its estimate, if there are enough requests for one.
struct Judged {
    kind: Kind,
    endpoint: String,
    strata: EndpointStrata,
    estimate: Option<Estimate>,
    restart: Restart,
}

impl Judged {
    fn new(
        kind: Kind,
        endpoint: String,
        strata: EndpointStrata,
        control: Control,
        restart: Restart,
        thresholds: &Thresholds,
    ) -> Self {
        let enough = strata
            .requests
            .iter()
            .all(|n| *n >= thresholds.min_requests);
        let estimate = match control {
            _ if !enough => None,
            Control::SideBySide => Estimate::side_by_side(&strata, restart),
            Control::BeforeAfter => Estimate::before_after(&strata, restart),
        };
        Self {
            kind,
            endpoint,
            strata,
            estimate,
            restart,
        }
    }

    /// What is known of restarts, where there are roll-outs that it was learned from.
    fn restart_effect(&self) -> Option<RestartEffect> {
        let known = self.restart;
        (self.estimate.is_some() && known.roll_outs > 0).then(|| RestartEffect {
            relative: known.log_ratio.exp_m1(),
            standard_error: known.variance.sqrt(),
            roll_outs: u32::try_from(known.roll_outs).unwrap_or(u32::MAX),
        })
    }

    fn plain_mean(&self, side: usize) -> f64 {
        let (n, sum) = self
            .strata
            .by_time
            .values()
            .fold((0.0, 0.0), |(n, sum), pair| {
                (n + pair[side].n, sum + pair[side].sum)
            });
        if n > 0.0 { sum / n } else { 0.0 }
    }

    fn arm(&self, side: usize) -> Arm {
        Arm {
            requests: self.strata.requests[side],
            weight: self.strata.weight[side],
            errors: self.strata.errors[side],
            host_groups: u32::try_from(self.strata.by_host_group[side].len()).unwrap_or(u32::MAX),
            mean: self
                .estimate
                .map_or_else(|| self.plain_mean(side), |estimate| estimate.means[side]),
        }
    }

    fn cost_before(&self) -> f64 {
        self.plain_mean(BEFORE) * self.strata.weight[BEFORE] as f64
    }
}

/// All endpoints that have an estimate, at the old deploy's mix of them.
fn total(judged: &[Judged], thresholds: &Thresholds) -> TotalComparison {
    let known: Vec<(f64, Estimate)> = judged
        .iter()
        .filter_map(|judged| Some((judged.strata.weight[BEFORE] as f64, judged.estimate?)))
        .collect();
    let requests: f64 = known.iter().map(|(weight, _)| weight).sum();
    if requests <= 0.0 {
        return TotalComparison {
            before: 0.0,
            after: 0.0,
            change: None,
        };
    }
    let mean = |side: usize| {
        known
            .iter()
            .map(|(weight, estimate)| weight / requests * estimate.means[side])
            .sum::<f64>()
    };
    let means = [mean(BEFORE), mean(AFTER)];
    let shares: Vec<(f64, Estimate)> = known
        .iter()
        .map(|(weight, estimate)| {
            let share = weight / requests * estimate.means[AFTER] / means[AFTER];
            (share, *estimate)
        })
        .collect();
    let sum = |part: &dyn Fn(f64, &Estimate) -> f64| -> f64 {
        shares
            .iter()
            .map(|(share, estimate)| part(*share, estimate))
            .sum()
    };
    let lowest = |freedom: fn(&Variance) -> f64| {
        shares
            .iter()
            .map(|(_, estimate)| freedom(&estimate.variance))
            .fold(1e6, f64::min)
    };
    let estimate = Estimate {
        means,
        restart: sum(&|share, estimate| share * estimate.restart),
        variance: Variance {
            requests: sum(&|share, estimate| share.powi(2) * estimate.variance.requests),
            requests_freedom: lowest(|variance| variance.requests_freedom),
            // A process that is slower is slower at everything: these add up, not their squares. The
            // same goes for what is not known of restarts.
            processes: sum(&|share, estimate| share * estimate.variance.processes.sqrt()).powi(2),
            processes_freedom: lowest(|variance| variance.processes_freedom),
            restart: sum(&|share, estimate| share * estimate.variance.restart.sqrt()).powi(2),
        },
    };
    TotalComparison {
        before: means[BEFORE],
        after: means[AFTER],
        change: Some(estimate.change(thresholds.confidence, 1)),
    }
}
