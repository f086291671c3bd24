use std::io::Write;
use std::process::ExitCode;

use anyhow::bail;
use appweight::api::{Arm, Comparison, Control, Metric};
use appweight::gate::{GateLine, Outcome, Subject, gate};
use appweight::text;
use serde::Serialize;

use crate::args::{Gate, OutputFormat};
use crate::logging::complain;

/// What `--format json` prints.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    outcome: Outcome,
    max_increase: f64,
    confidence: f64,
    lines: &'a [GateLine],
    comparison: &'a Comparison,
}

/// Asks for the comparison, holds it to the limit and prints the answer.
pub(crate) fn run(options: &Gate, out: &mut dyn Write) -> ExitCode {
    match answer(options, out) {
        Ok(Outcome::Below) => ExitCode::SUCCESS,
        Ok(Outcome::Above) => ExitCode::from(1),
        Ok(Outcome::CannotTell) => ExitCode::from(2),
        Err(error) => {
            complain(&error);
            ExitCode::from(2)
        }
    }
}

fn answer(options: &Gate, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let mut query = vec![
        ("base", options.base.as_str()),
        ("head", options.head.as_str()),
    ];
    if let Some(service) = &options.service {
        query.push(("service", service));
    }
    if let Some(metric) = options.metric {
        query.push(("metric", metric.as_str()));
    }
    let comparison: Comparison = options.at.client()?.get("/v1/compare", &query)?;
    let lines = lines(options, &comparison)?;
    let outcome = overall(&lines);
    match options.format {
        OutputFormat::Table => table(out, options, &comparison, &lines)?,
        OutputFormat::Markdown => markdown(out, options, &comparison, &lines)?,
        OutputFormat::Json => {
            let answer = Answer {
                outcome,
                max_increase: options.max_increase,
                confidence: options.confidence,
                lines: &lines,
                comparison: &comparison,
            };
            serde_json::to_writer_pretty(&mut *out, &answer)?;
            writeln!(out)?;
        }
    }
    Ok(outcome)
}

fn lines(options: &Gate, comparison: &Comparison) -> anyhow::Result<Vec<GateLine>> {
    let subjects: Vec<Subject> = if options.every_endpoint {
        comparison
            .endpoints
            .iter()
            .map(|endpoint| Subject::Endpoint(endpoint.endpoint.clone()))
            .collect()
    } else if options.endpoint.is_empty() {
        vec![Subject::Total]
    } else {
        options
            .endpoint
            .iter()
            .cloned()
            .map(Subject::Endpoint)
            .collect()
    };
    subjects
        .iter()
        .map(|subject| {
            match gate(
                comparison,
                subject,
                options.max_increase,
                options.confidence,
            ) {
                Some(line) => Ok(line),
                None => {
                    let known: Vec<&str> = comparison
                        .endpoints
                        .iter()
                        .map(|known| known.endpoint.as_str())
                        .collect();
                    let Subject::Endpoint(name) = subject else {
                        bail!("nothing was compared")
                    };
                    bail!(
                        "no endpoint {name} served under both deploys; known are {}",
                        known.join(", ")
                    )
                }
            }
        })
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

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Above => "FAIL",
        Outcome::Below => "PASS",
        Outcome::CannotTell => "CANNOT TELL",
    }
}

fn heading(comparison: &Comparison) -> String {
    let control = match comparison.control {
        Control::SideBySide => "while both served",
        Control::BeforeAfter => "one after the other, so with a wider margin",
    };
    format!(
        "{}: {} against {}, {} per request, {control}",
        comparison.service,
        comparison.head,
        comparison.base,
        text::metric_name(comparison.metric),
    )
}

/// Endpoint, before, after, change, requests: one row each, the total last.
fn rows(comparison: &Comparison) -> Vec<[String; 5]> {
    let shown = |metric: Metric, arm: &Arm| text::cost(metric, arm.mean);
    let mut rows: Vec<[String; 5]> = comparison
        .endpoints
        .iter()
        .map(|endpoint| {
            [
                endpoint.endpoint.clone(),
                shown(endpoint.metric, &endpoint.before),
                shown(endpoint.metric, &endpoint.after),
                endpoint
                    .change
                    .as_ref()
                    .map_or_else(|| "too few requests".to_owned(), text::change),
                format!("{} / {}", endpoint.before.requests, endpoint.after.requests),
            ]
        })
        .collect();
    let total = &comparison.total;
    rows.push([
        "all endpoints".to_owned(),
        text::cost(comparison.metric, total.before),
        text::cost(comparison.metric, total.after),
        total
            .change
            .as_ref()
            .map_or_else(|| "too few requests".to_owned(), text::change),
        String::new(),
    ]);
    rows
}

const HEADS: [&str; 5] = ["endpoint", "before", "after", "change", "requests"];

