//! Deploys on a chart: a line at the time, a shape above it, a link and a tooltip.

use appweight::api::{DeployStatus, DeploySummary};
use maud::{Markup, html};

use crate::look::Look;
use crate::plot::{Drawn, SCALE};
use crate::{format, href};

/// Shapes nearer to each other than this are drawn in two rows.
const CROWDED: i32 = 22 * SCALE;
/// The room that a size beside a shape takes.
const SIZE_TEXT: i32 = 64 * SCALE;

pub(crate) fn draw(drawn: &Drawn, deploys: &[DeploySummary]) -> Markup {
    let mut on_chart: Vec<(i32, &DeploySummary)> = deploys
        .iter()
        .filter_map(|d| Some((drawn.x(d.deploy.started_us)?, d)))
        .collect();
    on_chart.sort_by_key(|(x, _)| *x);
    let mut low_row = false;
    let placed: Vec<_> = on_chart
        .iter()
        .enumerate()
        .map(|(i, (x, deploy))| {
            low_row = i > 0 && x - on_chart[i - 1].0 < CROWDED && !low_row;
            let next = on_chart.get(i + 1).map_or(i32::MAX, |(x, _)| *x);
            (*x, *deploy, low_row, next.saturating_sub(*x) > SIZE_TEXT)
        })
        .collect();
    html! {
        @for (x, deploy, low_row, has_room) in &placed {
            (mark(drawn, *x, deploy, *low_row, *has_room))
        }
    }
}

fn mark(drawn: &Drawn, x: i32, summary: &DeploySummary, low_row: bool, has_room: bool) -> Markup {
    let look = Look::of_deploy(summary);
    let y = if low_row { 30 * SCALE } else { 11 * SCALE };
    let end = summary
        .deploy
        .ended_us
        .and_then(|us| drawn.x(us))
        .filter(|end| *end > x);
    let size = summary
        .findings
        .iter()
        .find_map(|f| f.change)
        .filter(|_| has_room);
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
                text class="size" x=(x + 11 * SCALE) y=(y) dy="0.36em" font-size=(12 * SCALE) {
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
