use appweight::api::WeightSplit;
use maud::{Markup, html};

use crate::{format, glyph};

/// Endpoints listed by name; the others hardly move anything.
const LISTED: usize = 12;

/// What moved the weight: what users did, or what code cost.
pub(super) fn render(split: &WeightSplit) -> Markup {
    let parts = [
        (
            "Requests per user",
            "users ask more or less often",
            split.requests_per_user,
        ),
        ("Mix", "users ask for other things", split.mix),
        ("New endpoints", "nobody asked for them before", split.new),
        (
            "Vanished endpoints",
            "nobody asks for them now",
            split.vanished,
        ),
        ("Cost", "the same request costs more or less", split.cost),
    ];
    let scale = parts.iter().map(|(_, _, v)| v.abs()).fold(0.0, f64::max);
    let metric = split.metric;
    let difference = split.after - split.before;
    html! {
        section.panel #split {
            div.panel-head { h2 { "What moved the weight" } }
            p {
                (format::metric_name(metric)) " per active user went from "
                strong { (format::amount(split.before, metric)) } " to "
                strong { (format::amount(split.after, metric)) } " ("
                (format::signed_amount(difference, metric)) "), which splits without a remainder into:"
            }
            table.parts {
                caption.visually-hidden { "Parts of the change of weight" }
                tbody {
                    @for (name, meaning, value) in parts {
                        tr {
                            th scope="row" { (name) " " small { (meaning) } }
                            td.number { (format::signed_amount(value, metric)) }
                            td.number.muted { (relative(value, split.before)) }
                            td { (glyph::part(value, scale)) }
                        }
                    }
                }
            }
            @if !split.endpoints.is_empty() {
                details #split-endpoints {
                    summary { "by endpoint" }
                    div.scroll role="region" aria-label="Split by endpoint" tabindex="0" {
                        table {
                            thead { tr {
                                th scope="col" { "Endpoint" }
                                th.number scope="col" { "Cost" }
                                th.number scope="col" { "Mix" }
                            } }
                            tbody {
                                @for e in split.endpoints.iter().take(LISTED) {
                                    tr {
                                        th scope="row" { bdi { (e.endpoint) } }
                                        td.number { (format::signed_amount(e.cost, metric)) }
                                        td.number { (format::signed_amount(e.mix, metric)) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
            p.note { "Method: Shapley values over requests per user, mix and cost per request; the mix of endpoints that only one side knows is told apart." }
        }
    }
}

fn relative(value: f64, before: f64) -> String {
    if before > 0.0 {
        format::percent(value / before)
    } else {
        String::new()
    }
}
