//! A report whose verdict is the detector's, where it can speak.

use crate::api::{
    Arm, Comparison, DeployReport, DeployVerdict, Detected, DetectedChange, DetectedVerdict,
    Finding, HostsOfDeploy,
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
            if let Some(arms) = arms_of(change, comparison) {
                withhold(change, arms, thresholds);
            }
        }
        let is_any_withheld = detected.says(DetectedVerdict::Withheld);
        if let Some(total) = &mut detected.total {
            withhold_total(total, comparison, is_any_withheld, thresholds);
        }
        let memory = std::mem::take(&mut report.summary.findings);
        let memory = memory.into_iter().filter(|finding| finding.kind.is_none());
        let mut findings = findings(&detected, comparison);
        findings.extend(memory);
        let verdict = verdict(&detected, &findings);
        let hosts = report.hosts.as_ref();
        report.summary.headline = headline(&detected, verdict, &findings, hosts);
        report.summary.verdict = verdict;
        report.summary.findings = findings;
    }
    report.detected = Some(detected);
    report
}

/// The requests of both sides, if there are some of each.
fn arms_of(change: &DetectedChange, comparison: Option<&Comparison>) -> Option<[Arm; 2]> {
    let mut compared = comparison.iter().flat_map(|all| &all.endpoints);
    let same = compared.find(|compared| {
        change.kind == Some(compared.kind) && change.endpoint.as_ref() == Some(&compared.endpoint)
    });
    let arms = same.map(|compared| [compared.before, compared.after]);
    arms.filter(|arms| arms.iter().all(|arm| arm.requests > 0))
}

/// Failing fast is no improvement.
fn withhold(change: &mut DetectedChange, arms: [Arm; 2], thresholds: &Thresholds) {
    if change.verdict != DetectedVerdict::Improved {
        return;
    }
    let (rose, detail) = errors_rose(arms, thresholds);
    if rose {
        change.verdict = DetectedVerdict::Withheld;
        change.checks.push(format!("failed: errors rose: {detail}"));
    } else {
        change
            .checks
            .push(format!("passed: errors did not rise: {detail}"));
    }
}

/// The same of all endpoints together, which are no lighter either because one fails fast.
fn withhold_total(
    total: &mut DetectedChange,
    comparison: Option<&Comparison>,
    is_any_withheld: bool,
    thresholds: &Thresholds,
) {
    if let Some(arms) = comparison.and_then(at_the_old_mix) {
        withhold(total, arms, thresholds);
    }
    if is_any_withheld && total.verdict == DetectedVerdict::Improved {
        total.verdict = DetectedVerdict::Withheld;
        total
            .checks
            .push("failed: errors of an endpoint that became lighter rose".to_owned());
    }
}

/// All requests of both sides, with the new ones' errors as they would be at the mix of the old ones: an endpoint that fails more
/// often and is asked for more is no more errors.
fn at_the_old_mix(comparison: &Comparison) -> Option<[Arm; 2]> {
    let (mut before, mut after) = (Arm::default(), Arm::default());
    let mut failing = 0.0;
    for endpoint in &comparison.endpoints {
        let (old, new) = (endpoint.before, endpoint.after);
        if old.requests > 0 && new.requests > 0 {
            before.requests = before.requests.saturating_add(old.requests);
            before.errors = before.errors.saturating_add(old.errors);
            after.requests = after.requests.saturating_add(new.requests);
            failing += old.requests as f64 * new.errors as f64 / new.requests as f64;
        }
    }
    let share = failing / before.requests as f64;
    after.errors = (share * after.requests as f64).round() as u64;
    (before.requests > 0).then_some([before, after])
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
    } else if said(DetectedVerdict::Withdrawn) {
        DeployVerdict::Withdrawn
    } else if detected
        .endpoints
        .iter()
        .any(|change| change.verdict == DetectedVerdict::Unchanged)
    {
        DeployVerdict::NoChange
    } else if detected.changes().any(|change| change.change.is_some()) {
        DeployVerdict::Undecided
    } else {
        DeployVerdict::NotEnoughData
    }
}

fn headline(
    detected: &Detected,
    verdict: DeployVerdict,
    findings: &[Finding],
    hosts: Option<&HostsOfDeploy>,
) -> String {
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
        DeployVerdict::NoChange => format!("No change found{}", over_all(detected)),
        DeployVerdict::Withdrawn => {
            let gone = detected
                .changes()
                .filter(|change| change.verdict == DetectedVerdict::Withdrawn)
                .map(|change| change.endpoint.as_deref().unwrap_or("all together"));
            let gone: Vec<&str> = gone.collect();
            let odd = hosts.iter().flat_map(|hosts| &hosts.odd);
            let odd: String = odd
                .map(|odd| format!("; {}", text::odd_host(odd)))
                .collect();
            format!(
                "What {} showed went away{}{odd}",
                gone.join(", "),
                over_all(detected)
            )
        }
        DeployVerdict::Undecided => {
            let undecided = detected.endpoints.iter();
            let nearest = undecided
                .filter_map(|change| Some((change.more_requests?, change.endpoint.as_deref()?)))
                .min();
            let next = match nearest {
                Some((more, endpoint)) => {
                    format!("at least {more} more requests of {endpoint} on each side are needed")
                }
                None if detected.watches => "the next minutes may tell".to_owned(),
                None => "more hosts or more roll-outs would tell, more requests do not".to_owned(),
            };
            format!("Undecided{}; {next}", over_all(detected))
        }
        _ => "Not enough data: no endpoint has enough requests of both deploys".to_owned(),
    }
}

fn over_all(detected: &Detected) -> String {
    let total = detected.total.as_ref().and_then(|total| total.change);
    total.map_or_else(String::new, |change| {
        format!(": {} per request over all endpoints", text::change(&change))
    })
}

#[cfg(test)]
mod tests;
