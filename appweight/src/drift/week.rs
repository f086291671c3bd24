//! The shape of the week, and weeks as values.

use crate::median::median;

/// Days in a week.
const WEEK: usize = 7;
/// Days on each side of the one that is in the middle of a week.
const AROUND: usize = 3;
/// Days of a week around one, itself included, that must have a value for a middle.
const LEAST_AROUND: usize = 5;
/// Weeks from which on there is a shape: of two, one odd day would be half of it.
const LEAST_WEEKS: usize = 3;
/// Days of a week that must have a value, so that the week has one.
const LEAST_OF_WEEK: usize = 5;

/// Takes the shape of the week off logarithms of one value a day.
///
/// Ratio to the moving middle, as in the decomposition of Macaulay (1931) with medians instead of means: each day
/// against the median of the week around it, in which neither level nor growth is left; the median of these by day of
/// the week is the shape. A step within the series touches three days on each side of it and no more.
pub(super) fn without_week(first_day: u64, logs: &[Option<f64>]) -> Vec<Option<f64>> {
    let mut by_weekday: [Vec<f64>; WEEK] = Default::default();
    for at in AROUND..logs.len().saturating_sub(AROUND) {
        let mut around: Vec<f64> = logs[at - AROUND..=at + AROUND]
            .iter()
            .flatten()
            .copied()
            .collect();
        if let Some(value) = logs[at]
            && around.len() >= LEAST_AROUND
        {
            by_weekday[weekday(first_day, at)].push(value - median(&mut around));
        }
    }
    if by_weekday.iter().any(|days| days.len() < LEAST_WEEKS) {
        return logs.to_vec();
    }
    let shape = by_weekday.map(|mut days| median(&mut days));
    let middle = shape.iter().sum::<f64>() / WEEK as f64;
    let enumerated = logs.iter().enumerate();
    enumerated
        .map(|(at, value)| value.map(|value| value - (shape[weekday(first_day, at)] - middle)))
        .collect()
}

/// The first day of the first week, and the mean of each week that begins on a Monday.
pub(super) fn weeks(first_day: u64, values: &[Option<f64>]) -> (u64, Vec<Option<f64>>) {
    let lead = weekday(first_day, 0);
    let padded: Vec<Option<f64>> = std::iter::repeat_n(None, lead)
        .chain(values.iter().copied())
        .collect();
    let means = padded.chunks(WEEK).map(|week| {
        let days: Vec<f64> = week.iter().flatten().copied().collect();
        (days.len() >= LEAST_OF_WEEK).then(|| days.iter().sum::<f64>() / days.len() as f64)
    });
    (first_day.saturating_sub(lead as u64), means.collect())
}

/// 0 for Monday. The epoch was a Thursday.
fn weekday(first_day: u64, at: usize) -> usize {
    (((first_day + 3) % WEEK as u64) as usize + at) % WEEK
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Monday, 30 November 2026.
    const MONDAY: u64 = 20_787;

    #[test]
    fn a_week_that_comes_again_is_gone_and_a_step_stays() {
        let week = [0.0, 0.1, 0.1, 0.0, 0.2, -0.4, -0.5];
        let days: Vec<Option<f64>> = (0..42)
            .map(|at| Some(week[at % 7] + if at < 20 { 0.0 } else { 1.0 }))
            .collect();
        let without = without_week(MONDAY, &days);
        for (at, value) in without.iter().enumerate() {
            let expected = if at < 20 { 0.0 } else { 1.0 };
            let off = value.unwrap() - without[0].unwrap() - expected;
            assert!(off.abs() < 1e-9, "day {at}: {off}");
        }
    }

    #[test]
    fn two_weeks_have_no_shape_yet() {
        let days: Vec<Option<f64>> = (0..15).map(|at| Some(f64::from(at % 7))).collect();
        assert_eq!(without_week(MONDAY, &days), days);
    }

    #[test]
    fn weeks_begin_on_monday_and_need_five_days() {
        let days: Vec<Option<f64>> = (0..16).map(|at| Some(f64::from(at))).collect();
        let (first, weeks) = weeks(MONDAY - 2, &days);
        assert_eq!(first, MONDAY - 7);
        assert_eq!(weeks, [None, Some(5.0), Some(12.0)]);
    }
}
