use proptest::prelude::*;

use super::fit::{Fits, Shape};
use super::partition::partition;
use super::*;

/// Normal noise, the same for the same seed.
fn noise(seed: u64, count: usize) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    (0..count)
        .map(|_| (0..12).map(|_| uniform()).sum::<f64>() - 6.0)
        .collect()
}

fn correlated(seed: u64, count: usize, correlation: f64) -> Vec<f64> {
    let mut last = 0.0;
    noise(seed, count)
        .into_iter()
        .map(|new| {
            last = correlation * last + new;
            last
        })
        .collect()
}

fn found(series: &[f64]) -> Vec<usize> {
    let series: Vec<Option<f64>> = series.iter().copied().map(Some).collect();
    changepoints(&series)
        .into_iter()
        .map(|change| change.index)
        .collect()
}

fn is_near(found: &[usize], truth: &[usize], margin: usize) -> bool {
    found.len() == truth.len()
        && found
            .iter()
            .zip(truth)
            .all(|(found, truth)| found.abs_diff(*truth) <= margin)
}

#[test]
fn changes_of_level_are_found_where_they_are() {
    for seed in 1..=10 {
        let mut series = noise(seed, 120);
        for (at, value) in series.iter_mut().enumerate() {
            *value += match at {
                0..40 => 0.0,
                40..90 => 4.0,
                _ => 1.0,
            };
        }
        let found = found(&series);
        assert!(is_near(&found, &[40, 90], 2), "seed {seed}: {found:?}");
    }
}

const SERIES: u64 = 80;

#[test]
fn a_series_without_a_change_rarely_shows_one() {
    let alarms = |make: &dyn Fn(u64) -> Vec<f64>| {
        (1..=SERIES)
            .filter(|seed| !found(&make(*seed)).is_empty())
            .count()
    };
    let white = alarms(&|seed| noise(seed, 60));
    assert!(
        white <= 2,
        "{white} of {SERIES} series of independent noise"
    );
    let correlated = alarms(&|seed| correlated(seed, 60, 0.6));
    assert!(
        correlated <= 4,
        "{correlated} of {SERIES} series of correlated noise"
    );
    let growing = alarms(&|seed| {
        let noise = noise(seed, 60).into_iter().enumerate();
        noise.map(|(at, noise)| noise + at as f64 * 0.3).collect()
    });
    assert!(
        growing <= 4,
        "{growing} of {SERIES} series that grow steadily"
    );
}

#[test]
fn the_week_is_no_change_and_hides_none() {
    let week = [0.0, 1.0, 3.0, 2.0, 6.0, -8.0, -9.0];
    let mut whole = 0;
    for seed in 1..=10 {
        let plain: Vec<f64> = noise(seed, 140)
            .into_iter()
            .enumerate()
            .map(|(at, noise)| 3.0 * week[at % 7] + noise)
            .collect();
        whole += usize::from(found(&plain).is_empty());
        let mut changed = plain.clone();
        for value in &mut changed[77..] {
            *value += 5.0;
        }
        let found = found(&changed);
        assert!(is_near(&found, &[77], 2), "seed {seed}: {found:?}");
    }
    assert!(whole >= 9, "{whole} of 10 stay whole");
}

#[test]
fn a_smooth_curve_is_not_cut_wherever_it_bends() {
    for seed in 1..=10 {
        let noise = noise(seed, 200).into_iter().enumerate();
        let curve = noise.map(|(at, noise)| {
            let growth = (-(at as f64 - 100.0) / 20.0).exp();
            100.0 / (1.0 + growth) + 0.05 * noise
        });
        let found = found(&curve.collect::<Vec<f64>>());
        assert!(found.len() <= 1, "seed {seed}: {found:?}");
    }
}

#[test]
fn one_wrong_value_is_no_change() {
    for seed in 1..=10 {
        let mut series = noise(seed, 80);
        series[37] += 40.0;
        assert_eq!(found(&series), [0_usize; 0], "seed {seed}");
    }
}

