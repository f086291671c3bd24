use std::sync::Arc;

use appweight::api::{DeployStatus, DeployVerdict};
use serde_json::json;

use super::*;
use crate::testing::{Bench, NOON, SECOND, batch, cell};

/// Cells of each second in `from..until`, in batches numbered by their second.
async fn serve(bench: &Bench, source: u128, deploy: &str, from: u64, until: u64) {
    let mut batch = batch(source, from, deploy);
    batch.cells = (from..until)
        .map(|second| cell(NOON + second * SECOND, &[5, 6, 7]))
        .collect();
    assert_eq!(bench.put_batch(&batch).await.status.as_u16(), 201);
}

async fn judged(bench: &Bench) -> Vec<(String, DeployVerdict)> {
    let reports = bench.collector.watch_once().await.unwrap();
    let facts = reports
        .into_iter()
        .map(|report| (report.summary.deploy.id, report.summary.verdict));
    facts.collect()
}

#[tokio::test]
async fn the_first_deploy_is_the_first() {
    let bench = Bench::new();
    serve(&bench, 1, "a", 0, 2).await;
    bench.at(NOON + 9 * SECOND);
    assert!(judged(&bench).await.is_empty(), "late cells may come");
    bench.at(NOON + 10 * SECOND);
    let judged_first = judged(&bench).await;
    assert_eq!(judged_first.len(), 1);
    assert_eq!(judged_first[0].0, "a");
    assert!(judged(&bench).await.is_empty(), "once is enough");
}

#[tokio::test]
async fn a_roll_out_that_the_ci_ended_is_judged_when_late_cells_are_in() {
    let bench = Bench::new();
    serve(&bench, 1, "a", 0, 20).await;
    bench
        .post_deploy(json!({"service": "photo", "id": "b", "started_us": NOON + 20 * SECOND}))
        .await;
    serve(&bench, 2, "b", 20, 30).await;
    serve(&bench, 1, "a", 20, 30).await;
    bench.at(NOON + 30 * SECOND);
    judged(&bench).await;
    let end = json!({"service": "photo", "id": "b", "ended_us": NOON + 30 * SECOND});
    bench.post_deploy(end).await;
    bench.at(NOON + 39 * SECOND);
    assert!(judged(&bench).await.is_empty());
    bench.at(NOON + 40 * SECOND);
    assert_eq!(judged(&bench).await.len(), 1);
    let shown = bench.get("/v1/deploys/b").await.body;
    assert_eq!(shown["summary"]["status"], "judged");
    assert_eq!(shown["summary"]["judged_us"], NOON + 40 * SECOND);
    let metrics = bench
        .get("/metrics")
        .await
        .body
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        metrics.contains("appweight_collector_verdicts_total{"),
        "{metrics}"
    );
}

#[tokio::test]
async fn the_end_is_when_the_old_code_falls_silent() {
    let bench = Bench::new();
    serve(&bench, 1, "a", 0, 25).await;
    serve(&bench, 2, "b", 20, 30).await;
    bench.at(NOON + 34 * SECOND);
    let first: Vec<String> = judged(&bench).await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(first, ["a"]);
    bench.at(NOON + 35 * SECOND);
    assert_eq!(judged(&bench).await.len(), 1);
    let shown = bench.get("/v1/deploys/b").await.body;
    assert_eq!(shown["summary"]["deploy"]["ended_us"], NOON + 25 * SECOND);
}

#[tokio::test]
async fn a_roll_out_that_did_not_begin_is_not_over() {
    let bench = Bench::new();
    serve(&bench, 1, "a", 0, 20).await;
    bench
        .post_deploy(json!({"service": "photo", "id": "b", "started_us": NOON + 20 * SECOND}))
        .await;
    bench.at(NOON + 900 * SECOND);
    let first: Vec<String> = judged(&bench).await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(first, ["a"]);
    assert_eq!(
        bench.get("/v1/deploys/b").await.body["summary"]["status"],
        "rolling"
    );
}

#[tokio::test]
async fn the_next_roll_out_ends_one_that_still_rolled() {
    let bench = Bench::new();
    serve(&bench, 1, "a", 0, 40).await;
    serve(&bench, 2, "b", 20, 40).await;
    serve(&bench, 3, "c", 30, 40).await;
    bench.at(NOON + 40 * SECOND);
    let over: Vec<String> = judged(&bench).await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(over, ["a", "b"]);
}

#[tokio::test]
async fn a_restart_goes_on_where_it_was() {
    let bench = Bench::new();
    serve(&bench, 1, "a", 0, 25).await;
    serve(&bench, 2, "b", 20, 30).await;
    bench.at(NOON + 34 * SECOND);
    assert_eq!(judged(&bench).await.len(), 1);
    let Bench {
        folder,
        store,
        collector,
        ..
    } = bench;
    drop((store, collector));
    let bench = Bench::on(folder);
    bench.at(NOON + 35 * SECOND);
    let over: Vec<String> = judged(&bench).await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(over, ["b"]);
}

#[tokio::test]
async fn looks_twice_in_the_narrowest_cell_within_bounds() {
    let bench = Bench::new();
    let app = |store| {
        Arc::new(App {
            store,
            options: crate::CollectorOptions::default(),
            metrics: crate::metrics::Metrics::new(),
        })
    };
    let app = app(Arc::new(bench.store.clone()));
    assert_eq!(tick(&app).await.unwrap(), LONGEST_TICK);
    let mut wide = batch(1, 0, "a");
    wide.cells = vec![cell(NOON, &[5])];
    wide.cells[0].key.width_us = 4 * SECOND;
    bench.put_batch(&wide).await;
    assert_eq!(tick(&app).await.unwrap(), Duration::from_secs(2));
    serve(&bench, 1, "a", 1, 2).await;
    assert_eq!(tick(&app).await.unwrap(), SHORTEST_TICK);
}

#[tokio::test]
async fn stops_when_told() {
    let bench = Bench::new();
    serve(&bench, 1, "a", 0, 2).await;
    bench.at(NOON + 10 * SECOND);
    bench.collector.watch(std::future::ready(())).await;
    let shown = bench.get("/v1/deploys/a").await.body;
    assert_eq!(
        shown["summary"]["status"],
        serde_json::to_value(DeployStatus::Judged).unwrap()
    );
}
