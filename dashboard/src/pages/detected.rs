//! What the detector says of a roll-out, endpoint by endpoint, and whether the verdict is its own.

use appweight::api::{Detected, DetectedChange, DetectedVerdict};
use appweight::text;
use appweight_wire::Kind;
use maud::{Markup, html};

use super::time;
use crate::look::Look;
use crate::{format, glyph};

/// Endpoints that are shown; what changed is among the first.
const MOST: usize = 50;

pub(super) fn render(detected: &Detected) -> Markup {
    if !detected.judges {
        return html! {
            p.note #detected { "Judged by the comparison below. The detector cannot speak: " (detected.because) "." }
        };
    }
    let changes = detected.changes();
    let scale = glyph::scale(changes.filter_map(|c| Some((look(c.verdict), c.change.as_ref()?))));
    html! {
        section.panel #detected {
            div.panel-head {
                h2 { "Minute by minute" }
                p.scale { "Bars: " (format::percent(-scale)) " to " (format::percent(scale)) }
            }
            p.note {
                "The verdict is the detector’s, from " (detected.because)
                @if detected.watches { "; it looks every minute" }
                @if let Some(until) = detected.until_us { ", by now up to " (time(until)) }
                ". The comparison below tells the means."
                @if detected.late_requests > 0 {
                    " " (format::count(detected.late_requests)) " requests of the service came too late to be judged."
                }
                @if detected.left_out_minutes > 0 {
                    " " (format::count(detected.left_out_minutes)) " minutes of the service had too many cells to be judged."
                }
            }
            (table("checks", "Minute by minute", &detected.endpoints, detected.total.as_ref(), scale, said))
        }
    }
}

/// What is said of endpoints, and of all together: each with its ladder, whose name in the page begins with `id`.
pub(super) fn table(
    id: &str,
    name: &str,
    endpoints: &[DetectedChange],
    total: Option<&DetectedChange>,
    scale: f64,
    said: impl Fn(DetectedVerdict) -> (Look, &'static str),
) -> Markup {
    let row = |change: &DetectedChange, i: usize| {
        row(change, &format!("{id}-{i}"), scale, said(change.verdict))
    };
    html! {
        div.scroll role="region" aria-label=(name) tabindex="0" {
            table {
                caption.visually-hidden { (name) ", by endpoint" }
                thead { tr {
                    th scope="col" { "Endpoint" }
                    th scope="col" { "Verdict" }
                    th scope="col" { "Change " small { "with its 95 % interval" } }
                    th scope="col" { "Sure since" }
                } }
                tbody {
                    @for (i, change) in endpoints.iter().take(MOST).enumerate() { (row(change, i)) }
                }
                @if let Some(total) = total {
                    tfoot { (row(total, MOST)) }
                }
            }
        }
    }
}

fn row(change: &DetectedChange, id: &str, scale: f64, (look, word): (Look, &str)) -> Markup {
    let cost = change.cost;
    html! {
        tr.(look.class()) {
            th scope="row" {
                @match &change.endpoint {
                    Some(endpoint) => bdi { (endpoint) },
                    None => "All together, at a fixed mix",
                }
                @if change.kind == Some(Kind::Task) { span.tag { "task" } }
                @if !change.checks.is_empty() {
                    details #(id) {
                        summary { "why?" }
                        ul { @for check in &change.checks { li { (check) } } }
                    }
                }
            }
            td { span.badge.(look.class()) { (look.icon()) span { (word) } } }
            td.change {
                @if let Some(change) = &change.change {
                    (glyph::interval(change, look, scale))
                    span { (format::change(change)) }
                    @if let Some(cost) = &cost { small { (text::added(cost)) } }
                } @else { span.muted { "–" } }
            }
            td {
                @match (change.sure_since_us, change.more_requests) {
                    (Some(since), _) => (time(since)),
                    (None, Some(more)) => span.muted { (format::count(more)) " requests more on each side" },
                    (None, None) => span.muted { "–" },
                }
            }
        }
    }
}

fn said(verdict: DetectedVerdict) -> (Look, &'static str) {
    (look(verdict), text::detected(verdict))
}

pub(super) fn look(verdict: DetectedVerdict) -> Look {
    match verdict {
        DetectedVerdict::Regressed => Look::Heavier,
        DetectedVerdict::Improved => Look::Lighter,
        DetectedVerdict::Withheld => Look::Withheld,
        DetectedVerdict::Unchanged => Look::Same,
        DetectedVerdict::Withdrawn => Look::WentAway,
        DetectedVerdict::Undecided => Look::Undecided,
        DetectedVerdict::NoData => Look::Unsure,
    }
}

#[cfg(test)]
mod tests {
    use appweight::api::{AddedCost, Change};

    use super::*;

    fn detected(judges: bool) -> Detected {
        let change = |endpoint: Option<&str>, verdict| DetectedChange {
            kind: endpoint.map(|_| Kind::Request),
            endpoint: endpoint.map(str::to_owned),
            verdict,
            change: Some(Change {
                relative: 0.032,
                low: 0.02,
                high: 0.044,
                confidence: 0.95,
                standard_error: 0.006,
            }),
            sure_since_us: None,
            more_requests: Some(12_000),
            cost: endpoint.map(|_| AddedCost {
                share: 0.0131,
                cores: Some(2.1),
                of_cores: Some(160.0),
            }),
            checks: vec!["evidence: 6.1 standard errors".to_owned()],
        };
        Detected {
            judges,
            because: "cells of 1 s, not of a minute".to_owned(),
            watches: true,
            metric: None,
            until_us: None,
            late_requests: 3,
            left_out_minutes: 2,
            endpoints: vec![change(Some("/feed"), DetectedVerdict::Withdrawn)],
            total: Some(change(None, DetectedVerdict::Undecided)),
        }
    }

    #[test]
    fn it_tells_each_verdict_with_its_ladder() {
        let page = render(&detected(true)).into_string();
        for word in [
            "/feed",
            "went away",
            "All together",
            "undecided",
            "6.1 standard errors",
            "3 requests",
            "2 minutes",
            "+1.3 % of the service's CPU, 2.1 of 160 cores",
        ] {
            assert!(page.contains(word), "{word}: {page}");
        }
    }

    #[test]
    fn it_says_why_another_judged() {
        let page = render(&detected(false)).into_string();
        assert!(
            page.contains("cells of 1 s") && !page.contains("<table>"),
            "{page}"
        );
    }
}
