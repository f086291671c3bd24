//! What is said of a deploy.

use std::collections::BTreeMap;

use appweight_wire::{ActiveUsers, Deploy};

use crate::api::{
    Comparison, Control, DeployReport, DeployStatus, DeploySummary, DeployVerdict,
    EndpointComparison, Finding, MemoryComparison, Metric, Verdict, WeightSplit,
};
use crate::compare::{CompareError, Question, compare, is_usable};
use crate::evidence::{Evidence, PlacedCell};
use crate::hosts::odd_hosts;
use crate::memory::compare_memory;
use crate::split::{Usage, split};
use crate::text;
use crate::thresholds::Thresholds;

/// Judges a deploy against the one that it replaced (`deploy.replaced`; `None`: the first one).
///
/// The comparison takes the cells since the roll-out began; older ones serve only to say what moved
/// the weight, and how memory grew when the old processes were as young as the new ones are now.
#[must_use]
pub fn judge(
    deploy: &Deploy,
    status: DeployStatus,
    evidence: &Evidence,
    thresholds: &Thresholds,
) -> DeployReport {
    let mut report = DeployReport {
        summary: DeploySummary {
            deploy: deploy.clone(),
            status,
            verdict: DeployVerdict::First,
            headline: "The first deploy of this service: nothing to compare it with".to_owned(),
            findings: Vec::new(),
            judged_us: None,
        },
        from_us: None,
        until_us: None,
        comparison: None,
        memory: None,
        hosts: None,
        split: None,
        detected: None,
        earlier_run: None,
    };
    let Some(base) = deploy.replaced.as_deref() else {
        return report;
    };
    let since: Vec<PlacedCell> = evidence
        .cells
        .iter()
        .filter(|placed| end_of(placed) > deploy.started_us)
        .cloned()
        .collect();
    let question = Question {
        service: &deploy.service,
        base,
        head: &deploy.id,
        metric: None,
    };
    // A roll-out that replaced everything at once leaves old cells only from before it.
    let compared = match compare(question, &since, &evidence.earlier, thresholds) {
        Err(CompareError::NoCells(missing)) if missing == base => {
            let one_by_one = before_and_since(deploy, base, &evidence.cells);
            compare(question, &one_by_one, &evidence.earlier, thresholds)
                .map(|comparison| (comparison, one_by_one))
        }
        other => other.map(|comparison| (comparison, since)),
    };
    report.memory = compare_memory(
        &evidence.processes,
        base,
        &deploy.id,
        deploy.started_us,
        thresholds,
    );
    report.hosts = odd_hosts(
        &evidence.processes,
        &evidence.cells,
        base,
        &deploy.id,
        deploy.started_us,
    );
    match compared {
        Ok((comparison, cells)) => {
            let used = |placed: &&PlacedCell| {
                is_usable(placed) && (placed.deploy == base || placed.deploy == deploy.id)
            };
            report.from_us = cells
                .iter()
                .filter(used)
                .map(|placed| placed.cell.key.start_us)
                .min();
            report.until_us = cells.iter().filter(used).map(end_of).max();
            report.split = weight_split(deploy, base, evidence, comparison.metric);
            report.summary.findings = findings(&comparison, report.memory.as_ref());
            report.summary.verdict = verdict(&comparison, report.memory.as_ref());
            report.summary.headline = headline(&report.summary, Some(&comparison));
            report.comparison = Some(comparison);
        }
        Err(error) => {
            report.summary.verdict = DeployVerdict::NotEnoughData;
            report.summary.headline = format!("Not enough data: {error}");
        }
    }
    report
}

fn end_of(placed: &PlacedCell) -> u64 {
    placed.cell.key.start_us + placed.cell.key.width_us
}

/// The head's cells since the roll-out, and the base's of as long a time before it.
fn before_and_since(deploy: &Deploy, base: &str, cells: &[PlacedCell]) -> Vec<PlacedCell> {
    let length = cells
        .iter()
        .map(end_of)
        .max()
        .unwrap_or(0)
        .saturating_sub(deploy.started_us);
    cells
        .iter()
        .filter(|placed| {
            let is_new = placed.deploy == deploy.id && end_of(placed) > deploy.started_us;
            let is_old =
                placed.deploy == base && placed.cell.key.start_us + length >= deploy.started_us;
            is_new || is_old
        })
        .cloned()
        .collect()
}

