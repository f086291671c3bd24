//! A report whose verdict is the detector's, where it can speak.

use crate::api::{
    Comparison, DeployReport, DeployVerdict, Detected, DetectedChange, DetectedVerdict, Finding,
};
use crate::compare::verdict::errors_rose;
use crate::text;
use crate::thresholds::Thresholds;

/// The report with what the detector says: its verdict stands if it judges the roll-out, that of the comparison if not.
/// Memory is not the detector's, and what was found of it stays.
#[must_use]
pub fn judged_by(
    mut detected: Detected,
    mut report: DeployReport,
    thresholds: &Thresholds,
) -> DeployReport {
    if detected.judges {
        let comparison = report.comparison.as_ref();
        for change in &mut detected.endpoints {
            withhold(change, comparison, thresholds);
        }
        let memory = std::mem::take(&mut report.summary.findings);
        let memory = memory.into_iter().filter(|finding| finding.kind.is_none());
        let mut findings = findings(&detected, comparison);
        findings.extend(memory);
        let verdict = verdict(&detected, &findings);
        report.summary.headline = headline(&detected, verdict, &findings);
        report.summary.verdict = verdict;
        report.summary.findings = findings;
    }
    report.detected = Some(detected);
    report
}

/// Failing fast is no improvement.
fn withhold(change: &mut DetectedChange, comparison: Option<&Comparison>, thresholds: &Thresholds) {
    if change.verdict != DetectedVerdict::Improved {
        return;
    }
    let mut compared = comparison.iter().flat_map(|all| &all.endpoints);
    let same = compared.find(|compared| {
        change.kind == Some(compared.kind) && change.endpoint.as_ref() == Some(&compared.endpoint)
    });
    let arms = same.map(|compared| [compared.before, compared.after]);
    let Some(arms) = arms.filter(|arms| arms.iter().all(|arm| arm.requests > 0)) else {
        return;
    };
    let (rose, detail) = errors_rose(arms, thresholds);
    if rose {
        change.verdict = DetectedVerdict::Withheld;
        change.checks.push(format!("errors rose: {detail}"));
    }
}

fn findings(detected: &Detected, comparison: Option<&Comparison>) -> Vec<Finding> {
    let moved = |change: &&DetectedChange| {
        matches!(
            change.verdict,
            DetectedVerdict::Regressed | DetectedVerdict::Improved
        )
    };
    let endpoints: Vec<&DetectedChange> = detected.endpoints.iter().filter(moved).collect();
    // What all endpoints have in common is told by them, if one of them is sure of it.
    let total = detected.total.iter().filter(moved);
    let total = total.filter(|total| endpoints.iter().all(|one| one.verdict != total.verdict));
    let mut findings: Vec<(f64, Finding)> = endpoints
        .iter()
        .copied()
        .chain(total)
        .filter_map(|found| finding(found, detected, comparison))
        .collect();
    findings.sort_by(|a, b| b.0.total_cmp(&a.0));
    findings.into_iter().map(|(_, finding)| finding).collect()
}

/// With what it adds to the service's cost, by which findings are ordered.
fn finding(
    found: &DetectedChange,
    detected: &Detected,
    comparison: Option<&Comparison>,
) -> Option<(f64, Finding)> {
    let change = found.change?;
    let metric = detected.metric.unwrap_or_default();
    let mut compared = comparison.iter().flat_map(|all| &all.endpoints);
    let compared = compared.find(|compared| {
        found.kind == Some(compared.kind) && found.endpoint.as_ref() == Some(&compared.endpoint)
    });
    let means = compared
        .filter(|compared| compared.metric == metric)
        .map_or_else(String::new, |compared| {
            format!(
                ", {} → {}",
                text::cost(metric, compared.before.mean),
                text::cost(metric, compared.after.mean)
            )
        });
    let costs = found
        .cost
        .map_or_else(String::new, |cost| format!(": {}", text::added(&cost)));
    let finding = Finding {
        kind: found.kind,
        endpoint: found.endpoint.clone(),
        heavier: found.verdict == DetectedVerdict::Regressed,
        change: Some(change),
        cost: found.cost,
        text: format!(
            "{} {} {} per request{means}{costs}",
            found
                .endpoint
                .as_deref()
                .unwrap_or("All endpoints together"),
            text::change(&change),
            text::metric_name(metric),
        ),
    };
    let share = compared.map_or(1.0, |compared| compared.share);
    let added = found.cost.map(|cost| cost.share);
    Some((added.unwrap_or(change.relative * share), finding))
}

fn verdict(detected: &Detected, findings: &[Finding]) -> DeployVerdict {
    let said = |verdict: DetectedVerdict| detected.says(verdict);
    if findings.iter().any(|finding| finding.heavier) {
        DeployVerdict::Regressed
    } else if said(DetectedVerdict::Withheld) {
        DeployVerdict::Withheld
    } else if !findings.is_empty() {
        DeployVerdict::Improved
    } else if detected.changes().any(|change| change.change.is_some()) {
        DeployVerdict::NoChange
    } else {
        DeployVerdict::NotEnoughData
    }
}

fn headline(detected: &Detected, verdict: DeployVerdict, findings: &[Finding]) -> String {
    let told = |heavier: bool| {
        let findings = findings.iter().filter(|finding| finding.heavier == heavier);
        let texts: Vec<&str> = findings.map(|finding| finding.text.as_str()).collect();
        texts.join("; ")
    };
    match verdict {
        DeployVerdict::Regressed => told(true),
        DeployVerdict::Improved => told(false),
        DeployVerdict::Withheld => {
            "Cheaper, but more requests fail: nothing is said until errors are back".to_owned()
        }
        DeployVerdict::NoChange => {
            let gone = detected
                .changes()
                .filter(|change| change.verdict == DetectedVerdict::Withdrawn)
                .map(|change| change.endpoint.as_deref().unwrap_or("all together"));
            let gone: Vec<&str> = gone.collect();
            let total = detected.total.as_ref().and_then(|total| total.change);
            let all = total.map_or_else(String::new, |change| {
                format!(": {} per request over all endpoints", text::change(&change))
            });
            if gone.is_empty() {
                format!("No change found{all}")
            } else {
                format!(
                    "No change found{all}; what {} showed went away",
                    gone.join(", ")
                )
            }
        }
        _ => "Not enough data: no endpoint has enough requests of both deploys".to_owned(),
    }
}
