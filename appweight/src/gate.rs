//! The answer for CI: is the increase above the limit, below it, or can it not be told yet?

mod detected;

pub use detected::gate_detected;

use serde::{Deserialize, Serialize};

use crate::api::{AddedCost, Arm, Change, Comparison, Control};
use crate::compare::{noise_scale, quantile};
use crate::text;
use crate::thresholds::Thresholds;

/// What the gate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The whole interval lies above the limit.
    Above,
    /// The whole interval lies at or below it.
    Below,
    /// The interval holds the limit, or there is none. Never a pass.
    CannotTell,
}

/// One line of the gate's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateLine {
    /// The endpoint, or `all endpoints`.
    pub subject: String,
    /// What is said of it.
    pub outcome: Outcome,
    /// The increase that was still fine: 0.01 is 1 %.
    pub max_increase: f64,
    /// The change with its interval at the gate's own confidence.
    pub change: Option<Change>,
    /// How many more requests on each side would tell, if any number would.
    pub more_requests: Option<u64>,
    /// The start of the minute whose cells made the detector sure that it changed, µs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sure_since_us: Option<u64>,
    /// Of what the detector calls: what it costs the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<AddedCost>,
    /// The answer in a sentence.
    pub reason: String,
    /// Why, if the detector judged: each check with its figures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<String>,
}

impl GateLine {
    /// One that cannot tell, for that reason.
    #[must_use]
    pub fn cannot_tell(subject: String, max_increase: f64, reason: String) -> Self {
        Self {
            subject,
            outcome: Outcome::CannotTell,
            max_increase,
            change: None,
            more_requests: None,
            sure_since_us: None,
            cost: None,
            reason,
            checks: Vec::new(),
        }
    }
}

/// What is held against the limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The service's mean cost of a request at the old deploy's mix.
    Total,
    /// One endpoint.
    Endpoint(String),
}

impl Subject {
    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Total => "all endpoints",
            Self::Endpoint(name) => name,
        }
    }
}

/// Holds one subject of a comparison against `max_increase` (0.01 is 1 %) with `confidence`;
/// `None` if the comparison has no such endpoint.
#[must_use]
pub fn gate(
    comparison: &Comparison,
    subject: &Subject,
    max_increase: f64,
    confidence: f64,
) -> Option<GateLine> {
    let (change, arms) = match subject {
        Subject::Total => (comparison.total.change, total_arms(comparison)),
        Subject::Endpoint(name) => {
            let endpoint = comparison
                .endpoints
                .iter()
                .find(|endpoint| endpoint.endpoint == *name)?;
            (endpoint.change, [endpoint.before, endpoint.after])
        }
    };
    let fewest = fewest(&arms);
    let mut line = GateLine::cannot_tell(subject.name().to_owned(), max_increase, String::new());
    let Some(change) = change else {
        let missing = Thresholds::default()
            .min_requests
            .saturating_sub(fewest)
            .max(1);
        line.more_requests = Some(missing);
        line.reason = format!(
            "{fewest} requests on one side are too few: at least {missing} more are needed"
        );
        return Some(line);
    };
    let change = at_confidence(change, confidence);
    let limit = text::signed_percent(max_increase);
    let shown = text::change(&change);
    line.change = Some(change);
    if change.low > max_increase {
        line.outcome = Outcome::Above;
        line.reason = format!("{shown} lies above {limit}");
    } else if change.high <= max_increase {
        line.outcome = Outcome::Below;
        line.reason = format!("{shown} lies below {limit}");
    } else {
        line.more_requests = more_requests(change, max_increase, comparison.control, arms, fewest);
        let more = line.more_requests.map_or_else(
            || "no number of requests would tell, for the change is that close to the limit; more hosts would".to_owned(),
            |more| format!("about {more} more requests on each side would tell"),
        );
        line.reason = format!("{shown} holds the limit {limit}: {more}");
    }
    Some(line)
}