#[test]
fn gaps_keep_their_places_and_too_little_shows_nothing() {
    let mut series: Vec<Option<f64>> = noise(3, 60).into_iter().map(Some).collect();
    for value in series.iter_mut().skip(30).flatten() {
        *value += 10.0;
    }
    for gap in [0, 7, 29, 44] {
        series[gap] = None;
    }
    series[9] = Some(f64::NAN);
    let changes = changepoints(&series);
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].index, 30);
    assert!((changes[0].after - changes[0].before - 10.0).abs() < 1.5);
    assert_eq!(changepoints(&[]), []);
    assert_eq!(changepoints(&[None, Some(1.0)]), []);
    assert_eq!(changepoints(&[Some(5.0); 50]), []);
}

/// Longer than what is cut exactly: on a grid of six values first.
#[test]
fn a_long_series_is_cut_where_it_changed() {
    let mut series = correlated(5, 6_000, 0.3);
    for (at, value) in series.iter_mut().enumerate() {
        *value += match at {
            0..1_003 => 0.0,
            1_003..1_521 => 4.0,
            1_521..4_207 => -1.0,
            _ => 1.5,
        };
    }
    let found = found(&series);
    assert!(is_near(&found, &[1_003, 1_521, 4_207], 3), "{found:?}");
}

#[test]
fn a_series_of_bare_steps_is_cut_at_them() {
    let series: Vec<f64> = (0..60).map(|at| if at < 25 { 1.0 } else { 3.0 }).collect();
    assert_eq!(found(&series), [25]);
}

proptest! {
    #[test]
    fn the_unit_does_not_matter(
        seed in 1_u64..1_000,
        scale in 1e-6..1e6,
        start in -1e3..1e3,
        change in 0.0..10.0,
    ) {
        let mut series = noise(seed, 60);
        for value in &mut series[35..] {
            *value += change;
        }
        let other: Vec<f64> = series.iter().map(|value| (value + start) * scale).collect();
        prop_assert_eq!(found(&series), found(&other));
    }

    #[test]
    fn pruning_loses_nothing(
        series in prop::collection::vec(-5.0_f64..5.0, 6..40),
        correlation in 0.0..0.99,
        penalty in 0.0..20.0,
    ) {
        for shape in [Shape::Level, Shape::Line] {
            let fits = Fits::new(&series, shape, correlation);
            let starts = partition(&fits, series.len(), 1.0, penalty);
            let bounds: Vec<usize> = [0].into_iter().chain(starts).chain([series.len()]).collect();
            let cost: f64 = bounds
                .windows(2)
                .map(|two| rest(&series[two[0]..two[1]], shape, correlation) + penalty)
                .sum();
            prop_assert!((cost - exhaustive(&series, shape, correlation, penalty)).abs() < 1e-6);
        }
    }

    #[test]
    fn nothing_that_is_a_number_makes_it_panic(
        series in prop::collection::vec(prop::option::of(prop::num::f64::ANY), 0..60)
    ) {
        for change in changepoints(&series) {
            prop_assert!(change.index > 0 && change.index < series.len());
        }
    }
}

/// The least cost, by trying every last segment without pruning.
fn exhaustive(series: &[f64], shape: Shape, correlation: f64, penalty: f64) -> f64 {
    let mut best = vec![f64::INFINITY; series.len() + 1];
    best[0] = 0.0;
    for until in SHORTEST..=series.len() {
        for from in 0..=until - SHORTEST {
            let cost = best[from] + rest(&series[from..until], shape, correlation) + penalty;
            if cost < best[until] {
                best[until] = cost;
            }
        }
    }
    best[series.len()]
}

/// What is left of a part by least squares, written out.
fn rest(part: &[f64], shape: Shape, correlation: f64) -> f64 {
    let transform = |values: &[f64]| -> Vec<f64> {
        values
            .windows(2)
            .map(|two| two[1] - correlation * two[0])
            .collect()
    };
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let without = |of: &mut Vec<f64>, column: &[f64]| {
        let factor = dot(of, column) / dot(column, column);
        for (value, column) in of.iter_mut().zip(column) {
            *value -= factor * column;
        }
    };
    let level = transform(&vec![1.0; part.len()]);
    let mut value = transform(part);
    without(&mut value, &level);
    if shape == Shape::Line {
        let places: Vec<f64> = (0..part.len()).map(|at| at as f64).collect();
        let mut slope = transform(&places);
        without(&mut slope, &level);
        without(&mut value, &slope);
    }
    dot(&value, &value)
}
