use appweight::api::{Change, ProfileDiff};
use appweight::profile::{Change as Cost, Function, FunctionChange, Move};
use appweight::text;
use appweight_wire::{Age, Kind, Taken};
use maud::{Markup, html};

use crate::look::Look;
use crate::{format, glyph, href};

/// Functions of an endpoint that are shown at once; a reader who wants all of them asks the command line.
const MOST_FUNCTIONS: usize = 8;
/// Moved costs that are told.
const MOST_MOVES: usize = 4;

/// What changed in the functions of one endpoint.
pub(super) fn endpoint(found: &ProfileDiff) -> Markup {
    if found.diff.functions.is_empty() {
        return html! { p.note { (no_functions(found)) } p.note { (basis(found)) } };
    }
    let unit = &found.diff.timer.unit;
    let total = &found.diff.total;
    let shown = shown(found);
    let relative: Vec<(Look, Change)> = shown
        .iter()
        .filter_map(|change| Some((look(change), share(found, &change.own)?)))
        .collect();
    let scale = glyph::scale(relative.iter().map(|(look, change)| (*look, change)));
    html! {
        @for told in builds(found) { p.note { (told) } }
        p.culprit {
            @if let Some(culprit) = &found.diff.culprit {
                "Most of the change lies in " (path(&culprit.path)) ": "
                strong { (format::signed_amount_of(culprit.total.difference(), unit)) }
                " of " (format::signed_amount_of(total.difference(), unit)) " per request."
            } @else {
                strong { (format::signed_amount_of(total.difference(), unit)) }
                " per request; no single chain of calls has most of it."
            }
        }
        div.scroll role="region" aria-label={ "Functions of " (found.of.endpoint) } tabindex="0" {
            table {
                caption.visually-hidden { "Own cost of functions per request, before and after" }
                thead { tr {
                    th scope="col" { "Function" }
                    th scope="col" { "Change of its own cost " small { "per request; bars to ±" (format::share(scale)) " of a request" } }
                    th.number scope="col" { "Before" }
                    th.number scope="col" { "After" }
                    th.number scope="col" { (seen(found)) " " small { "per request, before / after" } }
                } }
                tbody {
                    @if shown.is_empty() { tr { td colspan="5" { "No function changed." } } }
                    @for change in &shown { (row(found, change, scale)) }
                }
            }
        }
        @if let Some(moves) = moves(found) { (moves) }
        (graph(found))
        p.note { (basis(found)) }
    }
}

/// What is odd about the builds of the program.
fn builds(found: &ProfileDiff) -> Vec<String> {
    if found.diff.same_build().is_some() {
        let told = "Both deploys ran the same build of the program: what changed is how it was started, its configuration or its data.";
        return vec![told.to_owned()];
    }
    let sides = [&found.base, &found.head]
        .into_iter()
        .zip(&found.diff.builds);
    sides
        .filter(|(_, builds)| builds.count() > 1)
        .map(|(deploy, builds)| {
            format!(
                "{deploy} was served by {} builds of the program, which are added up here.",
                builds.count()
            )
        })
        .collect()
}

/// Why there is no table.
fn no_functions(found: &ProfileDiff) -> &'static str {
    match found.of.taken {
        Taken::Scopes => {
            "These profiles tell of no function: mark some with #[profiled] or scope!, or let stacks be sampled (APPWEIGHT_SAMPLE_STACKS)."
        }
        Taken::Sampled => "These samples tell of no function.",
    }
}

/// Those that surely changed or whose cost moved; if there are none, the few that seem to have changed most.
fn shown(found: &ProfileDiff) -> Vec<&FunctionChange> {
    let changed = |change: &&FunctionChange| change.own.difference() != 0.0;
    let told: Vec<&FunctionChange> = found
        .diff
        .functions
        .iter()
        .filter(changed)
        .filter(|change| change.own.is_sure() || change.moved != 0.0)
        .take(MOST_FUNCTIONS)
        .collect();
    if told.is_empty() {
        return found
            .diff
            .functions
            .iter()
            .filter(changed)
            .take(3)
            .collect();
    }
    told
}

fn row(found: &ProfileDiff, change: &FunctionChange, scale: f64) -> Markup {
    let unit = &found.diff.timer.unit;
    let look = look(change);
    html! {
        tr.(look.class()) {
            th scope="row" {
                code title=(change.function.name) { bdi { (text::function(&change.function.name)) } }
                @if change.moved != 0.0 { span.tag { "moved" } }
                @if change.own.interval.is_some() && !change.own.is_sure() { span.tag { "not sure" } }
                (place(&change.function))
            }
            td.change {
                @if let Some(share) = share(found, &change.own) { (glyph::interval(&share, look, scale)) }
                span { (difference(&change.own, unit)) }
            }
            td.number { (format::amount_of(change.own.before, unit)) }
            td.number { (format::amount_of(change.own.after, unit)) }
            td.number { (format::rate(change.calls[0])) br; (format::rate(change.calls[1])) }
        }
    }
}