/// Both sides of all endpoints that went into the total; where none has enough requests for that,
/// of the one that is nearest to it, which tells what is missing.
fn total_arms(comparison: &Comparison) -> [Arm; 2] {
    let sides = comparison
        .endpoints
        .iter()
        .map(|endpoint| (endpoint, [endpoint.before, endpoint.after]));
    if comparison.total.change.is_none() {
        let arms = sides.map(|(_, arms)| arms);
        return arms.max_by_key(fewest).unwrap_or_default();
    }
    sides
        .filter(|(endpoint, _)| endpoint.change.is_some())
        .fold([Arm::default(); 2], |mut sums, (_, arms)| {
            for (sum, arm) in sums.iter_mut().zip(arms) {
                sum.requests = sum.requests.saturating_add(arm.requests);
                sum.host_groups = sum.host_groups.max(arm.host_groups);
            }
            sums
        })
}

fn fewest(arms: &[Arm; 2]) -> u64 {
    arms[0].requests.min(arms[1].requests)
}

fn at_confidence(change: Change, confidence: f64) -> Change {
    let reach = change.standard_error * quantile(1e6, confidence, 1);
    let log_ratio = change.relative.ln_1p();
    Change {
        low: (log_ratio - reach).exp_m1(),
        high: (log_ratio + reach).exp_m1(),
        confidence,
        ..change
    }
}

/// How many more requests would draw the interval off the limit, if the estimate stays where it is.
fn more_requests(
    change: Change,
    limit: f64,
    control: Control,
    arms: [Arm; 2],
    fewest: u64,
) -> Option<u64> {
    let thresholds = Thresholds::default();
    let of_restarts = match control {
        Control::SideBySide => thresholds.restart_effect.powi(2),
        Control::BeforeAfter => 0.0,
    };
    let floor = thresholds.noise(control).powi(2)
        * noise_scale(arms[0].host_groups as usize, arms[1].host_groups as usize)
        + of_restarts;
    let distance = change.relative.ln_1p() - limit.ln_1p();
    let wanted = (distance / quantile(1e6, change.confidence, 1)).powi(2) - floor;
    let of_requests = change.standard_error.powi(2) - floor;
    if wanted <= 0.0 || of_requests <= 0.0 {
        return None;
    }
    let times = of_requests / wanted;
    let more = (fewest as f64 * (times - 1.0)).ceil();
    (more.is_finite() && more < 1e12).then(|| more.max(1.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Metric, TotalComparison};

    fn comparison(relative: f64, standard_error: f64) -> Comparison {
        Comparison {
            service: "s".into(),
            base: "a".into(),
            head: "b".into(),
            metric: Metric::Cpu,
            control: Control::SideBySide,
            endpoints: Vec::new(),
            total: TotalComparison {
                before: 1.0,
                after: 1.0 + relative,
                change: Some(Change {
                    relative,
                    low: 0.0,
                    high: 0.0,
                    confidence: 0.999,
                    standard_error,
                }),
            },
        }
    }

    fn outcome(relative: f64, standard_error: f64) -> Outcome {
        gate(
            &comparison(relative, standard_error),
            &Subject::Total,
            0.01,
            0.99,
        )
        .unwrap()
        .outcome
    }

    #[test]
    fn the_limit_is_held_against_the_interval_not_the_estimate() {
        assert_eq!(outcome(0.05, 0.01), Outcome::Above);
        assert_eq!(outcome(0.02, 0.01), Outcome::CannotTell);
        assert_eq!(outcome(0.009, 0.01), Outcome::CannotTell);
        assert_eq!(outcome(-0.03, 0.01), Outcome::Below);
    }

    #[test]
    fn an_unknown_endpoint_has_no_answer() {
        let subject = Subject::Endpoint("/nowhere".into());
        assert_eq!(gate(&comparison(0.0, 0.01), &subject, 0.01, 0.99), None);
    }

    #[test]
    fn nothing_to_go_by_is_no_pass() {
        let mut empty = comparison(0.0, 0.01);
        empty.total.change = None;
        let line = gate(&empty, &Subject::Total, 0.01, 0.99).unwrap();
        assert_eq!(line.outcome, Outcome::CannotTell);
        assert_eq!(line.more_requests, Some(100));
    }

    #[test]
    fn too_close_to_the_limit_no_number_of_requests_tells() {
        let line = gate(&comparison(0.0101, 0.03), &Subject::Total, 0.01, 0.99).unwrap();
        assert_eq!(
            (line.outcome, line.more_requests),
            (Outcome::CannotTell, None)
        );
        assert!(
            line.reason.contains("no number of requests"),
            "{}",
            line.reason
        );
    }
}
