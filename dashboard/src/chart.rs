//! The charts of a service: its weight with every deploy marked, its users, its requests.

use appweight::api::{DeploySummary, Metric, WeightPoint, WeightSeries};
use maud::{Markup, PreEscaped, html};

use crate::plot::{self, Drawn, Line, SCALE, WIDTH};
use crate::{format, marks, ticks};

/// Windows beyond this many are drawn together: a screen has no more to show.
const MOST_POINTS: usize = 360;

/// The weight over time; every deploy is a link.
pub(crate) fn weight(series: &WeightSeries, deploys: &[DeploySummary]) -> Markup {
    let points = thinned(&series.points);
    let weights: Vec<f64> = points.iter().filter_map(|p| p.weight).collect();
    let (low, high, cut) = bounds(&weights);
    let amounts = ticks::of_amount(low, high, 5);
    let label = |v: f64| format::amount(v, series.metric);
    let line = Line {
        height: 300 * SCALE,
        top: 46 * SCALE,
        from_us: from_us(&points),
        until_us: until_us(&points),
        pieces: &pieces(&points, |p| p.weight),
        amounts: &amounts,
        label: &label,
        times: true,
        filled: amounts.first() == Some(&0.0),
    };
    let name = format!(
        "{} per active user over time",
        format::metric_name(series.metric)
    );
    let note = if cut {
        Some("A few windows are far above the others and leave the chart at the top.")
    } else if line.filled {
        None
    } else {
        Some("The axis does not begin at zero.")
    };
    html! {
        (figure(&name, &line, |drawn| html! {
            (hover(drawn, &points, series.metric))
            (marks::draw(drawn, deploys))
        }))
        @if let Some(note) = note { p.note { (note) } }
    }
}

/// Active users, then requests, below the weight and at the same times.
pub(crate) fn load(series: &WeightSeries) -> Markup {
    let window = format::window(series.points.first().map_or(0, |p| p.width_us));
    let points = thinned(&series.points);
    let has_users = points.iter().any(|p| p.active_users.is_some());
    html! {
        @if has_users {
            h3 { "Active users " small { "per " (window) } }
            (small("Active users over time", &points, series.metric, false, |p| p.active_users))
        }
        h3 { "Requests " small { "per second" } }
        (small("Requests per second over time", &points, series.metric, true, per_second))
    }
}

fn per_second(point: &WeightPoint) -> Option<f64> {
    Some(point.requests as f64 / (point.width_us.max(1) as f64 / 1e6))
}

fn small(
    name: &str,
    points: &[WeightPoint],
    metric: Metric,
    times: bool,
    of: impl Fn(&WeightPoint) -> Option<f64>,
) -> Markup {
    let high = points.iter().filter_map(&of).fold(0.0, f64::max);
    let amounts = ticks::of_amount(0.0, high, 2);
    let line = Line {
        height: if times { 98 } else { 78 } * SCALE,
        top: 8 * SCALE,
        from_us: from_us(points),
        until_us: until_us(points),
        pieces: &pieces(points, of),
        amounts: &amounts,
        label: &|v| {
            if v.fract() == 0.0 {
                format::estimate(v)
            } else {
                format!("{v:.1}")
            }
        },
        times,
        filled: true,
    };
    figure(name, &line, |drawn| hover(drawn, points, metric))
}

fn figure(name: &str, line: &Line<'_>, over: impl FnOnce(&Drawn) -> Markup) -> Markup {
    match plot::draw(line) {
        Ok(drawn) => html! {
            svg.chart viewBox={ "0 0 " (WIDTH) " " (line.height) } role="group" aria-label=(name) {
                (PreEscaped(&drawn.inside))
                (over(&drawn))
            }
        },
        Err(reason) => {
            tracing::error!(chart = name, reason, "a chart could not be drawn");
            html! { p.note { "This chart could not be drawn." } }
        }
    }
}

/// Invisible strips that say the numbers of each window.
fn hover(drawn: &Drawn, points: &[WeightPoint], metric: Metric) -> Markup {
    html! {
        @for p in points {
            @if let (Some(x), Some(end)) = (drawn.x(p.start_us), drawn.x(p.start_us.saturating_add(p.width_us))) {
                rect class="strip" x=(x) y=(drawn.top) width=((end - x).max(1)) height=(drawn.bottom - drawn.top) {
                    title { (numbers(p, metric)) }
                }
            }
        }
    }
}

fn numbers(p: &WeightPoint, metric: Metric) -> String {
    let mut text = format!(
        "{} – {} UTC",
        format::clock(p.start_us),
        format::clock(p.start_us.saturating_add(p.width_us))
    );
    if let Some(weight) = p.weight {
        text.push_str(&format!(
            "\n{} per active user",
            format::amount(weight, metric)
        ));
    }
    if let Some(users) = p.active_users {
        text.push_str(&format!("\n{} active users", format::estimate(users)));
    }
    text.push_str(&format!("\n{} requests", format::count(p.requests)));
    text
}