fn look(change: &FunctionChange) -> Look {
    if change.moved != 0.0 && change.net().abs() < change.own.difference().abs() / 2.0 {
        Look::Same
    } else if !change.own.is_sure() {
        Look::Unsure
    } else if change.own.difference() > 0.0 {
        Look::Heavier
    } else {
        Look::Lighter
    }
}

/// The change as a part of what a request cost before.
fn share(found: &ProfileDiff, cost: &Cost) -> Option<Change> {
    let whole = found.diff.total.before;
    let interval = cost.interval.filter(|_| whole > 0.0)?;
    Some(Change {
        relative: cost.difference() / whole,
        low: interval.low / whole,
        high: interval.high / whole,
        confidence: found.diff.confidence,
        standard_error: 0.0,
    })
}

fn difference(cost: &Cost, unit: &str) -> String {
    let difference = format::signed_amount_of(cost.difference(), unit);
    match cost.interval {
        Some(interval) => format!(
            "{difference} ({} … {})",
            format::amount_of(interval.low, unit),
            format::amount_of(interval.high, unit)
        ),
        None => difference,
    }
}

fn place(function: &Function) -> Markup {
    html! {
        @if !function.file.is_empty() {
            small.place { bdi { (function.file) @if function.line > 0 { ":" (function.line) } } }
        }
    }
}

fn path(names: &[String]) -> Markup {
    let (first, left_out, last) = text::ends(names);
    let chain = |names: &[String]| {
        html! {
            @for (at, name) in names.iter().enumerate() {
                @if at > 0 { " → " }
                code title=(name) { bdi { (text::function(name)) } }
            }
        }
    };
    html! {
        (chain(first))
        @if left_out > 0 { " → … " (left_out) " more … → " (chain(last)) }
    }
}

fn seen(found: &ProfileDiff) -> &'static str {
    match found.of.taken {
        Taken::Scopes => "Calls",
        Taken::Sampled => "Samples",
    }
}

fn moves(found: &ProfileDiff) -> Option<Markup> {
    let moves = &found.diff.moves;
    (!moves.is_empty()).then(|| {
        html! {
            ul.moves {
                @for one in moves.iter().take(MOST_MOVES) { (moved(one, &found.diff.timer.unit)) }
            }
        }
    })
}

fn moved(one: &Move, unit: &str) -> Markup {
    html! {
        li {
            span.badge.same { (Look::Same.icon()) "moved" }
            span {
                (format::amount_of(one.amount, unit)) " per request only moved"
                @if !one.within.is_empty() { ", within " (path(&one.within)) }
                ": "
                @for (at, part) in one.parts.iter().enumerate() {
                    @if at > 0 { ", " }
                    (format::signed_amount_of(part.difference, unit)) " "
                    @match part.path.get(one.within.len()..) {
                        Some(rest) if !rest.is_empty() => (path(rest)),
                        _ => "itself",
                    }
                }
                "."
            }
        }
    }
}

fn graph(found: &ProfileDiff) -> Markup {
    let address = href::flamegraph(found);
    html! {
        figure.flamegraph {
            a href=(address) {
                img src=(address) loading="lazy" width="1200" height="200"
                    alt={ "Flame graph of " (found.of.endpoint) ": as wide as after, red where a function itself became dearer, blue where cheaper" };
            }
            figcaption.note {
                "Wide: what it costs after. Red: dearer itself than before; blue: cheaper. "
                a href=(address) { "Open it" } " to search and to zoom."
            }
        }
    }
}

fn basis(found: &ProfileDiff) -> String {
    let of = &found.of;
    let taken = match of.taken {
        Taken::Scopes => "every call of the instrumented functions",
        Taken::Sampled => "sampled stacks",
    };
    let age = match of.age {
        Age::Warm => "",
        Age::WarmingUp => ", in processes that were warming up",
    };
    let what = match of.kind {
        Kind::Request => "requests",
        Kind::Task => "tasks",
    };
    let [before, after] = found.diff.requests;
    let sure = if found.diff.total.interval.is_some() {
        format!(
            "all intervals hold together with {}",
            format::confidence(found.diff.confidence)
        )
    } else {
        "too few spans of time were profiled for intervals".to_owned()
    };
    let cost = found.diff.timer_cost.told(&of.unit);
    let cost = cost.map_or(String::new(), |cost| format!("; {cost}"));
    format!(
        "By {} of {} and {} profiled {what} ({taken}{age}); {sure}{cost}.",
        of.timer,
        format::count(before),
        format::count(after)
    )
}