fn table(
    out: &mut dyn Write,
    options: &Gate,
    comparison: &Comparison,
    lines: &[GateLine],
) -> anyhow::Result<()> {
    writeln!(out, "{}\n", heading(comparison))?;
    let rows = rows(comparison);
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .chain([HEADS[column].len()])
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; 5] = std::array::from_fn(width);
    for row in std::iter::once(HEADS.map(str::to_owned)).chain(rows) {
        let [endpoint, before, after, change, requests] = row;
        writeln!(
            out,
            "  {endpoint:<0$}  {before:>1$}  {after:>2$}  {change:<3$}  {requests:>4$}",
            widths[0], widths[1], widths[2], widths[3], widths[4]
        )?;
    }
    writeln!(
        out,
        "\n  intervals hold together with {}",
        text::percent(interval_confidence(comparison))
    )?;
    for line in lines {
        writeln!(
            out,
            "{}: {}: {} (confidence {})",
            word(line.outcome),
            line.subject,
            line.reason,
            text::percent(options.confidence)
        )?;
    }
    Ok(())
}

fn interval_confidence(comparison: &Comparison) -> f64 {
    comparison
        .total
        .change
        .map_or(0.999, |change| change.confidence)
}

fn markdown(
    out: &mut dyn Write,
    options: &Gate,
    comparison: &Comparison,
    lines: &[GateLine],
) -> anyhow::Result<()> {
    for line in lines {
        writeln!(
            out,
            "**{}**: {}: {} (confidence {})\n",
            word(line.outcome),
            escaped(&line.subject),
            line.reason,
            text::percent(options.confidence)
        )?;
    }
    writeln!(out, "{}\n", escaped(&heading(comparison)))?;
    writeln!(
        out,
        "| {} |\n| --- | ---: | ---: | --- | ---: |",
        HEADS.join(" | ")
    )?;
    for row in rows(comparison) {
        writeln!(out, "| {} |", row.map(|text| escaped(&text)).join(" | "))?;
    }
    Ok(())
}

/// Names come from services: none of them may end a table's cell or begin markup.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '#' | '@' => {
                escaped.push('\\');
                escaped.push(character);
            }
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use appweight::api::{Change, EndpointComparison, TotalComparison, Verdict};
    use appweight_wire::{InstructionSource, Kind};

    use super::*;

    fn comparison() -> Comparison {
        let change = |relative: f64| Change {
            relative,
            low: relative - 0.04,
            high: relative + 0.04,
            confidence: 0.999,
            standard_error: 0.01,
        };
        let arm = |mean| Arm {
            requests: 1_000,
            weight: 1_000,
            errors: 0,
            host_groups: 2,
            mean,
        };
        let endpoint = |name: &str, relative: f64, change: Option<Change>| EndpointComparison {
            kind: Kind::Request,
            endpoint: name.into(),
            metric: Metric::Cpu,
            instruction_source: InstructionSource::None,
            control: Control::SideBySide,
            before: arm(800_000.0),
            after: arm(800_000.0 * (1.0 + relative)),
            change,
            restart: None,
            request_error: None,
            share: 0.5,
            verdict: Verdict::NoChange,
            gates: Vec::new(),
        };
        Comparison {
            service: "photos".into(),
            base: "8f2c1a9".into(),
            head: "1b22c00".into(),
            metric: Metric::Cpu,
            control: Control::SideBySide,
            endpoints: vec![
                endpoint("/feed", 0.16, Some(change(0.16))),
                endpoint("/users/{id}|<b>", 0.0, None),
            ],
            total: TotalComparison {
                before: 500_000.0,
                after: 540_000.0,
                change: Some(change(0.08)),
            },
        }
    }

    fn options(format: OutputFormat) -> Gate {
        Gate {
            base: "8f2c1a9".into(),
            head: "1b22c00".into(),
            max_increase: 0.01,
            confidence: 0.99,
            endpoint: Vec::new(),
            every_endpoint: false,
            metric: None,
            service: None,
            at: crate::args::At::default(),
            format,
        }
    }

    fn printed(
        write: impl Fn(&mut dyn Write, &Gate, &Comparison, &[GateLine]) -> anyhow::Result<()>,
    ) -> String {
        let (options, comparison) = (options(OutputFormat::Table), comparison());
        let lines = lines(&options, &comparison).unwrap();
        let mut out = Vec::new();
        write(&mut out, &options, &comparison, &lines).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_table_for_people() {
        insta::assert_snapshot!(printed(table));
    }

    #[test]
    fn a_table_for_pull_requests_escapes_names() {
        insta::assert_snapshot!(printed(markdown));
    }

    #[test]
    fn one_endpoint_above_fails_all_and_one_unclear_is_no_pass() {
        let mut every = options(OutputFormat::Table);
        every.every_endpoint = true;
        let comparison = comparison();
        assert_eq!(
            overall(&lines(&every, &comparison).unwrap()),
            Outcome::Above
        );
        every.max_increase = 0.5;
        assert_eq!(
            overall(&lines(&every, &comparison).unwrap()),
            Outcome::CannotTell
        );
        let mut unknown = options(OutputFormat::Table);
        unknown.endpoint = vec!["/nope".into()];
        let error = lines(&unknown, &comparison).unwrap_err().to_string();
        assert!(error.contains("/feed"), "{error}");
    }
}
