use appweight::api::{DetectedVerdict, FlagReading};
use appweight_wire::{Cell, Flag};

use super::*;
use crate::testing::{Bench, NOON, SECOND, batch, cell};

/// A full minute.
const START: u64 = NOON - NOON % MINUTE_US;

/// Cells of a minute of `/feed` and `/seen`: all requests, and once more by flag. `/feed` is dearer by a fifth with it.
fn cells(minute: u64) -> Vec<Cell> {
    let mut all = Vec::new();
    for (endpoint, dearer) in [("/feed", 120), ("/seen", 100)] {
        let costs = |percent: u64, seed: u64| -> Vec<u64> {
            let spread = (0..30).map(|at| 9_000 + (at * 37 + (minute + seed) * 11) % 2_000);
            spread.map(|cost| cost * percent).collect()
        };
        let mut add = |costs: &[u64], value: Option<&str>| {
            let mut made = cell(START + minute * MINUTE_US, costs);
            made.key.width_us = MINUTE_US;
            made.key.endpoint = endpoint.to_owned();
            made.key.flag = value.map(|value| Flag {
                name: "ranker".into(),
                value: value.into(),
            });
            all.push(made);
        };
        let (on, off) = (costs(dearer, 3), costs(100, 0));
        add(&[on.clone(), off.clone()].concat(), None);
        add(&on, Some("v2"));
        add(&off, Some("off"));
    }
    all
}

async fn half_an_hour(bench: &Bench) {
    for host in 0..3_u128 {
        for part in 0..6 {
            let mut batch = batch(host, part, "a");
            batch.cells = (5 * part..5 * part + 5).flat_map(cells).collect();
            let answer = bench.put_batch(&batch).await;
            assert_eq!(answer.status.as_u16(), 201, "{answer:?}");
        }
    }
}

async fn asked(bench: &Bench, query: &str) -> FlagsReport {
    let answer = bench.get(&format!("/v1/flags{query}")).await;
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    serde_json::from_value(answer.body).unwrap()
}

#[tokio::test]
async fn what_a_flag_costs_is_told_as_cells_come() {
    let bench = Bench::new();
    half_an_hour(&bench).await;
    let report = asked(&bench, "").await;
    let midnight_us = NOON - NOON % DAY_US;
    assert_eq!(
        (report.from_us, report.until_us, report.read_since_us),
        (
            midnight_us - DAY_US,
            START + 30 * MINUTE_US,
            midnight_us - DAY_US
        )
    );
    let [flag] = &report.flags[..] else {
        panic!("{report:?}");
    };
    assert_eq!(
        (flag.flag.as_str(), flag.base.as_deref()),
        ("ranker", Some("off"))
    );
    let value = &flag.values[0];
    assert_eq!((value.value.as_str(), value.requests), ("v2", 3 * 30 * 60));
    assert_eq!(value.reads_as, FlagReading::Cost, "{}", value.because);
    let feed = &value.endpoints[0];
    assert_eq!(feed.verdict, DetectedVerdict::Regressed, "{feed:?}");
    assert!(
        (feed.change.unwrap().relative - 0.2).abs() < 0.01,
        "{feed:?}"
    );
    assert_eq!(value.endpoints[1].verdict, DetectedVerdict::Unchanged);
    let named = asked(&bench, "?service=photo&flag=ranker").await;
    assert_eq!(named, report);
}

#[tokio::test]
async fn how_a_flag_is_given_may_be_said() {
    let given = ("ranker".to_owned(), "country".to_owned());
    let bench = Bench::with(|options| options.flags_given = [given].into());
    half_an_hour(&bench).await;
    let value = &asked(&bench, "").await.flags[0].values[0];
    assert_eq!(value.reads_as, FlagReading::Association);
    assert!(value.because.contains("by country"), "{}", value.because);
    assert!(value.endpoints.iter().all(|change| change.cost.is_none()));
}

#[tokio::test]
async fn no_more_is_read_than_there_is_room_for() {
    let bench = Bench::new();
    half_an_hour(&bench).await;
    let app = bench.collector.app();
    // Three groups of hosts at most, six cells each.
    let of_minute = cells(0).len() * 3;
    let time = TimeRange {
        from_us: START,
        until_us: START + 30 * MINUTE_US,
    };
    for (room, expected) in [
        (0, time.until_us),
        (of_minute * 10, START + 20 * MINUTE_US),
        (of_minute * 30, START),
    ] {
        let (_, since_us) = read(app, "photo", time, room).await.unwrap();
        assert!(since_us <= time.until_us && since_us >= time.from_us);
        assert!(since_us <= expected, "{room}: {since_us} {expected}");
    }
    let (_, since_us) = read(app, "photo", time, of_minute - 1).await.unwrap();
    assert!(since_us > START);
}

#[tokio::test]
async fn what_cannot_be_answered_is_refused() {
    let bench = Bench::new();
    bench
        .get("/v1/flags")
        .await
        .assert_problem(404, Some("service"));
    let mut without = batch(1, 0, "a");
    without.cells = vec![cell(NOON, &[5])];
    assert!(bench.put_batch(&without).await.status.is_success());
    let none = asked(&bench, &format!("?from_us=0&until_us={}", NOON + SECOND)).await;
    assert_eq!((none.flags.len(), none.read_since_us), (0, 0));
    for (query, status, field) in [
        ("from_us=7&until_us=5", 400, "from_us"),
        ("flags=a", 400, "flags"),
        ("service=nobody", 404, "service"),
        ("flag=ranker", 404, "flag"),
    ] {
        let answer = bench.get(&format!("/v1/flags?{query}")).await;
        answer.assert_problem(status, Some(field));
    }
}