/// The axis of the weight: from zero if the line needs it, else close round the line so that a
/// per cent can be seen; and not ruled by a few windows with hardly a user in them.
fn bounds(weights: &[f64]) -> (f64, f64, bool) {
    let mut sorted: Vec<f64> = weights.iter().copied().filter(|w| w.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let (Some(&min), Some(&max)) = (sorted.first(), sorted.last()) else {
        return (0.0, 1.0, false);
    };
    let most = sorted[(sorted.len() - 1) * 19 / 20];
    let cut = sorted.len() >= 20 && max > 2.0 * most;
    let high = if cut { most * 1.4 } else { max };
    let low = if min > high * 0.4 {
        (min - (high - min) * 0.25).max(0.0)
    } else {
        0.0
    };
    (low, high, cut)
}

fn from_us(points: &[WeightPoint]) -> u64 {
    points.first().map_or(0, |p| p.start_us)
}

fn until_us(points: &[WeightPoint]) -> u64 {
    points
        .last()
        .map_or(1, |p| p.start_us.saturating_add(p.width_us))
}

/// Cuts the line where windows are missing.
fn pieces(
    points: &[WeightPoint],
    of: impl Fn(&WeightPoint) -> Option<f64>,
) -> Vec<Vec<(u64, f64)>> {
    let mut pieces: Vec<Vec<(u64, f64)>> = Vec::new();
    let mut expected = None;
    for p in points {
        let Some(value) = of(p).filter(|v| v.is_finite()) else {
            expected = None;
            continue;
        };
        let joined = expected.is_some_and(|at: u64| p.start_us <= at.saturating_add(p.width_us));
        let middle = p.start_us.saturating_add(p.width_us / 2);
        match pieces.last_mut() {
            Some(piece) if joined => piece.push((middle, value)),
            _ => pieces.push(vec![(middle, value)]),
        }
        expected = Some(p.start_us.saturating_add(p.width_us));
    }
    pieces
}

/// Draws neighbours together where there are more windows than room: the mean of their weights by
/// users, the mean of their users, the sum of their requests. A gap is never bridged.
fn thinned(points: &[WeightPoint]) -> Vec<WeightPoint> {
    let group = points.len().div_ceil(MOST_POINTS).max(1);
    if group == 1 {
        return points.to_vec();
    }
    points
        .chunk_by(|a, b| b.start_us <= a.start_us.saturating_add(a.width_us))
        .flat_map(|run| run.chunks(group))
        .map(together)
        .collect()
}

fn together(points: &[WeightPoint]) -> WeightPoint {
    let mut sum = points[0];
    let end = points[points.len() - 1];
    sum.width_us = end.start_us.saturating_add(end.width_us) - sum.start_us;
    sum.requests = (points.iter()).fold(0, |all, p| all.saturating_add(p.requests));
    sum.total = points.iter().map(|p| p.total).sum();
    let users: Vec<f64> = points.iter().filter_map(|p| p.active_users).collect();
    sum.active_users = (!users.is_empty()).then(|| users.iter().sum::<f64>() / users.len() as f64);
    let weighed: Vec<(f64, f64)> = points
        .iter()
        .filter_map(|p| Some((p.weight?, p.active_users?)))
        .collect();
    let all: f64 = weighed.iter().map(|(_, users)| users).sum();
    sum.weight = (all > 0.0).then(|| weighed.iter().map(|(w, u)| w * u).sum::<f64>() / all);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(start_s: u64, weight: f64) -> WeightPoint {
        WeightPoint {
            start_us: start_s * 1_000_000,
            width_us: 1_000_000,
            active_users: Some(10.0),
            requests: 5,
            total: weight * 10.0,
            weight: Some(weight),
        }
    }

    #[test]
    fn a_gap_stays_a_gap() {
        let points = [point(0, 1.0), point(1, 1.0), point(7, 1.0), point(8, 2.0)];
        assert_eq!(pieces(&points, |p| p.weight).len(), 2);
    }

    #[test]
    fn a_day_of_seconds_is_thinned_without_losing_a_request_or_moving_the_mean() {
        let points: Vec<_> = (0..7200).map(|s| point(s, (s % 2) as f64)).collect();
        let thin = thinned(&points);
        assert!(thin.len() <= MOST_POINTS);
        assert_eq!(thin.iter().map(|p| p.requests).sum::<u64>(), 7200 * 5);
        assert!(thin.iter().all(|p| p.weight == Some(0.5)));
        assert_eq!(until_us(&thin), 7_200_000_000);
    }

    #[test]
    fn one_wild_window_does_not_flatten_the_rest() {
        let mut weights = vec![10.0; 99];
        weights.push(10_000.0);
        let (_, high, cut) = bounds(&weights);
        assert!(cut && high < 20.0);
        assert_eq!(bounds(&[]), (0.0, 1.0, false));
        assert_eq!(bounds(&[1.0, 10.0]), (0.0, 10.0, false));
    }
}
