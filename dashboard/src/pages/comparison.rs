//! The table of endpoints under two deploys, and how it was made.

use appweight::api::{
    Arm, Comparison, Control, DeployReport, EndpointComparison, Gate, Metric, WeightSeries,
};
use appweight_wire::{InstructionSource, Kind};
use maud::{Markup, html};

use super::time;
use crate::look::Look;
use crate::{format, glyph, href};

pub(super) fn render(
    service: &str,
    comparison: &Comparison,
    report: &DeployReport,
    series: Option<&WeightSeries>,
) -> Markup {
    let looks = comparison
        .endpoints
        .iter()
        .filter_map(|e| Some((Look::of_endpoint(e.verdict), e.change.as_ref()?)));
    let scale = glyph::scale(looks);
    html! {
        section.panel #endpoints {
            div.panel-head {
                h2 { "Endpoints" }
                p.scale { "Bars: " (format::percent(-scale)) " to " (format::percent(scale)) }
            }
            div.scroll role="region" aria-label="Endpoints" tabindex="0" {
                table {
                    caption.visually-hidden { "Cost of a request by endpoint, before and after" }
                    thead { tr {
                        th scope="col" { "Endpoint" }
                        th scope="col" { "Verdict" }
                        th scope="col" { "Change " small { "with its interval" } }
                        th.number scope="col" { "Before" }
                        th.number scope="col" { "After" }
                        th.number scope="col" { "Requests " small { "before / after" } }
                        th.number scope="col" { "Share " small { "of cost" } }
                    } }
                    tbody {
                        @if comparison.endpoints.is_empty() {
                            tr { td colspan="7" { "No endpoint was served by both deploys yet." } }
                        }
                        @for (i, e) in comparison.endpoints.iter().enumerate() {
                            (row(service, comparison, e, i, scale))
                        }
                    }
                    tfoot { (total(comparison, scale)) }
                }
            }
            (how(comparison, report, series))
        }
    }
}

fn row(
    service: &str,
    comparison: &Comparison,
    e: &EndpointComparison,
    i: usize,
    scale: f64,
) -> Markup {
    let look = Look::of_endpoint(e.verdict);
    html! {
        tr.(look.class()) {
            th scope="row" {
                a href=(href::requests(service, Some(&e.endpoint), Some(&comparison.head))) title="The costliest recorded requests" {
                    bdi { (e.endpoint) }
                }
                @if e.kind == Kind::Task { span.tag { "task" } }
                (gates(&format!("gates-{i}"), &e.gates))
            }
            td { (look.badge()) }
            td.change {
                @if let Some(change) = &e.change {
                    (glyph::interval(change, look, scale))
                    span { (format::change(change)) }
                } @else { span.muted { "–" } }
            }
            td.number { (mean(&e.before, e.metric)) }
            td.number { (mean(&e.after, e.metric)) }
            td.number { (requests(&e.before)) br; (requests(&e.after)) }
            td.number { (format::share(e.share)) }
        }
    }
}

fn mean(arm: &Arm, metric: Metric) -> String {
    if arm.requests == 0 {
        "–".to_owned()
    } else {
        format::amount(arm.mean, metric)
    }
}

fn requests(arm: &Arm) -> Markup {
    html! {
        (format::count(arm.requests))
        @if arm.errors > 0 { span.errors { " " (format::count(arm.errors)) " failed" } }
    }
}

fn total(comparison: &Comparison, scale: f64) -> Markup {
    let total = &comparison.total;
    html! {
        tr {
            th scope="row" { "A request at the old mix" }
            td {}
            td.change {
                @if let Some(change) = &total.change {
                    (glyph::interval(change, Look::First, scale))
                    span { (format::change(change)) }
                } @else { span.muted { "–" } }
            }
            td.number { (format::amount(total.before, comparison.metric)) }
            td.number { (format::amount(total.after, comparison.metric)) }
            td {} td {}
        }
    }
}

/// Which conditions of the verdict held, with the numbers that decided.
pub(super) fn gates(id: &str, gates: &[Gate]) -> Markup {
    let passed = gates.iter().filter(|g| g.passed).count();
    html! {
        @if !gates.is_empty() {
            details #(id) {
                summary { "why? " (passed) " of " (gates.len()) " gates" }
                ul.gates {
                    @for gate in gates {
                        li.passed[gate.passed].failed[!gate.passed] {
                            span.sign aria-label=(if gate.passed { "passed" } else { "failed" }) {
                                (if gate.passed { "✓" } else { "✗" })
                            }
                            strong { (gate.name.replace('_', " ")) }
                            span { (gate.detail) }
                        }
                    }
                }
            }
        }
    }
}

fn how(comparison: &Comparison, report: &DeployReport, series: Option<&WeightSeries>) -> Markup {
    let sources = comparison.endpoints.first().map(|e| e.instruction_source);
    let confidence = comparison
        .endpoints
        .iter()
        .find_map(|e| e.change.as_ref())
        .map(|c| c.confidence);
    html! {
        dl.how {
            dt { "Compared" }
            dd { code { bdi { (comparison.base) } } " with " code { bdi { (comparison.head) } } }
            dt { "Control" }
            dd {
                @match comparison.control {
                    Control::SideBySide => "side by side: both served at the same time, in the same spans of time",
                    Control::BeforeAfter => "before and after: one served after the other, so that whatever else changed meanwhile is in the difference",
                }
            }
            @if let (Some(from), Some(until)) = (report.from_us, report.until_us) {
                dt { "Time" }
                dd { (time(from)) " to " (format::clock(until)) " (" (format::duration(until.saturating_sub(from))) ")" }
            }
            @if let Some(confidence) = confidence {
                dt { "Confidence" }
                dd { (format::confidence(confidence)) " for each interval, corrected for the number of endpoints judged at once" }
            }
            dt { "Counter" }
            dd { (counter(comparison.metric, sources, series)) }
        }
    }
}

fn counter(
    metric: Metric,
    source: Option<InstructionSource>,
    series: Option<&WeightSeries>,
) -> String {
    match metric {
        Metric::Instructions => match source.unwrap_or_default() {
            InstructionSource::HardwareUser => "CPU instructions in user mode, counted by the CPU",
            InstructionSource::HardwareAll => {
                "CPU instructions in user mode and in the kernel, counted by the CPU"
            }
            InstructionSource::Simulated => "CPU instructions, counted by a simulator",
            InstructionSource::None => "CPU instructions",
        }
        .to_owned(),
        Metric::Cpu => match series.and_then(|s| s.instructions_absent_because.as_deref()) {
            Some(reason) => format!(
                "CPU time; instructions are absent, because {}",
                reason.trim_end_matches('.')
            ),
            None => "CPU time".to_owned(),
        },
    }
}
