use std::fs::OpenOptions;
use std::io::Write;

use anyhow::Context;
use appweight::api::{Arm, Comparison, Control, Metric};
use appweight::gate::{GateLine, Outcome};
use appweight::text;
use serde::Serialize;

use super::{Answer, overall};
use crate::args::{Gate, OutputFormat};

/// What `--format json` prints.
#[derive(Debug, Serialize)]
struct Printed<'a> {
    outcome: Outcome,
    max_increase: f64,
    confidence: f64,
    lines: &'a [GateLine],
    comparison: &'a Comparison,
}

/// Prints the answer as asked.
pub(super) fn print(out: &mut dyn Write, options: &Gate, answer: &Answer) -> anyhow::Result<()> {
    match options.format {
        OutputFormat::Table => table(out, answer),
        OutputFormat::Markdown => markdown(out, answer),
        OutputFormat::Github => {
            github(out, answer)?;
            match &options.summary_file {
                Some(path) => {
                    let file = OpenOptions::new().append(true).create(true).open(path);
                    let mut file = file.with_context(|| {
                        format!("the summary {} cannot be written", path.display())
                    })?;
                    markdown(&mut file, answer)
                }
                None => Ok(()),
            }
        }
        OutputFormat::Json => {
            let printed = Printed {
                outcome: overall(&answer.lines),
                max_increase: answer.max_increase,
                confidence: answer.confidence,
                lines: &answer.lines,
                comparison: &answer.comparison,
            };
            serde_json::to_writer_pretty(&mut *out, &printed)?;
            Ok(writeln!(out)?)
        }
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

fn table(out: &mut dyn Write, answer: &Answer) -> anyhow::Result<()> {
    let comparison = &answer.comparison;
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
    for line in &answer.lines {
        writeln!(
            out,
            "{}: {}: {} (confidence {})",
            word(line.outcome),
            line.subject,
            line.reason,
            text::percent(answer.confidence)
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

fn markdown(out: &mut dyn Write, answer: &Answer) -> anyhow::Result<()> {
    let comparison = &answer.comparison;
    for line in &answer.lines {
        writeln!(
            out,
            "**{}**: {}: {} (confidence {})\n",
            word(line.outcome),
            escaped(&line.subject),
            escaped(&line.reason),
            text::percent(answer.confidence)
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

/// One workflow command for each line: GitHub shows it beside the change.
fn github(out: &mut dyn Write, answer: &Answer) -> anyhow::Result<()> {
    for line in &answer.lines {
        let level = match line.outcome {
            Outcome::Above => "error",
            Outcome::CannotTell => "warning",
            Outcome::Below => "notice",
        };
        let title = format!("AppWeight: {} {}", word(line.outcome), line.subject);
        writeln!(
            out,
            "::{level} title={}::{}",
            command_text(&title).replace(':', "%3A").replace(',', "%2C"),
            command_text(&format!(
                "{}: {} (confidence {})",
                line.subject,
                line.reason,
                text::percent(answer.confidence)
            ))
        )?;
    }
    Ok(())
}

/// Text as a workflow command takes it, from which no name of a service can begin another one
/// (<https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands>).
fn command_text(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}
