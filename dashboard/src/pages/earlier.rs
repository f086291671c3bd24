//! A roll-out of code that had been rolled out before, beside that earlier run.

use appweight::api::EarlierRun;
use appweight_wire::Kind;
use maud::{Markup, html};

use super::time;
use crate::look::Look;
use crate::{format, glyph};

/// Endpoints that are shown.
const MOST: usize = 50;

pub(super) fn render(run: &EarlierRun) -> Markup {
    let changes = run.endpoints.iter().map(|of| &of.change).chain(&run.total);
    let scale = glyph::scale(changes.map(|change| (Look::Undecided, change)));
    html! {
        section.panel #earlier {
            div.panel-head { h2 { "Beside its own earlier run" } }
            p.note {
                "The same code was rolled out before, " (time(run.started_us)) ". What the "
                (format::count(u64::from(run.roll_outs_since)))
                " roll-outs since then changed, this one among them, is multiplied, with the errors of all of them."
                @if !run.unknown.is_empty() {
                    " Nothing is known of what these changed: "
                    @for id in &run.unknown { code { bdi { (id) } } " " }
                }
            }
            @if !run.endpoints.is_empty() {
                div.scroll role="region" aria-label="Beside its own earlier run" tabindex="0" {
                    table {
                        caption.visually-hidden { "Change since the earlier run by endpoint" }
                        thead { tr {
                            th scope="col" { "Endpoint" }
                            th scope="col" { "Change since " small { "with its 95 % interval" } }
                        } }
                        tbody {
                            @for of in run.endpoints.iter().take(MOST) {
                                tr {
                                    th scope="row" {
                                        bdi { (of.endpoint) }
                                        @if of.kind == Kind::Task { span.tag { "task" } }
                                    }
                                    td.change {
                                        (glyph::interval(&of.change, Look::Undecided, scale))
                                        span { (format::change(&of.change)) }
                                    }
                                }
                            }
                        }
                        @if let Some(total) = &run.total {
                            tfoot { tr {
                                th scope="row" { "All together, at a fixed mix" }
                                td.change {
                                    (glyph::interval(total, Look::Undecided, scale))
                                    span { (format::change(total)) }
                                }
                            } }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use appweight::api::{Change, EarlierChange};

    use super::*;

    #[test]
    fn it_tells_what_is_left_and_what_is_not_known() {
        let change = Change {
            relative: 0.012,
            low: -0.004,
            high: 0.028,
            confidence: 0.95,
            standard_error: 0.008,
        };
        let mut run = EarlierRun {
            started_us: 1_790_000_000_000_000,
            roll_outs_since: 2,
            unknown: Vec::new(),
            endpoints: vec![EarlierChange {
                kind: Kind::Request,
                endpoint: "/feed".to_owned(),
                change,
            }],
            total: Some(change),
        };
        let page = render(&run).into_string();
        for word in ["/feed", "What the 2 roll-outs", "+1.2", "All together"] {
            assert!(page.contains(word), "{word}: {page}");
        }
        (run.endpoints, run.total) = (Vec::new(), None);
        run.unknown = vec!["8f2c1a9".to_owned()];
        let page = render(&run).into_string();
        assert!(
            page.contains("8f2c1a9") && !page.contains("<table>"),
            "{page}"
        );
    }
}