fn findings(comparison: &Comparison, memory: Option<&MemoryComparison>) -> Vec<Finding> {
    let mut changed: Vec<&EndpointComparison> = comparison
        .endpoints
        .iter()
        .filter(|endpoint| matches!(endpoint.verdict, Verdict::Regressed | Verdict::Improved))
        .collect();
    let impact = |endpoint: &EndpointComparison| {
        endpoint
            .change
            .map_or(0.0, |change| change.relative * endpoint.share)
    };
    changed.sort_by(|a, b| impact(b).total_cmp(&impact(a)));
    let mut findings: Vec<Finding> = changed
        .into_iter()
        .filter_map(|endpoint| {
            let change = endpoint.change?;
            Some(Finding {
                kind: Some(endpoint.kind),
                endpoint: Some(endpoint.endpoint.clone()),
                heavier: endpoint.verdict == Verdict::Regressed,
                change: Some(change),
                cost: None,
                text: format!(
                    "{} {} {} per request, {} → {}",
                    endpoint.endpoint,
                    text::change(&change),
                    text::metric_name(endpoint.metric),
                    text::cost(endpoint.metric, endpoint.before.mean),
                    text::cost(endpoint.metric, endpoint.after.mean),
                ),
            })
        })
        .collect();
    if let Some(memory) = memory.filter(|memory| memory.leaks || memory.leak_gone) {
        let (before, after) = (
            memory.before_bytes_per_request,
            memory.after_bytes_per_request,
        );
        findings.push(Finding {
            kind: None,
            endpoint: None,
            heavier: memory.leaks,
            change: None,
            cost: None,
            text: format!(
                "Memory grows by {} per request, it was {} (difference {} … {})",
                text::bytes(after),
                text::bytes(before),
                text::bytes(memory.low),
                text::bytes(memory.high)
            ),
        });
    }
    findings
}

fn verdict(comparison: &Comparison, memory: Option<&MemoryComparison>) -> DeployVerdict {
    let any = |verdict: Verdict| {
        comparison
            .endpoints
            .iter()
            .any(|endpoint| endpoint.verdict == verdict)
    };
    if any(Verdict::Regressed) || memory.is_some_and(|memory| memory.leaks) {
        DeployVerdict::Regressed
    } else if any(Verdict::Withheld) {
        DeployVerdict::Withheld
    } else if any(Verdict::Improved) || memory.is_some_and(|memory| memory.leak_gone) {
        DeployVerdict::Improved
    } else if any(Verdict::NoChange) {
        DeployVerdict::NoChange
    } else {
        DeployVerdict::NotEnoughData
    }
}

fn headline(summary: &DeploySummary, comparison: Option<&Comparison>) -> String {
    let wanted = summary.verdict == DeployVerdict::Regressed;
    let told: Vec<&str> = summary
        .findings
        .iter()
        .filter(|finding| finding.heavier == wanted)
        .map(|finding| finding.text.as_str())
        .collect();
    match summary.verdict {
        DeployVerdict::Regressed | DeployVerdict::Improved => told.join("; "),
        DeployVerdict::Withheld => {
            "Cheaper, but more requests fail: nothing is said until errors are back".to_owned()
        }
        DeployVerdict::NoChange => comparison
            .and_then(|comparison| comparison.total.change)
            .map_or_else(
                || "No change found".to_owned(),
                |change| {
                    format!(
                        "No change found: {} per request over all endpoints{}",
                        text::change(&change),
                        match comparison.map(|comparison| comparison.control) {
                            Some(Control::BeforeAfter) => ", old and new one after the other",
                            _ => "",
                        }
                    )
                },
            ),
        _ => "Not enough data: no endpoint has enough requests of both deploys".to_owned(),
    }
}

/// What moved the weight between the time before the roll-out and as long a time after it.
fn weight_split(
    deploy: &Deploy,
    base: &str,
    evidence: &Evidence,
    metric: Metric,
) -> Option<WeightSplit> {
    let ended_us = deploy.ended_us?;
    let last = evidence.cells.iter().map(end_of).max()?;
    let longest = deploy.started_us.saturating_sub(
        evidence
            .cells
            .iter()
            .map(|placed| placed.cell.key.start_us)
            .min()?,
    );
    let length = last.saturating_sub(ended_us).min(longest);
    let before = usage(
        base,
        deploy.started_us - length,
        deploy.started_us,
        evidence,
        metric,
    );
    let after = usage(&deploy.id, ended_us, ended_us + length, evidence, metric);
    split(&before, &after, metric)
}

fn usage(deploy: &str, from_us: u64, until_us: u64, evidence: &Evidence, metric: Metric) -> Usage {
    let inside =
        |start_us: u64, width_us: u64| start_us >= from_us && start_us + width_us <= until_us;
    let mut users = ActiveUsers::new();
    for point in &evidence.processes {
        if let Some(active) = point
            .active_users
            .as_ref()
            .filter(|_| inside(point.start_us, point.width_us))
        {
            users.unite(active);
        }
    }
    let mut sums: BTreeMap<String, (f64, f64, f64)> = BTreeMap::new();
    for placed in &evidence.cells {
        let key = &placed.cell.key;
        if key.flag.is_some() || placed.deploy != deploy || !inside(key.start_us, key.width_us) {
            continue;
        }
        let distribution = match metric {
            Metric::Instructions => placed.cell.instructions.as_ref(),
            Metric::Cpu => placed.cell.cpu_ns.as_ref(),
        };
        if let Some(distribution) = distribution {
            let (weight, n, sum) = sums.entry(key.endpoint.clone()).or_default();
            *weight += placed.cell.weight as f64;
            *n += distribution.n as f64;
            *sum += distribution.sum as f64;
        }
    }
    Usage {
        active_users: users.estimate(),
        endpoints: sums
            .into_iter()
            .filter(|(_, (_, n, _))| *n > 0.0)
            .map(|(endpoint, (weight, n, sum))| (endpoint, (weight, sum / n)))
            .collect(),
    }
}
