use appweight::api::{DeployStatus, DeployVerdict};
use serde_json::json;

use super::*;
use crate::testing::{Bench, NOON, SECOND, batch, cell, process};

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
    assert_eq!(
        judged(&bench).await,
        [("a".to_owned(), DeployVerdict::First)]
    );
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
    let judged: u64 = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("appweight_collector_verdicts_total{"))
        .filter_map(|rest| rest.rsplit(' ').next()?.parse::<u64>().ok())
        .sum();
    assert_eq!(judged, 2, "{metrics}");
}

/// A minute in which two hosts each run old and new code side by side, 50 requests a second.
async fn roll_out(old_ns: u64, new_ns: u64) -> Bench {
    let bench = Bench::new();
    bench
        .post_deploy(json!({"service": "photo", "id": "a", "started_us": NOON - 60 * SECOND}))
        .await;
    bench.roll_out(0, ["a", "b"], [old_ns, new_ns]).await;
    bench
}

#[tokio::test]
async fn what_every_restart_does_is_learned_from_the_reports_and_taken_off() {
    const AGED_NS: u64 = 1_000_000;
    const FRESH_NS: u64 = 930_000;
    let bench = roll_out(AGED_NS, FRESH_NS).await;
    judged(&bench).await;
    let ids = ["b", "c", "d", "e"];
    let mut said = Vec::new();
    for (number, pair) in (1..).zip(ids.windows(2)) {
        bench
            .roll_out(number * 100, [pair[0], pair[1]], [AGED_NS, FRESH_NS])
            .await;
        said.extend(judged(&bench).await);
    }
    let (last, verdict) = said.last().unwrap();
    assert_eq!((last.as_str(), *verdict), ("e", DeployVerdict::NoChange));
    let shown = bench.get("/v1/deploys/e").await.body;
    let endpoint = &shown["comparison"]["endpoints"][0];
    assert_eq!(endpoint["restart"]["roll_outs"], 3);
    assert_eq!(endpoint["gates"][1]["name"], "restart_taken_off");
    assert!(endpoint["change"]["relative"].as_f64().unwrap().abs() < 0.01);
}

#[tokio::test]
async fn slower_code_is_found_and_the_same_code_is_not_accused() {
    for (new_ns, verdict) in [
        (1_300_000, DeployVerdict::Regressed),
        (1_000_000, DeployVerdict::NoChange),
    ] {
        let bench = roll_out(1_000_000, new_ns).await;
        let said = judged(&bench).await;
        assert_eq!(
            said,
            [
                ("a".to_owned(), DeployVerdict::First),
                ("b".to_owned(), verdict)
            ]
        );
        let compared = bench.get("/v1/compare?base=a&head=b").await;
        assert_eq!(compared.status.as_u16(), 200, "{compared:?}");
        let change = compared.body["endpoints"][0]["change"]["relative"]
            .as_f64()
            .unwrap();
        let truth = new_ns as f64 / 1_000_000.0 - 1.0;
        assert!(
            (change - truth).abs() < 0.001,
            "{change} instead of {truth}"
        );
        let shown = bench.get("/v1/deploys/b").await.body;
        assert_eq!(shown["comparison"]["endpoints"], compared.body["endpoints"]);
    }
}

#[tokio::test]
async fn memory_is_judged_by_the_old_processes_youth_too() {
    let bench = Bench::new();
    // Each process grows for a minute; a begins ten minutes before b.
    for (source, deploy, from, per_second) in [(1, "a", 0, 1_000), (2, "b", 600, 1_000_000)] {
        let mut batch = batch(source, 0, deploy);
        for second in 0..60 {
            let mut record = process(NOON + (from + second) * SECOND, 1);
            record.process_age_us = (second + 1) * SECOND;
            record.requests_total = (second + 1) * 50;
            record.rss_bytes = Some(50_000_000 + second * per_second);
            batch.processes.push(record);
            batch
                .cells
                .push(cell(NOON + (from + second) * SECOND, &[5; 50]));
        }
        assert_eq!(bench.put_batch(&batch).await.status.as_u16(), 201);
    }
    bench.at(NOON + 660 * SECOND);
    let memory = bench.get("/v1/deploys/b").await.body["memory"].clone();
    assert_eq!(memory["processes"], json!([1, 1]), "{memory}");
    let (before, after) = (
        &memory["before_bytes_per_request"],
        &memory["after_bytes_per_request"],
    );
    assert!((before.as_f64().unwrap() - 20.0).abs() < 1.0, "{memory}");
    assert!(
        (after.as_f64().unwrap() - 20_000.0).abs() < 100.0,
        "{memory}"
    );
    assert_eq!(memory["leaks"], true, "{memory}");
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
async fn a_clock_that_is_ahead_keeps_no_old_code_alive() {
    let bench = Bench::new();
    serve(&bench, 1, "a", 0, 25).await;
    serve(&bench, 2, "b", 20, 30).await;
    serve(&bench, 3, "a", 86_400, 86_405).await;
    bench.at(NOON + 35 * SECOND);
    let over: Vec<String> = judged(&bench).await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(over, ["a", "b"]);
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
    let app = bench.collector.app();
    assert_eq!(tick(app).await.unwrap(), LONGEST_TICK);
    let mut wide = batch(1, 0, "a");
    wide.cells = vec![cell(NOON, &[5])];
    wide.cells[0].key.width_us = 4 * SECOND;
    bench.put_batch(&wide).await;
    assert_eq!(tick(app).await.unwrap(), Duration::from_secs(2));
    serve(&bench, 1, "a", 1, 2).await;
    assert_eq!(tick(app).await.unwrap(), SHORTEST_TICK);
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
