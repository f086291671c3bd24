use appweight::drift::DAY_US;

use super::*;
use crate::testing::{Bench, NOON, SECOND, batch, cell, process};

const HOUR: u64 = 3_600 * SECOND;

fn midnight() -> u64 {
    NOON - NOON % DAY_US
}

/// A cell an hour, and one process record for each minute of an hour around noon.
async fn put_day(bench: &Bench, sequence: u64, day_us: u64, cost: u64) {
    let mut batch = batch(1, sequence, "a");
    batch.cells = (0..24)
        .map(|hour| cell(day_us + hour * HOUR, &[cost, cost]))
        .collect();
    batch.processes = (0..60)
        .map(|minute| process(day_us + 12 * HOUR + minute * 60 * SECOND, minute % 7))
        .collect();
    let answer = bench.put_batch(&batch).await;
    assert!(answer.status.is_success(), "{answer:?}");
}

async fn kept(bench: &Bench) -> Vec<Day> {
    let store = &bench.collector.app().store;
    store.days("photo", TimeRange::ALL).await.unwrap()
}

#[tokio::test]
async fn a_day_is_kept_once_when_it_is_over_and_late_batches_are_in() {
    let bench = Bench::new();
    bench.at(midnight() + DAY_US);
    put_day(&bench, 0, midnight(), 5).await;
    let app = bench.collector.app();
    assert_eq!(look(app).await.unwrap(), 0);
    bench.at(midnight() + DAY_US + HOUR);
    assert_eq!(look(app).await.unwrap(), 1);
    assert_eq!(look(app).await.unwrap(), 0);
    let days = kept(&bench).await;
    let [day] = &days[..] else {
        panic!("{days:?}");
    };
    assert_eq!((day.start_us, day.endpoints[0].requests), (midnight(), 48));
    assert_eq!(day.endpoints[0].cpu_ns.unwrap().mean(), 5.0);
    let peak = day.peak.as_ref().unwrap();
    assert_eq!((peak.active_users, peak.minutes), (6, 59));
    assert_eq!(peak.start_us, midnight() + 12 * HOUR + 55 * 60 * SECOND);
}

#[tokio::test]
async fn what_was_missed_is_made_up_for_and_a_restart_goes_on() {
    let bench = Bench::new();
    bench.at(midnight() + 5 * DAY_US);
    for day in 0..5 {
        put_day(&bench, day, midnight() + day * DAY_US, 5 + day).await;
    }
    bench.at(midnight() + 4 * DAY_US + HOUR);
    let app = bench.collector.app();
    assert_eq!(look(app).await.unwrap(), 4);
    let peaks: Vec<bool> = kept(&bench)
        .await
        .iter()
        .map(|day| day.peak.is_some())
        .collect();
    assert_eq!(peaks, [false, false, false, true], "records live two days");
    // As a collector that has just started.
    *app.days.0.lock().unwrap() = BTreeMap::new();
    assert_eq!(look(app).await.unwrap(), 0);
    bench.at(midnight() + 5 * DAY_US + HOUR);
    assert_eq!(look(app).await.unwrap(), 1);
    let costs: Vec<f64> = kept(&bench)
        .await
        .iter()
        .map(|day| day.endpoints[0].cpu_ns.unwrap().mean())
        .collect();
    assert_eq!(costs, [5.0, 6.0, 7.0, 8.0, 9.0]);
}

#[tokio::test]
async fn a_service_that_is_gone_makes_no_days() {
    let bench = Bench::new();
    bench.at(midnight() + DAY_US);
    put_day(&bench, 0, midnight(), 5).await;
    bench.at(midnight() + 400 * DAY_US);
    assert_eq!(look(bench.collector.app()).await.unwrap(), 1);
    assert_eq!(kept(&bench).await.len(), 1);
}
