//! Profiles as tables for a terminal.

use std::io::{self, Write};

use appweight::profile::{Diff, Function, FunctionChange, FunctionCost, Move, Profile, TimerCost};
use appweight::text;
use serde::Serialize;

use super::files::Per;

/// One profile: functions by their own cost.
pub(super) fn one(
    out: &mut dyn Write,
    profile: &Profile,
    costs: &[FunctionCost],
    per: Per,
    top: usize,
) -> io::Result<()> {
    let timer = profile.timer();
    let behind = profile.requests().max(1) as f64 / per.size();
    let total = profile.total() as f64;
    // Those that were looked through are no functions any more.
    let mut costs: Vec<&FunctionCost> = costs
        .iter()
        .filter(|cost| (cost.calls, cost.own, cost.total) != (0, 0, 0))
        .collect();
    writeln!(
        out,
        "{}: {} per {}, {} behind it, {} functions in {} contexts\n",
        timer.name,
        text::amount(&timer.unit, total / behind),
        per.word(),
        if behind == 1.0 {
            format!("one {}", per.word())
        } else {
            // Two digits after the point where there are parts.
            format!("{} {}s", (behind * 100.0).round() / 100.0, per.word())
        },
        costs.len(),
        profile.nodes().len() - 1,
    )?;
    if costs.is_empty() {
        return writeln!(
            out,
            "no function is told of: mark some with #[profiled] or scope!, or let stacks be sampled (APPWEIGHT_SAMPLE_STACKS)"
        );
    }
    costs.sort_by_key(|cost| std::cmp::Reverse(cost.own));
    let share = |value: i64| {
        if total == 0.0 {
            "–".to_owned()
        } else {
            text::percent(value as f64 / total)
        }
    };
    let rows = costs.iter().take(top).map(|cost| {
        vec![
            share(cost.own),
            text::amount(&timer.unit, cost.own as f64 / behind),
            share(cost.total),
            text::amount(&timer.unit, cost.total as f64 / behind),
            named(profile.function(cost.function)),
        ]
    });
    print(
        out,
        &["self", "", "with callees", "", "function"],
        rows.collect(),
    )?;
    left_out(out, costs.len(), top)
}

/// Two profiles: functions by what changed.
pub(super) fn two(out: &mut dyn Write, diff: &Diff, per: Per, top: usize) -> io::Result<()> {
    let unit = &diff.timer.unit;
    writeln!(
        out,
        "{} per {}: {} → {}, {}",
        diff.timer.name,
        per.word(),
        text::amount(unit, diff.total.before),
        text::amount(unit, diff.total.after),
        change(unit, &diff.total),
    )?;
    if diff.same_build().is_some() {
        writeln!(
            out,
            "both ran the same build: what changed is how it was started, its configuration or its data"
        )?;
    }
    if let Some(culprit) = &diff.culprit {
        writeln!(
            out,
            "most of it in {} ({})",
            text::chain(&culprit.path),
            change(unit, &culprit.total)
        )?;
    }
    writeln!(out)?;
    let changed: Vec<&FunctionChange> = diff
        .functions
        .iter()
        .filter(|function| function.own.difference() != 0.0)
        .collect();
    let rows = changed.iter().take(top).map(|function| {
        vec![
            change(unit, &function.own),
            text::amount(unit, function.own.before),
            text::amount(unit, function.own.after),
            format!("{:.1} → {:.1}", function.calls[0], function.calls[1]),
            note(function).to_owned(),
            named(&function.function),
        ]
    });
    print(
        out,
        &["change of self", "before", "after", "calls", "", "function"],
        rows.collect(),
    )?;
    left_out(out, changed.len(), top)?;
    for found in diff.moves.iter().take(top) {
        writeln!(out, "\nmoved {}", moved(unit, found))?;
    }
    if diff.total.interval.is_some() {
        writeln!(
            out,
            "\nintervals hold together with {}",
            text::percent(diff.confidence)
        )
    } else {
        writeln!(
            out,
            "\nno intervals: {} are needed to tell how sure this is",
            per.enough()
        )
    }
}

