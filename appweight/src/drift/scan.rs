//! What one series of days shows, by day and by week.

use super::DAY_US;
use super::trend::slope;
use super::week::{weeks, without_week};
use crate::api::{DriftSeries, LevelChange, Metric, SeriesScan, Trend};
use crate::changepoints::changepoints;
use crate::median::median;

/// Days since the last change of level that a trend needs: four weeks, so that the week's shape is known, and noise
/// that lasts for some days is told from growth.
pub const LEAST_DAYS: usize = 28;
/// Weeks that a trend of weeks needs: with fewer, the test says "trend" more often than it should.
pub const LEAST_WEEKS: usize = 12;
/// Values at each end that tell how far a series went.
const END: usize = 7;

/// Looks at a series of one value a day, the first of which is `first_day`, counted since the epoch. What is not above 0
/// is a gap, since change is relative. Nothing is told yet: that depends on what else was looked at.
pub(super) fn scan(first_day: u64, metric: Metric, days: Vec<Option<f64>>) -> DriftSeries {
    let is_value = |value: &f64| value.is_finite() && *value > 0.0;
    let logs: Vec<Option<f64>> = days
        .iter()
        .map(|value| value.filter(is_value).map(f64::ln))
        .collect();
    let logs = without_week(first_day, &logs);
    let (first_monday, of_weeks) = weeks(first_day, &logs);
    DriftSeries {
        metric,
        daily: of(first_day, 1, &logs, LEAST_DAYS),
        weekly: of(first_monday, 7, &of_weeks, LEAST_WEEKS),
        overall: overall(&logs),
        days,
    }
}

/// Changes of level, and the trend since the last of them: a step would else be taken for a slope.
fn of(first_day: u64, width: u64, logs: &[Option<f64>], least: usize) -> SeriesScan {
    let start_us = |at: usize| (first_day + at as u64 * width) * DAY_US;
    let levels: Vec<Option<f64>> = logs.iter().map(|log| log.map(f64::exp)).collect();
    let changes: Vec<LevelChange> = changepoints(&levels)
        .into_iter()
        .map(|change| LevelChange {
            from_us: start_us(change.index),
            before: change.before,
            after: change.after,
            relative: change.after / change.before - 1.0,
            confidence: change.confidence,
            told: false,
        })
        .collect();
    let since = changes.last().map_or(0, |last| {
        ((last.from_us / DAY_US - first_day) / width) as usize
    });
    let points: Vec<(usize, f64)> = logs
        .iter()
        .enumerate()
        .skip(since)
        .filter_map(|(at, log)| Some((at, (*log)?)))
        .collect();
    let trend = (points.len() >= least).then(|| slope(&points)).flatten();
    let per_week = |slope: f64| (slope * 7.0 / width as f64).exp() - 1.0;
    SeriesScan {
        values: logs.iter().flatten().count() as u32,
        changes,
        trend: trend.map(|found| Trend {
            from_us: start_us(points[0].0),
            per_week: per_week(found.slope),
            low: per_week(found.low),
            high: per_week(found.high),
            confidence: 1.0 - found.chance,
            told: false,
        }),
        lacking: least.saturating_sub(points.len()) as u32,
    }
}

fn overall(logs: &[Option<f64>]) -> Option<f64> {
    let mut values: Vec<f64> = logs.iter().flatten().copied().collect();
    if values.len() < 2 * END {
        return None;
    }
    let at = values.len() - END;
    let last = median(&mut values[at..]);
    Some((last - median(&mut values[..END])).exp() - 1.0)
}
