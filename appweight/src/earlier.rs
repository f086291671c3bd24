//! A deploy that came back, set beside its own earlier run.

use std::collections::BTreeMap;

use appweight_wire::Kind;

use crate::api::{Change, DeployReport, EarlierChange, EarlierRun};
use crate::detect::Z_95;

const CONFIDENCE: f64 = 0.95;

/// What a roll-out costs beside the earlier run of the same code, which began at `earlier_us`: the product of what all roll-outs
/// since then changed, those `between` and this one. Each of them was compared side by side, so that neither the time of day nor the
/// traffic between the two runs counts.
///
/// Errors are taken to be independent. Those of two roll-outs that follow each other are not: what one of them takes too high the next takes
/// too low, by which the interval is wider than it need be.
#[must_use]
pub fn beside_earlier_run(
    report: &DeployReport,
    between: &[DeployReport],
    earlier_us: u64,
) -> EarlierRun {
    let mut steps: Vec<&DeployReport> = between.iter().collect();
    steps.sort_by_key(|step| step.summary.deploy.started_us);
    steps.push(report);
    let changes: Vec<Changes> = steps.iter().map(|step| Changes::of(step)).collect();
    let unknown = steps.iter().zip(&changes);
    let unknown = unknown
        .filter(|(_, changes)| changes.endpoints.is_empty())
        .map(|(step, _)| step.summary.deploy.id.clone());
    let last = &changes[changes.len() - 1];
    let endpoints = last.endpoints.keys().filter_map(|(kind, endpoint)| {
        let key = (*kind, endpoint.clone());
        let all = changes.iter().map(|step| step.endpoints.get(&key).copied());
        Some(EarlierChange {
            kind: *kind,
            endpoint: endpoint.clone(),
            change: product(all)?,
        })
    });
    EarlierRun {
        started_us: earlier_us,
        roll_outs_since: u32::try_from(steps.len()).unwrap_or(u32::MAX),
        unknown: unknown.collect(),
        endpoints: endpoints.collect(),
        total: product(changes.iter().map(|step| step.total)),
    }
}

/// What one roll-out changed, by the one who judged it.
struct Changes {
    endpoints: BTreeMap<(Kind, String), Change>,
    total: Option<Change>,
}

impl Changes {
    fn of(report: &DeployReport) -> Self {
        if let Some(detected) = report.detected.as_ref().filter(|said| said.judges) {
            let endpoints = detected
                .endpoints
                .iter()
                .filter_map(|of| Some(((of.kind?, of.endpoint.clone()?), of.change?)));
            return Self {
                endpoints: endpoints.collect(),
                total: detected.total.as_ref().and_then(|total| total.change),
            };
        }
        let compared = report.comparison.iter().flat_map(|all| &all.endpoints);
        Self {
            endpoints: compared
                .filter_map(|of| Some(((of.kind, of.endpoint.clone()), of.change?)))
                .collect(),
            total: report
                .comparison
                .as_ref()
                .and_then(|comparison| comparison.total.change),
        }
    }
}

/// `None` if one of them is not known.
fn product(changes: impl Iterator<Item = Option<Change>>) -> Option<Change> {
    let (mut log, mut variance) = (0.0, 0.0);
    for change in changes {
        let change = change?;
        log += change.relative.ln_1p();
        variance += change.standard_error.powi(2);
    }
    let error = f64::sqrt(variance);
    let half = Z_95 * error;
    let is_told = log.is_finite() && half.is_finite();
    is_told.then(|| Change {
        relative: log.exp_m1(),
        low: (log - half).exp_m1(),
        high: (log + half).exp_m1(),
        confidence: CONFIDENCE,
        standard_error: error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A report whose detector says that of the endpoints.
    fn report(id: &str, minute: u64, changes: &[(&str, f64)]) -> DeployReport {
        let change = |relative: f64| {
            serde_json::json!({
                "relative": relative, "low": relative, "high": relative,
                "confidence": 0.95, "standard_error": 0.004,
            })
        };
        let endpoints: Vec<serde_json::Value> = changes
            .iter()
            .map(|(endpoint, relative)| {
                serde_json::json!({
                    "kind": "request", "endpoint": endpoint, "verdict": "undecided", "checks": [],
                    "change": change(*relative),
                })
            })
            .collect();
        let json = serde_json::json!({
            "summary": {
                "deploy": {"service": "photos", "id": id, "started_us": minute, "replaced": "x"},
                "status": "judged", "verdict": "regressed", "headline": "", "findings": [],
            },
            "detected": {
                "judges": true, "because": "", "watches": false, "endpoints": endpoints,
                "total": {"verdict": "undecided", "checks": [], "change": change(changes[0].1)},
            },
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_roll_back_is_set_beside_its_own_earlier_run() {
        let bad = report("b", 20, &[("/feed", 0.25), ("/seen", 0.1)]);
        let worse = report("c", 30, &[("/feed", 0.1)]);
        let back = report("a", 40, &[("/feed", 1.0 / 1.375 - 1.0), ("/seen", 0.0)]);
        let run = beside_earlier_run(&back, &[worse, bad], 10);
        assert_eq!((run.started_us, run.roll_outs_since), (10, 3));
        let [feed] = run.endpoints.as_slice() else {
            panic!("what c did to /seen is not known: {run:?}");
        };
        assert_eq!(feed.endpoint, "/feed");
        assert!(feed.change.relative.abs() < 1e-9, "{feed:?}");
        let half = 1.96 * 0.004 * 3.0_f64.sqrt();
        assert!((feed.change.high.ln_1p() - half).abs() < 1e-4, "{feed:?}");
        assert!((feed.change.low.ln_1p() + half).abs() < 1e-4, "{feed:?}");
        assert!(run.total.is_some() && run.unknown.is_empty());
    }

    #[test]
    fn a_step_that_nobody_judged_is_named() {
        let back = report("a", 40, &[("/feed", 0.0)]);
        let mut silent = report("b", 20, &[("/feed", 0.25)]);
        silent.detected = None;
        let run = beside_earlier_run(&back, &[silent], 10);
        assert_eq!(run.unknown, ["b"]);
        assert!(run.endpoints.is_empty() && run.total.is_none());
    }
}