fn change(unit: &str, change: &appweight::profile::Change) -> String {
    let difference = text::signed_amount(unit, change.difference());
    match change.interval {
        Some(interval) => format!(
            "{difference} ({} … {})",
            text::signed_amount(unit, interval.low),
            text::signed_amount(unit, interval.high)
        ),
        None => difference,
    }
}

fn note(function: &FunctionChange) -> &'static str {
    if function.moved != 0.0 {
        "moved"
    } else if function.own.interval.is_some() && !function.own.is_sure() {
        "not sure"
    } else {
        ""
    }
}

fn moved(unit: &str, found: &Move) -> String {
    let within = match found.within.as_slice() {
        [] => "within the request".to_owned(),
        path => format!("within {}", text::chain(path)),
    };
    let parts: Vec<String> = found
        .parts
        .iter()
        .map(|part| {
            let path = part.path.get(found.within.len()..).unwrap_or(&part.path);
            let name = match path {
                [] => "itself".to_owned(),
                path => text::chain(path),
            };
            format!("  {} {name}", text::signed_amount(unit, part.difference))
        })
        .collect();
    format!(
        "{} {within}\n{}",
        text::amount(unit, found.amount),
        parts.join("\n")
    )
}

pub(super) fn named(function: &Function) -> String {
    // What a name holds goes to a terminal.
    let name: String = text::function(&function.name)
        .chars()
        .map(|letter| if letter.is_control() { '?' } else { letter })
        .collect();
    match function.line {
        0 => name,
        line => format!(
            "{name} ({}:{line})",
            function.file.rsplit('/').next().unwrap_or_default()
        ),
    }
}

pub(super) fn left_out(out: &mut dyn Write, all: usize, top: usize) -> io::Result<()> {
    match all.checked_sub(top) {
        Some(more) if more > 0 => writeln!(out, "  and {more} more (--top)"),
        _ => Ok(()),
    }
}

/// Columns to the right, the last, the function, to the left.
pub(super) fn print(out: &mut dyn Write, heads: &[&str], rows: Vec<Vec<String>>) -> io::Result<()> {
    let heads: Vec<String> = heads.iter().map(|head| (*head).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(heads).chain(rows).collect();
    let last = rows[0].len() - 1;
    let widths: Vec<usize> = (0..last)
        .map(|column| {
            let widths = rows.iter().map(|row| row[column].chars().count());
            widths.max().unwrap_or(0)
        })
        .collect();
    for row in rows {
        for (cell, width) in row.iter().zip(&widths) {
            write!(out, "  {cell:>width$}")?;
        }
        writeln!(out, "  {}", row[last])?;
    }
    Ok(())
}

/// A function's cost as JSON.
#[derive(Debug, Serialize)]
pub(super) struct JsonCost<'a> {
    function: &'a Function,
    calls: u64,
    own: i64,
    total: i64,
}

/// A profile as JSON: functions with their costs.
#[derive(Debug, Serialize)]
pub(super) struct JsonProfile<'a> {
    timer: &'a appweight::profile::Timer,
    requests: u64,
    samples: u64,
    timer_cost: TimerCost,
    total: i64,
    functions: Vec<JsonCost<'a>>,
}

pub(super) fn json(profile: &Profile) -> JsonProfile<'_> {
    JsonProfile {
        timer: profile.timer(),
        requests: profile.requests(),
        samples: profile.samples(),
        timer_cost: profile.timer_cost(),
        total: profile.total(),
        functions: appweight::profile::function_costs(profile)
            .into_iter()
            .map(|cost| JsonCost {
                function: profile.function(cost.function),
                calls: cost.calls,
                own: cost.own,
                total: cost.total,
            })
            .collect(),
    }
}
