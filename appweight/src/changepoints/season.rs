//! A shape that comes again in every period, as the week in a series of days.

use crate::median::median;

/// A period is seen only if it has come so often.
const TIMES: usize = 3;
/// No longer period is looked for: a year of days, and a month.
const LONGEST: usize = 400;
/// The shape must tell at least this part of what varies from one value to the next.
const TOLD: f64 = 0.5;

/// The series without its shape, if there is one; else as it is.
///
/// Of all periods the one whose shape tells most is taken, by the differences of neighbours, in which neither
/// level nor growth is left. What it tells is measured on values that the shape was not learned from: a
/// long period could else tell anything.
pub(super) fn take_off(series: &[f64]) -> Vec<f64> {
    let steps: Vec<f64> = series.windows(2).map(|two| two[1] - two[0]).collect();
    let best = (2..=(series.len() / TIMES).min(LONGEST))
        .map(|period| (period, told(&steps, period)))
        .fold(
            (0, TOLD),
            |best, other| {
                if other.1 > best.1 { other } else { best }
            },
        );
    if best.0 == 0 {
        return series.to_vec();
    }
    let period = best.0;
    // Steps of one period add up to its growth, which is not part of the shape.
    let mut shape: Vec<f64> = (0..period)
        .map(|phase| median(&mut at_phase(&steps, period, phase)))
        .collect();
    let growth = shape.iter().sum::<f64>() / period as f64;
    let mut level = 0.0;
    for step in &mut shape {
        level += *step - growth;
        *step = level;
    }
    series
        .iter()
        .enumerate()
        .map(|(at, value)| match at % period {
            0 => value - shape[period - 1],
            phase => value - shape[phase - 1],
        })
        .collect()
}

fn at_phase(steps: &[f64], period: usize, phase: usize) -> Vec<f64> {
    steps.iter().skip(phase).step_by(period).copied().collect()
}

/// Which part of the steps' absolute size the steps of the other periods foretell, 1 being all.
fn told(steps: &[f64], period: usize) -> f64 {
    let middle = median(&mut steps.to_vec());
    let (mut left, mut all) = (0.0, 0.0);
    for phase in 0..period {
        let mut own = at_phase(steps, period, phase);
        own.sort_unstable_by(f64::total_cmp);
        for (rank, step) in own.iter().enumerate() {
            left += (step - median_without(&own, rank)).abs();
            all += (step - middle).abs();
        }
    }
    if all > 0.0 { 1.0 - left / all } else { 0.0 }
}

/// The median of sorted values without the one of that rank.
fn median_without(sorted: &[f64], rank: usize) -> f64 {
    let count = sorted.len() - 1;
    let value = |at: usize| sorted[if at < rank { at } else { at + 1 }];
    match (count, count % 2) {
        (0, _) => 0.0,
        (_, 0) => f64::midpoint(value(count / 2 - 1), value(count / 2)),
        _ => value(count / 2),
    }
}
