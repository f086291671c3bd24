//! Beside the one request in N that is recorded, the costliest of each span and endpoint is.

#[cfg(test)]
mod support;

use std::thread;
use std::time::Duration;

use appweight_wire::{Cell, RequestRecord};

use support::{SOON, TestCollector, get_request};

const WIDTH: Duration = Duration::from_millis(20);
const ONE_IN: u64 = 10;
const NAMES: [&str; 4] = ["task:a", "task:b", "task:c", "task:d"];

/// Some µs, more for some than for others.
fn work(number: u32) {
    let rounds = 2_000 * (1 + number % 7);
    for round in 0..rounds {
        std::hint::black_box(round);
    }
}

/// The agent looks at the clock between a request's start and its end.
const SLACK_US: u64 = 10_000;

fn end_us(record: &RequestRecord) -> u64 {
    record.start_us + record.wall_ns / 1_000
}

#[test]
fn the_costliest_of_each_span_and_endpoint_is_recorded_and_averages_stay_unbiased() {
    const EACH: u32 = 1_000;
    let collector = TestCollector::start();
    let agent = collector
        .agent()
        .cell_width(WIDTH)
        .record_one_in(ONE_IN)
        .start();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for number in 0..EACH {
                    agent.measure(NAMES[number as usize % NAMES.len()], || work(number));
                }
            });
        }
    });
    assert!(agent.shutdown(SOON));
    let (cells, records) = (collector.cells(), collector.requests());
    let counted: u64 = cells.iter().map(|cell| cell.n).sum();
    assert_eq!(counted, u64::from(3 * EACH));

    let width_us = WIDTH.as_micros() as u64;
    for record in &records {
        assert!([0, ONE_IN].contains(&record.weight));
    }
    // Costs can be equal to the nanosecond, so that a cell may have several such records.
    let is_costliest = |record: &RequestRecord, cell: &Cell| {
        let span = cell.key.start_us..cell.key.start_us + width_us;
        record.endpoint == *cell.key.endpoint
            && record.cpu_ns == cell.cpu_ns.as_ref().map(|cpu_ns| cpu_ns.max)
            && end_us(record) + SLACK_US >= span.start
            && end_us(record) < span.end + SLACK_US
    };
    for cell in &cells {
        let found = records.iter().any(|record| is_costliest(record, cell));
        assert!(found, "of {:?}", cell.key);
    }
    let of_no_weight = || records.iter().filter(|record| record.weight == 0);
    for record in of_no_weight() {
        let of_a_cell = cells.iter().any(|cell| is_costliest(record, cell));
        assert!(of_a_cell, "none but the costliest of a cell: {record:?}");
    }
    let costly = of_no_weight().count();
    assert!(costly <= cells.len(), "one of each cell");
    assert!(costly > 10, "{costly} of {} cells", cells.len());

    // Sums over the records, each times its weight, against those over all requests; six standard
    // deviations of drawing one in ten.
    let cpu = |record: &RequestRecord| record.cpu_ns.unwrap_or(0) as f64;
    let drawn = |value: &dyn Fn(&RequestRecord) -> f64| {
        let terms = records.iter().map(|r| r.weight as f64 * value(r));
        let squares = records.iter().map(|r| r.weight as f64 * value(r).powi(2));
        let spread = (squares.sum::<f64>() * (ONE_IN - 1) as f64).sqrt();
        (terms.sum::<f64>(), 6.0 * spread)
    };
    let (number, spread) = drawn(&|_| 1.0);
    assert!((number - counted as f64).abs() < spread, "{number}");
    let all: u64 = cells.iter().map(|c| c.cpu_ns.as_ref().unwrap().sum).sum();
    let (sum, spread) = drawn(&cpu);
    assert!((sum - all as f64).abs() < spread, "{sum} of {all}");
}

#[tokio::test]
async fn a_costly_request_tells_what_is_known_at_its_end() {
    let collector = TestCollector::start();
    // One in so many that none is drawn.
    let agent = collector.agent().record_one_in(u64::MAX).start();
    let handler = async || {
        appweight_agent::flag("ranker", "v2");
        support::burn(1);
        http::StatusCode::IM_A_TEAPOT
    };
    let app = axum::Router::new()
        .route("/tea", axum::routing::get(handler))
        .layer(agent.layer());
    tower::ServiceExt::oneshot(app, get_request("/tea"))
        .await
        .unwrap();
    assert!(agent.shutdown(SOON));
    let record = collector.request("/tea");
    assert_eq!((record.weight, record.status), (0, Some(418)));
    assert_eq!(record.flags[0].value, "v2");
    assert!(record.cpu_ns.unwrap() > 10_000 && record.wall_ns > 10_000);
    assert_eq!((record.method, record.rss_start_bytes), (None, None));
}

#[test]
fn where_nothing_is_recorded_the_costliest_are_not_either() {
    let collector = TestCollector::start();
    let agent = collector.agent().record_one_in(0).start();
    agent.measure("task:a", || work(1));
    assert!(agent.shutdown(SOON));
    assert_eq!((collector.counted(), collector.requests().len()), (1, 0));
}
