use std::fs::OpenOptions;
use std::io::Write;

use anyhow::Context;
use appweight::api::{Comparison, Control, Detected};
use appweight::gate::{GateLine, Outcome};
use appweight::text;
use serde::Serialize;

use super::evidence::{Evidence, Judge};
use super::rows::{HEADS, rows};
use super::{Answer, overall};
use crate::args::{Gate, OutputFormat};
use crate::units::minute;

/// What `--format json` prints.
#[derive(Debug, Serialize)]
struct Printed<'a> {
    outcome: Outcome,
    judge: Judge,
    because: &'a str,
    service: &'a str,
    base: &'a str,
    head: &'a str,
    max_increase: f64,
    confidence: f64,
    lines: &'a [GateLine],
    detected: Option<&'a Detected>,
    comparison: Option<&'a Comparison>,
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
            let evidence = &answer.evidence;
            let printed = Printed {
                outcome: overall(&answer.lines),
                judge: evidence.judge(),
                because: &evidence.because,
                service: &evidence.service,
                base: &evidence.base,
                head: &evidence.head,
                max_increase: answer.max_increase,
                confidence: answer.confidence,
                lines: &answer.lines,
                detected: evidence.detected.as_ref(),
                comparison: evidence.comparison.as_ref(),
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

/// Which deploys were held against each other, and by what.
fn heading(evidence: &Evidence) -> String {
    let Evidence {
        service,
        base,
        head,
        ..
    } = evidence;
    let compared = match (&evidence.detected, &evidence.comparison) {
        (Some(detected), _) => detected.metric.map_or_else(String::new, |metric| {
            format!(", {} per request", text::metric_name(metric))
        }),
        (None, Some(comparison)) => format!(
            ", {} per request, {}",
            text::metric_name(comparison.metric),
            match comparison.control {
                Control::SideBySide => "while both served",
                Control::BeforeAfter => "one after the other, so with a wider margin",
            }
        ),
        (None, None) => String::new(),
    };
    format!("{service}: {head} against {base}{compared}")
}

/// Who judged, and up to which minute.
fn judge(evidence: &Evidence) -> String {
    match evidence.detected.as_ref().map(|said| said.until_us) {
        Some(Some(until_us)) => format!("judged by the detector up to {}", minute(until_us)),
        Some(None) => "judged by the detector".to_owned(),
        None => "judged by comparison".to_owned(),
    }
}

/// The same with the reason.
fn judge_and_why(evidence: &Evidence) -> String {
    let because = &evidence.because;
    let mut told = judge(evidence);
    let Some(detected) = &evidence.detected else {
        if !because.is_empty() {
            told.push_str(&format!(" (the detector does not: {because})"));
        }
        return told;
    };
    if detected.judges {
        told.push_str(&format!(", from {because}"));
    }
    told.push_str(if detected.watches {
        "; it still watches"
    } else {
        "; its watch is over"
    });
    if detected.late_requests > 0 {
        let late = detected.late_requests;
        told.push_str(&format!("; {late} requests came too late for it"));
    }
    if detected.left_out_minutes > 0 {
        let minutes = detected.left_out_minutes;
        told.push_str(&format!("; {minutes} minutes had too many cells for it"));
    }
    told
}

/// How sure the intervals of the rows are.
fn intervals(evidence: &Evidence) -> String {
    if evidence.detected.is_some() {
        return "intervals are of 95.0 % and of this look; what is called heavier or lighter holds for all looks together"
            .to_owned();
    }
    let comparison = evidence.comparison.as_ref();
    let change = comparison.and_then(|comparison| comparison.total.change);
    let confidence = change.map_or(0.999, |change| change.confidence);
    format!("intervals hold together with {}", text::percent(confidence))
}

fn table(out: &mut dyn Write, answer: &Answer) -> anyhow::Result<()> {
    let evidence = &answer.evidence;
    writeln!(out, "{}", heading(evidence))?;
    writeln!(out, "{}\n", judge_and_why(evidence))?;
    let rows = rows(evidence);
    if !rows.is_empty() {
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
        writeln!(out, "\n  {}", intervals(evidence))?;
    }
    for line in &answer.lines {
        writeln!(
            out,
            "{}: {}: {}",
            word(line.outcome),
            line.subject,
            told(line, answer.confidence)
        )?;
        for check in checks(line) {
            writeln!(out, "  {check}")?;
        }
    }
    Ok(())
}

/// With what it costs, since when it is sure, and how sure that is.
fn told(line: &GateLine, confidence: f64) -> String {
    let since = line.sure_since_us.map_or_else(String::new, |since_us| {
        format!(", sure since {}", minute(since_us))
    });
    let cost = line
        .cost
        .map_or_else(String::new, |cost| format!(", {}", text::added(&cost)));
    let confidence = text::percent(confidence);
    format!("{}{cost}{since} (confidence {confidence})", line.reason)
}

/// Who passes needs no reasons.
fn checks(line: &GateLine) -> &[String] {
    match line.outcome {
        Outcome::Below => &[],
        Outcome::Above | Outcome::CannotTell => &line.checks,
    }
}

fn markdown(out: &mut dyn Write, answer: &Answer) -> anyhow::Result<()> {
    let evidence = &answer.evidence;
    for line in &answer.lines {
        writeln!(
            out,
            "**{}**: {}: {}\n",
            word(line.outcome),
            escaped(&line.subject),
            escaped(&told(line, answer.confidence))
        )?;
        let checks = checks(line);
        for check in checks {
            writeln!(out, "- {}", escaped(check))?;
        }
        if !checks.is_empty() {
            writeln!(out)?;
        }
    }
    writeln!(
        out,
        "{}; {}\n",
        escaped(&heading(evidence)),
        escaped(&judge_and_why(evidence))
    )?;
    let rows = rows(evidence);
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "| {} |\n| --- | ---: | ---: | --- | ---: |",
        HEADS.join(" | ")
    )?;
    for row in rows {
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
                "{}: {}, {}",
                line.subject,
                told(line, answer.confidence),
                judge(&answer.evidence)
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
