use serde_json::json;

use crate::testing::{Bench, NOON, SECOND, batch, cell, process, profile, request};
use appweight_wire::{Batch, EndpointCount};

/// A batch that names an endpoint in each kind of record.
fn naming(sequence: u64, endpoint: &str) -> Batch {
    let mut batch = batch(1, sequence, "a");
    let at = NOON + sequence * SECOND;
    batch.cells = vec![cell(at, &[5])];
    batch.cells[0].key.endpoint = endpoint.into();
    batch.requests = vec![request(at, 5)];
    batch.requests[0].endpoint = endpoint.into();
    batch.profiles = vec![profile(at, &[("feed", 5)])];
    batch.profiles[0].endpoint = endpoint.into();
    batch.processes = vec![process(at, 1)];
    for (endpoint, requests) in [(endpoint, 3), ("other", 2), ("/1", 1)] {
        batch.processes[0].endpoints.push(EndpointCount {
            endpoint: endpoint.into(),
            requests,
            errors: 0,
        });
    }
    batch
}

fn few() -> Bench {
    Bench::with(|options| options.max_endpoints = 3)
}

async fn endpoints(bench: &Bench) -> Vec<String> {
    use crate::store::{CellQuery, Store, TimeRange};
    let query = CellQuery {
        service: "photo".into(),
        deploys: Vec::new(),
        time: TimeRange::ALL,
    };
    let cells = bench.store.cells(query).await.unwrap();
    let mut names: Vec<String> = cells
        .into_iter()
        .map(|placed| placed.cell.key.endpoint)
        .collect();
    names.sort();
    names
}

async fn renamed(bench: &Bench) -> u64 {
    let metrics = bench.get("/metrics").await.body;
    let name = "appweight_collector_endpoints_over_limit_records_total{service=\"photo\"} ";
    let metrics = metrics.as_str().unwrap();
    metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.parse().ok())
        .unwrap_or(0)
}

#[tokio::test]
async fn those_beyond_the_limit_are_counted_together_and_told() {
    let bench = few();
    for sequence in 0..6 {
        let sent = naming(sequence, &format!("/{sequence}"));
        assert_eq!(bench.put_batch(&sent).await.status, 201);
    }
    assert_eq!(
        endpoints(&bench).await,
        ["/0", "/1", "/2", "other", "other", "other"]
    );
    // A cell, a request, a profile and a process record each.
    assert_eq!(renamed(&bench).await, 12);
    let requests = bench.get("/v1/requests?service=photo&endpoint=other").await;
    assert_eq!(requests.body.as_array().unwrap().len(), 3);
    let profiles = bench.get("/v1/profiles?service=photo&deploy=a").await.body;
    let of: Vec<&str> = profiles
        .as_array()
        .unwrap()
        .iter()
        .map(|profile| profile["of"]["endpoint"].as_str().unwrap())
        .collect();
    assert_eq!(of, ["/0", "/1", "/2", "other"]);
    let again = naming(5, "/5");
    assert_eq!(
        bench.put_batch(&again).await.body,
        json!({"duplicate": true}),
        "its id is that of the bytes as they came"
    );
    assert_eq!(bench.put_batch(&naming(6, "/2")).await.status, 201);
    assert_eq!(renamed(&bench).await, 12, "what counts is told, once");
}

#[tokio::test]
async fn a_process_says_the_others_once() {
    let bench = few();
    for sequence in 0..4 {
        bench
            .put_batch(&naming(sequence, &format!("/{sequence}")))
            .await;
    }
    use crate::store::{ProcessQuery, Store, TimeRange};
    let all = ProcessQuery::all("photo", TimeRange::ALL);
    let points = bench.store.process_points(all).await.unwrap();
    let last = &points.last().unwrap().endpoints;
    let counts: Vec<(&str, u64)> = last
        .iter()
        .map(|count| (count.endpoint.as_str(), count.requests))
        .collect();
    assert_eq!(counts, [("/1", 1), ("other", 5)]);
}

#[tokio::test]
async fn a_new_collector_knows_those_that_were_counted() {
    let bench = few();
    for sequence in 0..3 {
        bench
            .put_batch(&naming(sequence, &format!("/{sequence}")))
            .await;
    }
    let bench = bench.restarted(|options| options.max_endpoints = 3);
    bench.put_batch(&naming(3, "/3")).await;
    bench.put_batch(&naming(4, "/1")).await;
    assert_eq!(endpoints(&bench).await, ["/0", "/1", "/1", "/2", "other"]);
}

#[tokio::test]
async fn those_that_are_gone_make_room() {
    const DAY: u64 = 86_400 * SECOND;
    let bench = few();
    for sequence in 0..3 {
        bench
            .put_batch(&naming(sequence, &format!("/{sequence}")))
            .await;
    }
    bench.at(NOON + 20 * DAY);
    bench.put_batch(&naming(3, "/1")).await;
    bench.at(NOON + 40 * DAY);
    crate::retention::forget(bench.collector.app())
        .await
        .unwrap();
    for sequence in [4, 5, 6] {
        bench
            .put_batch(&naming(sequence, &format!("/{sequence}")))
            .await;
    }
    let endpoints = endpoints(&bench).await;
    for (name, counted) in [("/4", true), ("/5", true), ("/6", false)] {
        assert_eq!(
            endpoints.contains(&name.to_owned()),
            counted,
            "{endpoints:?}"
        );
    }
}
