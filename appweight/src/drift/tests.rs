//! Series whose truth is known.

use std::fmt::Arguments;
use std::io::Write;

use appweight_wire::{Age, Cell, CellKey, InstructionSource, Kind};
use proptest::prelude::*;

use super::scan::scan;
use super::*;
use crate::api::{DriftSeries, Metric};
use crate::thresholds::Thresholds;

/// A Monday, counted in days since the epoch.
const FIRST: u64 = 20_787;
const SERIES: u64 = 200;

/// A figure of docs/performance.md.
fn note(figure: Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{figure}");
}

/// Noise of that spread, of which each day keeps a part of the one before: about 1, as logarithms.
fn noise(seed: u64, days: usize, correlation: f64, spread: f64) -> Vec<f64> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut normal = || {
        let (a, b) = (1.0 - random.f64(), random.f64());
        (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
    };
    let new = (1.0 - correlation * correlation).sqrt();
    let mut last = normal();
    (0..days)
        .map(|_| {
            last = correlation * last + new * normal();
            spread * last
        })
        .collect()
}

fn scanned(logs: impl IntoIterator<Item = f64>) -> DriftSeries {
    let week: [f64; 7] = [0.0, 0.02, 0.03, 0.01, 0.05, -0.08, -0.1];
    let days = logs.into_iter().enumerate();
    let days = days.map(|(at, log)| Some(1e6 * (log + week[at % 7]).exp()));
    scan(FIRST, Metric::Cpu, days.collect())
}

/// The part of series of pure noise of which something is said at that level.
fn false_alarms(days: usize, correlation: f64, says: impl Fn(&DriftSeries) -> bool) -> f64 {
    let alarms = (0..SERIES)
        .filter(|seed| says(&scanned(noise(*seed, days, correlation, 0.02))))
        .count();
    alarms as f64 / SERIES as f64
}

fn says_trend(series: &DriftSeries) -> bool {
    series
        .daily
        .trend
        .is_some_and(|trend| trend.confidence > 0.95)
}

/// The level is 5 %; the bounds are some two and a half standard errors of the counting over the rates in docs/method.md.
#[test]
fn noise_shows_a_trend_as_often_as_is_said() {
    for (days, correlation, most) in [
        (28, 0.0, 0.1),
        (28, 0.5, 0.12),
        (84, 0.0, 0.09),
        (84, 0.6, 0.1),
    ] {
        let rate = false_alarms(days, correlation, says_trend);
        note(format_args!(
            "{days} days, correlation {correlation}: {rate} at 0.05"
        ));
        assert!(rate <= most, "{days} days, {correlation}: {rate}");
    }
}

#[test]
fn noise_rarely_shows_a_change_of_level() {
    for correlation in [0.0, 0.5] {
        let rate = false_alarms(84, correlation, |series| !series.daily.changes.is_empty());
        note(format_args!("correlation {correlation}: {rate}"));
        assert!(rate <= 0.08, "{correlation}: {rate}");
    }
}

#[test]
fn a_drift_of_two_per_cent_a_week_is_found_and_its_interval_holds_it() {
    const RUNS: u64 = 100;
    for (days, correlation) in [(60, 0.0), (84, 0.4)] {
        let (mut found, mut right, mut covered) = (0, 0, 0);
        for seed in 0..RUNS {
            let noise = noise(seed, days, correlation, 0.02).into_iter().enumerate();
            let series = scanned(noise.map(|(at, noise)| noise + 1.02_f64.ln() * at as f64 / 7.0));
            let Some(trend) = series.daily.trend else {
                continue;
            };
            found += u32::from(trend.confidence > 0.95);
            right += u32::from(trend.per_week > 0.0);
            covered += u32::from(trend.low <= 0.02 && 0.02 <= trend.high);
        }
        note(format_args!(
            "{days} days, correlation {correlation}: {found} found, {right} of the right sign, {covered} covered of {RUNS}"
        ));
        assert!(found >= 90, "{found} of {RUNS}");
        assert!(right >= found, "{right}");
        assert!(covered >= 85, "{covered} of {RUNS}");
    }
}

#[test]
fn a_step_is_found_at_its_day_and_is_no_trend() {
    const RUNS: u64 = 100;
    let (mut found, mut trends) = (0, 0);
    for seed in 0..RUNS {
        let noise = noise(seed, 84, 0.3, 0.02).into_iter().enumerate();
        let step = |at: usize| if at < 40 { 0.0 } else { 1.1_f64.ln() };
        let series = scanned(noise.map(|(at, noise)| noise + step(at)));
        if let [only] = series.daily.changes[..] {
            let day = only.from_us / DAY_US - FIRST;
            let right = day.abs_diff(40) <= 1 && (only.relative - 0.1).abs() < 0.03;
            found += u32::from(right && only.confidence > 0.999);
        }
        trends += u32::from(says_trend(&series));
    }
    note(format_args!(
        "{found} steps of {RUNS} found, {trends} taken for a trend"
    ));
    assert!(found >= 90, "{found} of {RUNS}");
    assert!(trends <= 12, "{trends} of {RUNS}");
}

