//! `appweight gate`: whether one deploy is dearer than another by more than is fine.

mod budget;
mod evidence;
mod print;
mod records;
mod rows;

use std::io::Write;
use std::process::ExitCode;

use anyhow::bail;
use appweight::gate::{GateLine, Outcome, Subject};
use jiff::civil::Date;

use crate::args::Gate;
use crate::logging::complain;
use budget::{Budget, Percentage};
use evidence::Evidence;

/// The increase that is fine, and how sure it must be, where nobody says otherwise.
const MAX_INCREASE: f64 = 0.01;
const CONFIDENCE: f64 = 0.99;

/// What was asked and answered.
#[derive(Debug)]
struct Answer {
    evidence: Evidence,
    lines: Vec<GateLine>,
    max_increase: f64,
    confidence: f64,
}

/// Asks whoever judges, holds what is said to the limits and prints the answer.
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
    let evidence = match (&options.base_file, &options.head_file) {
        (Some(base), Some(head)) => Evidence::of_files(options, base, head, metric)?,
        _ => Evidence::of_collector(options, metric)?,
    };
    let today = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    let answer = answer(options, &budget, evidence, today)?;
    print::print(out, options, &answer)?;
    Ok(overall(&answer.lines))
}

fn answer(
    options: &Gate,
    budget: &Budget,
    evidence: Evidence,
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
    for subject in subjects(options, budget, &evidence) {
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
        let mut line = match evidence.line(&subject, limit.max_increase, confidence) {
            Some(line) => line,
            None => unserved(options, &evidence, endpoint, limit.max_increase)?,
        };
        if let Some(note) = limit.note {
            line.reason = format!("{} ({note})", line.reason);
        }
        lines.push(line);
    }
    Ok(Answer {
        evidence,
        lines,
        max_increase,
        confidence,
    })
}

/// An endpoint that did not serve under both deploys: a mistake if it was asked for, unknown if the budget has it.
fn unserved(
    options: &Gate,
    evidence: &Evidence,
    endpoint: Option<&str>,
    max_increase: f64,
) -> anyhow::Result<GateLine> {
    let Some(name) = endpoint else {
        bail!("nothing was compared")
    };
    if options.endpoint.iter().any(|asked| asked == name) {
        bail!(
            "no endpoint {name} served under both deploys; known are {}",
            evidence.endpoints().join(", ")
        );
    }
    let reason = "the budget has a limit for it, but it did not serve under both deploys";
    Ok(GateLine::cannot_tell(
        name.to_owned(),
        max_increase,
        reason.to_owned(),
    ))
}

/// What is held to a limit: what the command line names; else what the budget has limits for, and what the detector called.
fn subjects(options: &Gate, budget: &Budget, evidence: &Evidence) -> Vec<Subject> {
    let of = |name: &str| Subject::Endpoint(name.to_owned());
    let every = evidence.endpoints();
    // Of none there is nothing to say: then it is said of all together.
    if options.every_endpoint && !every.is_empty() {
        return every.into_iter().map(of).collect();
    }
    if !options.endpoint.is_empty() {
        let asked = options.endpoint.iter().cloned();
        return asked.map(Subject::Endpoint).collect();
    }
    let own = budget.endpoints.keys().map(String::as_str);
    let mut others = match budget.every_endpoint {
        Some(_) => every,
        None => evidence.called(),
    };
    others.retain(|name| !budget.endpoints.contains_key(*name));
    std::iter::once(Subject::Total)
        .chain(own.chain(others).map(of))
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
