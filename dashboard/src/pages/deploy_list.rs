use appweight::api::{Change, DeploySummary, Finding};
use maud::{Markup, html};

use super::time;
use crate::look::{Look, deploy_badge};
use crate::{format, glyph, href};

/// The roll-outs, newest first.
pub(super) fn render(deploys: &[DeploySummary]) -> Markup {
    let scale = glyph::scale(
        deploys
            .iter()
            .filter_map(|d| Some((Look::of_deploy(d), size(d)?))),
    );
    html! {
        section.panel #deploys {
            div.panel-head {
                h2 { "Deploys" }
                @if deploys.iter().any(|d| size(d).is_some()) {
                    p.scale { "Bars: " (format::percent(-scale)) " to " (format::percent(scale)) " of the named endpoint’s cost" }
                }
            }
            @if deploys.is_empty() {
                p.note {
                    "No deploy yet. One appears when a process with a new deploy id sends its first record, or when your pipeline says so: "
                    code { "POST /v1/deploys" } "."
                }
            } @else {
                ol.deploys { @for d in deploys { (row(d, scale)) } }
            }
        }
    }
}

fn row(summary: &DeploySummary, scale: f64) -> Markup {
    let deploy = &summary.deploy;
    let look = Look::of_deploy(summary);
    html! {
        li.(look.class()) {
            div.verdict { (deploy_badge(summary)) }
            div.name {
                a href=(href::deploy(deploy)) {
                    @if let Some(title) = &deploy.title { bdi { (title) } } @else { bdi { "Deploy " (deploy.id) } }
                }
                p.meta {
                    code { bdi { (deploy.id) } }
                    @if let Some(author) = &deploy.author { span { bdi { (author) } } }
                    (time(deploy.started_us))
                }
            }
            p.headline { (summary.headline) }
            div.size {
                @if let Some(change) = size(summary) { (glyph::interval(change, look, scale)) }
            }
        }
    }
}

fn size(summary: &DeploySummary) -> Option<&Change> {
    summary
        .findings
        .iter()
        .find_map(|f: &Finding| f.change.as_ref())
}
