//! A value a day, with the changes of level and the trend that are told.

use appweight::api::{DriftReport, DriftSeries, LevelChange};
use appweight::text;
use maud::{Markup, PreEscaped, html};

use crate::plot::{self, Drawn, Line, SCALE, WIDTH};
use crate::{format, ticks};

const DAY_US: u64 = 86_400_000_000;

/// The series over the report's days.
pub(crate) fn days(name: &str, report: &DriftReport, series: &DriftSeries) -> Markup {
    let known = || series.days.iter().flatten().copied();
    let (low, high) = known().fold((f64::INFINITY, 0.0), |(low, high), value| {
        (value.min(low), value.max(high))
    });
    // Close round the line: a per cent must be seen.
    let amounts = ticks::of_amount((low - (high - low) * 0.25).max(0.0), high, 4);
    let line = Line {
        height: 170 * SCALE,
        top: 20 * SCALE,
        from_us: report.from_us,
        until_us: report.until_us,
        pieces: &pieces(report.from_us, &series.days),
        amounts: &amounts,
        label: &|value| format::amount(value, series.metric),
        times: true,
        filled: false,
    };
    match plot::draw(&line) {
        Ok(drawn) => html! {
            svg.chart viewBox={ "0 0 " (WIDTH) " " (line.height) } role="group" aria-label=(name) {
                (PreEscaped(&drawn.inside))
                (hover(&drawn, report.from_us, series))
                @for change in series.daily.changes.iter().filter(|change| change.told) {
                    (mark(&drawn, change))
                }
            }
        },
        Err(reason) => {
            tracing::error!(chart = name, reason, "a chart could not be drawn");
            html! { p.note { "This chart could not be drawn." } }
        }
    }
}

/// A pole where the level changed, with the size beside it.
fn mark(drawn: &Drawn, change: &LevelChange) -> Markup {
    let class = if change.relative > 0.0 {
        "mark heavier"
    } else {
        "mark lighter"
    };
    html! {
        @if let Some(x) = drawn.x(change.from_us) {
            g class=(class) {
                title { (text::signed_percent(change.relative)) ", confidence " (text::confidence(change.confidence)) }
                line class="pole" x1=(x) x2=(x) y1=(drawn.top) y2=(drawn.bottom) {}
                text class="size" x=(x) y=(10 * SCALE) dy="0.36em" font-size=(12 * SCALE) text-anchor="middle" {
                    (text::signed_percent(change.relative))
                }
            }
        }
    }
}

/// Invisible strips that say the number of each day.
fn hover(drawn: &Drawn, from_us: u64, series: &DriftSeries) -> Markup {
    html! {
        @for (at, value) in series.days.iter().enumerate() {
            @let start_us = from_us + at as u64 * DAY_US;
            @if let (Some(value), Some(x), Some(end)) = (value, drawn.x(start_us), drawn.x(start_us + DAY_US)) {
                rect class="strip" x=(x) y=(drawn.top) width=((end - x).max(1)) height=(drawn.bottom - drawn.top) {
                    title { (format::in_utc(start_us, "%-d %b %Y")) "\n" (format::amount(*value, series.metric)) }
                }
            }
        }
    }
}

/// Cuts the line where days are missing.
fn pieces(from_us: u64, days: &[Option<f64>]) -> Vec<Vec<(u64, f64)>> {
    let mut pieces: Vec<Vec<(u64, f64)>> = vec![Vec::new()];
    for (at, value) in days.iter().enumerate() {
        let middle_us = from_us + at as u64 * DAY_US + DAY_US / 2;
        match (value, pieces.last_mut()) {
            (Some(value), Some(piece)) => piece.push((middle_us, *value)),
            (None, Some(piece)) if !piece.is_empty() => pieces.push(Vec::new()),
            _ => {}
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_day_cuts_the_line() {
        let days = [None, Some(1.0), Some(2.0), None, None, Some(3.0)];
        let lengths: Vec<usize> = pieces(0, &days).iter().map(Vec::len).collect();
        assert_eq!(lengths, [2, 1]);
        assert!(pieces(0, &[None]).is_empty());
    }
}
