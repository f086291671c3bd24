//! Deploys on a chart: a line at the time, a shape above it, a link and a tooltip.

use appweight::api::{Change, DeployStatus, DeploySummary};
use maud::{Markup, html};

use crate::look::Look;
use crate::plot::{Drawn, SCALE};
use crate::{format, href};

/// Shapes nearer to each other than this are drawn in two rows.
const CROWDED: i32 = 22 * SCALE;
/// The room that a size beside a shape takes.
const SIZE_TEXT: i32 = 56 * SCALE;

pub(crate) fn draw(drawn: &Drawn, deploys: &[DeploySummary]) -> Markup {
    let mut on_chart: Vec<(i32, &DeploySummary)> = deploys
        .iter()
        .filter_map(|d| Some((drawn.x(d.deploy.started_us)?, d)))
        .collect();
    on_chart.sort_by_key(|(x, _)| *x);
    // A crowd is drawn in two rows; what is left of the lower one is for the sizes.
    let mut low_row = false;
    let mut rows = Vec::with_capacity(on_chart.len());
    for (i, (x, _)) in on_chart.iter().enumerate() {
        low_row = i > 0 && x - on_chart[i - 1].0 < CROWDED && !low_row;
        rows.push(low_row);
    }
    let mut taken_from = i32::MAX;
    let mut marks: Vec<Markup> = Vec::with_capacity(on_chart.len());
    for ((x, deploy), low_row) in on_chart.iter().zip(&rows).rev() {
        let size = size(deploy).filter(|_| !low_row && taken_from.saturating_sub(*x) > SIZE_TEXT);
        if *low_row || size.is_some() {
            taken_from = *x;
        }
        marks.push(mark(drawn, *x, deploy, *low_row, size));
    }
    marks.reverse();
    html! { @for mark in &marks { (mark) } }
}

fn size(summary: &DeploySummary) -> Option<&Change> {
    summary.findings.iter().find_map(|f| f.change.as_ref())
}

fn mark(
    drawn: &Drawn,
    x: i32,
    summary: &DeploySummary,
    low_row: bool,
    size: Option<&Change>,
) -> Markup {
    let look = Look::of_deploy(summary);
    let y = if low_row { 30 * SCALE } else { 11 * SCALE };
    let end = summary
        .deploy
        .ended_us
        .and_then(|us| drawn.x(us))
        .filter(|end| *end > x);
    html! {
        a.mark.(look.class()) href=(href::deploy(&summary.deploy)) {
            title { (tooltip(summary)) }
            @if let Some(end) = end {
                rect class="rollout" x=(x) y=(drawn.top) width=(end - x) height=(drawn.bottom - drawn.top) {}
            }
            line class="pole" x1=(x) x2=(x) y1=(y + 8 * SCALE) y2=(drawn.bottom) {}
            rect class="hit" x=(x - 7 * SCALE) y="0" width=(14 * SCALE) height=(drawn.bottom) {}
            (look.shape(x, y, 7 * SCALE))
            @if let Some(size) = size {
                text class="size" x=(x + 6 * SCALE) y=(30 * SCALE) dy="0.36em" font-size=(12 * SCALE) {
                    (format::percent(size.relative))
                }
            }
        }
    }
}

fn tooltip(summary: &DeploySummary) -> String {
    let look = Look::of_deploy(summary);
    let deploy = &summary.deploy;
    let mut text = format!("{} {}: {}", look.character(), look.word(), deploy.id);
    if let Some(title) = &deploy.title {
        text.push_str(" – ");
        text.push_str(title);
    }
    text.push('\n');
    text.push_str(&format::moment(deploy.started_us));
    if summary.status == DeployStatus::Rolling {
        text.push_str(", rolling");
    }
    if !summary.headline.is_empty() {
        text.push('\n');
        text.push_str(&summary.headline);
    }
    text
}

/// What the shapes mean, for those that occur.
pub(crate) fn legend(deploys: &[DeploySummary]) -> Markup {
    html! {
        ul.legend aria-label="Deploy marks" {
            @for look in Look::ALL {
                @if deploys.iter().any(|d| Look::of_deploy(d) == look) {
                    li.(look.class()) { (look.icon()) (look.word()) }
                }
            }
        }
    }
}