#[test]
fn short_series_say_how_many_days_are_lacking() {
    let series = scanned(noise(1, 20, 0.0, 0.02));
    assert_eq!((series.daily.trend, series.daily.lacking), (None, 8));
    assert_eq!((series.weekly.values, series.weekly.lacking), (3, 9));
    assert!(series.overall.is_some());
    let nothing = scan(FIRST, Metric::Cpu, vec![None, Some(0.0), Some(f64::NAN)]);
    assert_eq!((nothing.daily.values, nothing.daily.lacking), (0, 28));
    assert_eq!(nothing.overall, None);
}

#[test]
fn gaps_do_not_hide_a_drift() {
    let noise = noise(3, 84, 0.0, 0.02).into_iter().enumerate();
    let days = noise.map(|(at, noise)| {
        let is_gap = at % 6 == 2 || (30..36).contains(&at);
        (!is_gap).then(|| (noise + 1.02_f64.ln() * at as f64 / 7.0).exp())
    });
    let series = scan(FIRST, Metric::Cpu, days.collect());
    let trend = series.daily.trend.unwrap();
    assert!(trend.confidence > 0.99 && trend.low < 0.02 && 0.02 < trend.high);
}

fn cell(endpoint: &str, age: Age, cost: u64, requests: u64) -> Cell {
    let mut cell = Cell::new(CellKey {
        start_us: 0,
        width_us: 60_000_000,
        kind: Kind::Request,
        endpoint: endpoint.into(),
        instruction_source: InstructionSource::None,
        age,
        flag: None,
    });
    let mut cpu_ns = appweight_wire::Distribution::default();
    cpu_ns.observe(cost);
    (cell.n, cell.weight, cell.cpu_ns) = (1, requests, Some(cpu_ns));
    cell
}

#[test]
fn a_day_is_the_cost_of_warm_requests_by_what_they_stand_for() {
    let mut sums = DaySums::default();
    for (age, cost, requests) in [
        (Age::Warm, 100, 30),
        (Age::Warm, 200, 10),
        (Age::WarmingUp, 9_999, 5),
    ] {
        sums.add(&cell("/feed", age, cost, requests));
    }
    let day = sums.into_day("photo", 0, &[]);
    let [feed] = &day.endpoints[..] else {
        panic!("{day:?}");
    };
    assert_eq!(feed.requests, 45);
    assert_eq!(feed.cpu_ns.unwrap().mean(), 125.0);
    assert_eq!((feed.instructions, day.peak), (None, None));
}

fn days(count: u64, costs: impl Fn(u64) -> [u64; 2]) -> Vec<Day> {
    (0..count)
        .map(|at| {
            let mut sums = DaySums::default();
            let [feed, login] = costs(at);
            sums.add(&cell("/feed", Age::Warm, feed, 9_000));
            sums.add(&cell("/login", Age::Warm, login, 1_000));
            sums.into_day("photo", (FIRST + at) * DAY_US, &[])
        })
        .collect()
}

#[test]
fn what_drifts_comes_first_and_is_told() {
    let steady = noise(5, 70, 0.0, 0.01);
    let days = days(70, |at| {
        let grown = 1.01_f64.powf(at as f64 / 7.0) * steady[at as usize].exp();
        let still = steady[(at as usize + 35) % 70].exp();
        [(1e6 * still) as u64, (1e6 * grown) as u64]
    });
    let span = Span {
        from: FIRST,
        until: FIRST + 70,
    };
    let report = report("photo", &days, span, None, 10, &Thresholds::default());
    let told: Vec<(&str, bool)> = report
        .endpoints
        .iter()
        .map(|of| (of.endpoint.as_str(), of.cost.is_told()))
        .collect();
    assert_eq!(told, [("/login", true), ("/feed", false)]);
    assert!((report.endpoints[1].share - 0.9).abs() < 0.02);
    assert_eq!(report.weight.daily.values, 0);
    let one = super::report(
        "photo",
        &days,
        span,
        Some("/feed"),
        10,
        &Thresholds::default(),
    );
    assert_eq!((one.endpoints.len(), one.endpoint_count), (1, 2));
}

proptest! {
    #[test]
    fn nothing_that_is_a_number_makes_it_panic(
        days in prop::collection::vec(prop::option::of(prop::num::f64::ANY), 0..120),
        first in 0_u64..30_000,
    ) {
        let series = scan(first, Metric::Cpu, days);
        for scan in [&series.daily, &series.weekly] {
            if let Some(trend) = scan.trend {
                prop_assert!(trend.low <= trend.per_week && trend.per_week <= trend.high);
                prop_assert!((0.0..=1.0).contains(&trend.confidence));
            }
        }
    }
}
