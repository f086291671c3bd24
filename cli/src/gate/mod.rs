//! `appweight gate`: whether one deploy is dearer than another by more than is fine.

mod budget;
mod print;
mod records;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::bail;
use appweight::api::{Comparison, Metric};
use appweight::compare::{Question, compare};
use appweight::gate::{GateLine, Outcome, Subject, gate};
use appweight::thresholds::Thresholds;
use jiff::civil::Date;

use crate::args::{Gate, MetricName};
use crate::logging::complain;
use budget::{Budget, Percentage};

/// The increase that is fine, and how sure it must be, where nobody says otherwise.
const MAX_INCREASE: f64 = 0.01;
const CONFIDENCE: f64 = 0.99;

/// What was asked and answered.
#[derive(Debug)]
struct Answer {
    comparison: Comparison,
    lines: Vec<GateLine>,
    max_increase: f64,
    confidence: f64,
}

/// Asks for the comparison, holds it to the limits and prints the answer.
pub(crate) fn run(options: &Gate, out: &mut dyn Write) -> ExitCode {
    match answered(options, out) {
        Ok(Outcome::Below) => ExitCode::SUCCESS,
        Ok(Outcome::Above) => ExitCode::from(1),
        Ok(Outcome::CannotTell) => ExitCode::from(2),
        Err(error) => {
            complain(&error);
            ExitCode::from(2)
        }
    }
}

fn answered(options: &Gate, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let budget = Budget::read(options.budget.as_deref())?;
    let metric = options.metric.or(budget.metric);
    let comparison = match (&options.base_file, &options.head_file) {
        (Some(base), Some(head)) => of_files(options, base, head, metric)?,
        _ => of_collector(options, metric)?,
    };
    let today = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    let answer = answer(options, &budget, comparison, today)?;
    print::print(out, options, &answer)?;
    Ok(overall(&answer.lines))
}

fn of_collector(options: &Gate, metric: Option<MetricName>) -> anyhow::Result<Comparison> {
    let (Some(base), Some(head)) = (&options.base, &options.head) else {
        bail!(
            "which deploys? Name them by --base and --head, or their files by --base-file and --head-file"
        );
    };
    let mut query = vec![("base", base.as_str()), ("head", head.as_str())];
    if let Some(service) = &options.service {
        query.push(("service", service));
    }
    if let Some(metric) = metric {
        query.push(("metric", metric.as_str()));
    }
    options.at.client()?.get("/v1/compare", &query)
}

fn of_files(
    options: &Gate,
    base: &Path,
    head: &Path,
    metric: Option<MetricName>,
) -> anyhow::Result<Comparison> {
    let service = options.service.as_deref();
    let mut before = records::read(base, options.base.as_deref(), service)?;
    let mut after = records::read(head, options.head.as_deref(), service)?;
    if before.service != after.service {
        bail!(
            "{} is of service {}, {} of {}: only one service can be compared with itself",
            base.display(),
            before.service,
            head.display(),
            after.service
        );
    }
    if before.deploy == after.deploy {
        // The same code measured twice, or nobody named it: the files tell them apart.
        for (side, path) in [(&mut before, base), (&mut after, head)] {
            side.deploy = format!("{} ({})", side.deploy, path.display());
            for cell in &mut side.cells {
                cell.deploy.clone_from(&side.deploy);
            }
        }
    }
    let question = Question {
        service: &before.service,
        base: &before.deploy,
        head: &after.deploy,
        metric: metric.map(|metric| match metric {
            MetricName::Instructions => Metric::Instructions,
            MetricName::Cpu => Metric::Cpu,
        }),
    };
    let mut cells = before.cells;
    cells.append(&mut after.cells);
    Ok(compare(question, &cells, &[], &Thresholds::default())?)
}

fn answer(
    options: &Gate,
    budget: &Budget,
    comparison: Comparison,
    today: Date,
) -> anyhow::Result<Answer> {
    let of_file = |percentage: Option<Percentage>| percentage.map(|Percentage(value)| value);
    let max_increase = options
        .max_increase
        .or(of_file(budget.max_increase))
        .unwrap_or(MAX_INCREASE);
    let confidence = options
        .confidence
        .or(budget.confidence.map(|budget::Confidence(value)| value))
        .unwrap_or(CONFIDENCE);
    let mut lines = Vec::new();
    for subject in subjects(options, budget, &comparison) {
        let (endpoint, usual) = match &subject {
            Subject::Total => (None, max_increase),
            Subject::Endpoint(name) => {
                let own = of_file(budget.endpoints.get(name).copied());
                let every = options.max_increase.or(of_file(budget.every_endpoint));
                let limit = own.or(every).unwrap_or(max_increase);
                (Some(name.as_str()), limit)
            }
        };
        let limit = budget.limit(endpoint, usual, today)?;
        let mut line = match gate(&comparison, &subject, limit.max_increase, confidence) {
            Some(line) => line,
            None => unserved(options, &comparison, endpoint, limit.max_increase)?,
        };
        if let Some(note) = limit.note {
            line.reason = format!("{} ({note})", line.reason);
        }
        lines.push(line);
    }
    Ok(Answer {
        comparison,
        lines,
        max_increase,
        confidence,
    })
}

/// An endpoint that did not serve under both deploys: a mistake if it was asked for, unknown if the budget has it.
fn unserved(
    options: &Gate,
    comparison: &Comparison,
    endpoint: Option<&str>,
    max_increase: f64,
) -> anyhow::Result<GateLine> {
    let Some(name) = endpoint else {
        bail!("nothing was compared")
    };
    if options.endpoint.iter().any(|asked| asked == name) {
        let known = comparison.endpoints.iter();
        let known: Vec<&str> = known.map(|known| known.endpoint.as_str()).collect();
        bail!(
            "no endpoint {name} served under both deploys; known are {}",
            known.join(", ")
        );
    }
    Ok(GateLine {
        subject: name.to_owned(),
        outcome: Outcome::CannotTell,
        max_increase,
        change: None,
        more_requests: None,
        reason: "the budget has a limit for it, but it did not serve under both deploys".to_owned(),
    })
}

/// What is held to a limit: what the command line names, else what the budget has limits for.
fn subjects(options: &Gate, budget: &Budget, comparison: &Comparison) -> Vec<Subject> {
    let served = comparison.endpoints.iter();
    let served = served.map(|endpoint| endpoint.endpoint.clone());
    if options.every_endpoint {
        return served.map(Subject::Endpoint).collect();
    }
    if !options.endpoint.is_empty() {
        let asked = options.endpoint.iter().cloned();
        return asked.map(Subject::Endpoint).collect();
    }
    let own = budget.endpoints.keys().cloned();
    let others = served
        .filter(|name| budget.every_endpoint.is_some() && !budget.endpoints.contains_key(name));
    std::iter::once(Subject::Total)
        .chain(own.chain(others).map(Subject::Endpoint))
        .collect()
}

fn overall(lines: &[GateLine]) -> Outcome {
    let any = |outcome: Outcome| lines.iter().any(|line| line.outcome == outcome);
    if any(Outcome::Above) {
        Outcome::Above
    } else if any(Outcome::CannotTell) || lines.is_empty() {
        Outcome::CannotTell
    } else {
        Outcome::Below
    }
}

#[cfg(test)]
mod tests;
