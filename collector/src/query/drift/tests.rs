use appweight::drift::{Cost, Day, EndpointDay, Peak};
use appweight_wire::Kind;

use super::*;
use crate::store::Store;
use crate::testing::{Bench, NOON, batch, cell};

const DAYS_KEPT: u64 = 60;

/// Sixty days in which `/feed` becomes 2 % dearer each week, and the peak's weight with it.
async fn drifting() -> Bench {
    let bench = Bench::new();
    let mut batch = batch(1, 0, "a");
    batch.cells = vec![cell(NOON, &[5])];
    assert!(bench.put_batch(&batch).await.status.is_success());
    let today = NOON / DAY_US;
    for at in 0..DAYS_KEPT {
        let grown = 1.02_f64.powf(at as f64 / 7.0) * (1.0 + 0.001 * (at * 7 % 5) as f64);
        let cost = |mean: f64| Cost {
            requests: 1_000,
            total: (mean * 1_000.0) as u64,
        };
        let endpoint = |name: &str, mean: f64| EndpointDay {
            kind: Kind::Request,
            endpoint: name.into(),
            requests: 1_000,
            cpu_ns: Some(cost(mean)),
            instructions: None,
        };
        let start_us = (today - DAYS_KEPT + at) * DAY_US;
        let day = Day {
            service: "photo".into(),
            start_us,
            peak: Some(Peak {
                start_us,
                active_users: 100,
                requests: 1_000,
                cpu_ns: (1e9 * grown) as u64,
                instructions: None,
                minutes: 1_440,
            }),
            endpoints: vec![
                endpoint("/feed", 1e6 * grown),
                endpoint("/login", 1e6 + 1e3 * (at * 11 % 7) as f64),
            ],
        };
        bench.store.put_day(day).await.unwrap();
    }
    bench
}

#[tokio::test]
async fn what_drifts_is_told_with_its_size_and_interval() {
    let bench = drifting().await;
    let answer = bench.get("/v1/drift").await;
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    let report: DriftReport = serde_json::from_value(answer.body).unwrap();
    assert_eq!(report.until_us, NOON - NOON % DAY_US);
    assert_eq!(report.until_us - report.from_us, DAYS * DAY_US);
    assert_eq!(
        report.kept_since_us,
        Some(report.until_us - DAYS_KEPT * DAY_US)
    );
    assert_eq!(report.weight.days.len() as u64, DAYS);
    let found = [&report.weight, &report.endpoints[0].cost].map(|of| of.daily.trend.unwrap());
    for trend in found {
        assert!(
            trend.told && (trend.per_week - 0.02).abs() < 0.002,
            "{trend:?}"
        );
        assert!(trend.low <= trend.per_week && trend.per_week <= trend.high);
    }
    assert_eq!(report.endpoints[0].endpoint, "/feed");
    assert!(!report.endpoints[1].cost.is_told());
}

#[tokio::test]
async fn a_part_may_be_asked_for() {
    let bench = drifting().await;
    let from_us = NOON - 20 * DAY_US;
    let uri = format!("/v1/drift?endpoint=/login&from_us={from_us}&until_us={NOON}&limit=1");
    let answer = bench.get(&uri).await;
    let report: DriftReport = serde_json::from_value(answer.body).unwrap();
    let names: Vec<&str> = report
        .endpoints
        .iter()
        .map(|of| of.endpoint.as_str())
        .collect();
    assert_eq!((names, report.endpoint_count), (vec!["/login"], 2));
    assert_eq!(report.weight.days.len(), 20);
    assert_eq!(report.weight.daily.lacking, 8);
}

#[tokio::test]
async fn what_cannot_be_answered_is_refused() {
    let bench = Bench::new();
    let empty = bench.get("/v1/drift").await;
    empty.assert_problem(404, Some("service"));
    let bench = drifting().await;
    for (query, status, field) in [
        ("from_us=0", 400, "from_us"),
        ("from_us=7&until_us=5", 400, "from_us"),
        ("limit=1001", 400, "limit"),
        ("weeks=4", 400, "weeks"),
        ("service=nobody", 404, "service"),
        ("endpoint=/nothing", 404, "endpoint"),
    ] {
        let answer = bench.get(&format!("/v1/drift?{query}")).await;
        answer.assert_problem(status, Some(field));
    }
}
