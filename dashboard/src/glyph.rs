//! Small drawings inside a table: an interval on a scale, a part of a change.

use appweight::api::Change;
use maud::{Markup, html};

use crate::format;
use crate::look::Look;

const WIDTH: f64 = 280.0;
const HEIGHT: f64 = 36.0;
const MIDDLE: f64 = WIDTH / 2.0;

/// The half-width that all intervals of one table are drawn to, so that they can be compared.
///
/// Ruled by the changes that something is said of; an interval that says nothing may be wider than
/// the scale and is then drawn open at its end.
pub(crate) fn scale<'a>(changes: impl Iterator<Item = (Look, &'a Change)>) -> f64 {
    let widest = changes
        .map(|(look, c)| match look {
            Look::Heavier | Look::Lighter => c.low.abs().max(c.high.abs()),
            _ => c.relative.abs() * 1.2,
        })
        .filter(|w| w.is_finite())
        .fold(0.05, f64::max);
    [
        0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0,
    ]
    .into_iter()
    .find(|nice| widest <= *nice)
    .unwrap_or(widest)
}

/// The interval as a bar, the estimate as a line in it, zero in the middle.
pub(crate) fn interval(change: &Change, look: Look, scale: f64) -> Markup {
    let x = |v: f64| MIDDLE + (v / scale).clamp(-1.0, 1.0) * (MIDDLE - 8.0);
    let (low, high) = (x(change.low), x(change.high));
    let text = format::change(change);
    html! {
        svg.interval.(look.class()) viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(text) {
            title { (text) " at a confidence of " (format::confidence(change.confidence)) }
            line class="track" x1="8" x2=(WIDTH - 8.0) y1=(HEIGHT / 2.0) y2=(HEIGHT / 2.0) {}
            line class="zero" x1=(MIDDLE) x2=(MIDDLE) y1="3" y2=(HEIGHT - 3.0) {}
            rect class="range" x=(round(low)) y="11" width=(round((high - low).max(3.0))) height="14" rx="7" {}
            @if change.low < -scale { path class="open" d="M8 10 L1 18 L8 26" {} }
            @if change.high > scale { path class="open" d="M272 10 L279 18 L272 26" {} }
            rect class="estimate" x=(round(x(change.relative) - 3.0)) y="5" width="6" height="26" rx="3" {}
        }
    }
}

/// A bar from the middle to the left (less) or right (more).
pub(crate) fn part(value: f64, scale: f64) -> Markup {
    let length = if scale > 0.0 {
        (value.abs() / scale).min(1.0) * (MIDDLE - 8.0)
    } else {
        0.0
    };
    let (class, x) = if value < 0.0 {
        ("lighter", MIDDLE - length)
    } else {
        ("heavier", MIDDLE)
    };
    html! {
        svg.interval.(class) viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } aria-hidden="true" {
            line class="track" x1="8" x2=(WIDTH - 8.0) y1=(HEIGHT / 2.0) y2=(HEIGHT / 2.0) {}
            rect class="bar" x=(round(x)) y="9" width=(round(length)) height="18" rx="2" {}
            line class="zero" x1=(MIDDLE) x2=(MIDDLE) y1="3" y2=(HEIGHT - 3.0) {}
        }
    }
}

fn round(v: f64) -> f64 {
    (v * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(relative: f64, low: f64, high: f64) -> Change {
        Change {
            relative,
            low,
            high,
            confidence: 0.999,
            standard_error: 0.01,
        }
    }

    #[test]
    fn the_scale_is_ruled_by_what_was_found() {
        let found = change(0.16, 0.12, 0.204);
        let vague = change(0.01, -3.0, 3.0);
        let all = [(Look::Heavier, &found), (Look::Unsure, &vague)];
        assert_eq!(scale(all.into_iter()), 0.25);
        assert_eq!(scale([].into_iter()), 0.05);
    }

    #[test]
    fn an_interval_wider_than_the_scale_is_open() {
        let drawn = interval(&change(0.0, -9.0, 0.1), Look::Unsure, 0.3).into_string();
        assert_eq!(drawn.matches("class=\"open\"").count(), 1);
        assert!(!drawn.contains("NaN"));
    }
}
