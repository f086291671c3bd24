use appweight_wire::{Batch, Cell};
use serde_json::{Value, json};

use crate::store::Store;
use crate::testing::{Bench, NOON, SECOND, batch, cell};

const MINUTE: u64 = 60 * SECOND;
/// A full minute.
const START: u64 = NOON - NOON % MINUTE;
const HOSTS: u64 = 8;
/// When the second deploy comes, host after host.
const ROLL_OUT: u64 = 90;

/// What a host serves in a minute: two endpoints, of which the second deploy makes one dearer by a tenth.
fn cells(minute: u64, host: u64, deploy: &str) -> Vec<Cell> {
    let dearer = if deploy == "b" { 110 } else { 100 };
    let of = |endpoint: &str, percent: u64| {
        // A fixed wave in place of noise, the same everywhere; hosts differ in speed.
        let mut seed = minute * 1_000 + host;
        let costs: Vec<u64> = (0..60)
            .map(|_| {
                seed = seed
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (9_000 + (seed >> 33) % 2_000) * percent * (100 + host) / 100
            })
            .collect();
        let mut cell = cell(START + minute * MINUTE, &costs);
        cell.key.width_us = MINUTE;
        cell.key.endpoint = endpoint.to_owned();
        cell
    };
    vec![of("/feed", dearer), of("/seen", 100)]
}

fn deploy_of(minute: u64, host: u64) -> &'static str {
    if minute >= ROLL_OUT + host / 2 {
        "b"
    } else {
        "a"
    }
}

/// A host's batch of those minutes, all of one deploy.
fn sent(minutes: std::ops::Range<u64>, host: u64, hosts: u64) -> Batch {
    let deploy = deploy_of(minutes.start, host);
    let mut batch = batch(
        u128::from(host) + if deploy == "b" { 100 } else { 1 },
        minutes.start,
        deploy,
    );
    batch.origin.host = format!("web-{}", host % hosts);
    batch.cells = minutes
        .flat_map(|minute| cells(minute, host, deploy))
        .collect();
    batch
}

pub(super) async fn put(bench: &Bench, batch: &Batch) {
    let answer = bench.put_batch(batch).await;
    assert_eq!(answer.status.as_u16(), 201, "{answer:?}");
}

/// The time before the roll-out.
async fn before(hosts: u64) -> Bench {
    let bench = Bench::new();
    bench
        .post_deploy(json!({"service": "photo", "id": "a", "started_us": START}))
        .await;
    for minutes in [0..30, 30..60, 60..ROLL_OUT] {
        for host in 0..HOSTS {
            put(&bench, &sent(minutes.clone(), host, hosts)).await;
        }
    }
    bench
}

/// Minute by minute, with a look after each.
async fn serve(bench: &Bench, minutes: std::ops::Range<u64>, hosts: u64) {
    for minute in minutes {
        for host in 0..HOSTS {
            put(bench, &sent(minute..minute + 1, host, hosts)).await;
        }
        look(bench).await;
    }
}

/// Until all that is complete was read.
pub(super) async fn look(bench: &Bench) {
    bench.collector.watch_once().await.unwrap();
    while bench.collector.app().detectors.is_behind() {
        bench.collector.watch_once().await.unwrap();
    }
}

pub(super) async fn report(bench: &Bench) -> Value {
    let answer = bench.get("/v1/deploys/b").await;
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    answer.body
}

pub(super) async fn alerts(bench: &Bench) -> Vec<Value> {
    let alerts = bench.get("/v1/alerts").await.body;
    alerts.as_array().unwrap().clone()
}

fn of_endpoint<'a>(report: &'a Value, endpoint: &str) -> &'a Value {
    let changes = report["detected"]["endpoints"].as_array().unwrap();
    let mut changes = changes.iter();
    changes
        .find(|change| change["endpoint"] == endpoint)
        .unwrap()
}

#[tokio::test]
async fn the_detector_judges_while_it_watches_and_is_told_the_same_after_a_restart() {
    let bench = before(HOSTS).await;
    serve(&bench, ROLL_OUT..ROLL_OUT + 40, HOSTS).await;
    let rolling = report(&bench).await;
    assert_eq!(rolling["summary"]["status"], "rolling", "{rolling}");
    assert_eq!(rolling["summary"]["verdict"], "regressed", "{rolling}");
    assert_eq!(
        (
            &rolling["detected"]["judges"],
            &rolling["detected"]["watches"]
        ),
        (&json!(true), &json!(true))
    );
    let feed = of_endpoint(&rolling, "/feed");
    assert_eq!(feed["verdict"], "regressed");
    let relative = feed["change"]["relative"].as_f64().unwrap();
    assert!((relative - 0.1).abs() < 0.01, "{feed}");
    assert!(feed["sure_since_us"].as_u64() < rolling["detected"]["until_us"].as_u64());
    assert_ne!(of_endpoint(&rolling, "/seen")["verdict"], "regressed");
    let called = alerts(&bench).await;
    assert_eq!(called.len(), 1, "{called:?}");
    assert_eq!(
        (&called[0]["deploy"]["id"], &called[0]["state"]),
        (&json!("b"), &json!("open"))
    );
    assert_eq!(called[0]["findings"][0]["endpoint"], "/feed");

    let bench = bench.restarted(|options| options.settle = std::time::Duration::from_secs(10));
    look(&bench).await;
    let again = report(&bench).await;
    assert_eq!(again["detected"], rolling["detected"]);
    assert_eq!(alerts(&bench).await, called);

    serve(&bench, ROLL_OUT + 40..ROLL_OUT + 68, HOSTS).await;
    let judged = report(&bench).await;
    assert_eq!(judged["summary"]["status"], "judged", "{judged}");
    assert_eq!(judged["summary"]["verdict"], "regressed", "{judged}");
    assert_eq!(judged["detected"]["judges"], true);
    let kept = alerts(&bench).await;
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(kept[0]["opened_us"], called[0]["opened_us"]);
    assert_eq!(kept[0]["state"], "open");
}

#[tokio::test]
async fn late_requests_are_counted_and_told() {
    let bench = before(HOSTS).await;
    let mut late = sent(ROLL_OUT + 3..ROLL_OUT + 4, 0, HOSTS);
    serve(&bench, ROLL_OUT..ROLL_OUT + 8, HOSTS).await;
    assert_eq!(report(&bench).await["detected"]["late_requests"], 0);
    late.source = uuid::Uuid::from_u128(999);
    put(&bench, &late).await;
    assert_eq!(report(&bench).await["detected"]["late_requests"], 120);
    let metrics = bench.get("/metrics").await.body;
    let metrics = metrics.as_str().unwrap();
    assert!(
        metrics.contains("appweight_collector_detector_late_requests_total 120"),
        "{metrics}"
    );
}

#[tokio::test]
async fn where_hosts_are_few_the_comparison_judges_as_ever() {
    let bench = before(2).await;
    serve(&bench, ROLL_OUT..ROLL_OUT + 10, 2).await;
    let judged = report(&bench).await;
    let detected = &judged["detected"];
    assert_eq!(judged["summary"]["status"], "judged", "{judged}");
    assert_eq!(judged["summary"]["verdict"], "regressed", "{judged}");
    assert_eq!(detected["judges"], false);
    assert!(
        detected["because"]
            .as_str()
            .unwrap()
            .contains("2 groups of hosts"),
        "{detected}"
    );
    assert_eq!(alerts(&bench).await.len(), 1);
}

#[tokio::test]
async fn what_was_called_and_went_away_is_resolved() {
    let bench = before(HOSTS).await;
    serve(&bench, ROLL_OUT..ROLL_OUT + 40, HOSTS).await;
    let unjudged = bench.store.unjudged().await.unwrap();
    let deploy = unjudged
        .into_iter()
        .find(|deploy| deploy.id == "b")
        .unwrap();
    let app = bench.collector.app();
    assert!(app.alerts.is_called(&deploy));
    crate::alerts::withdraw(app, &deploy).await.unwrap();
    let kept = alerts(&bench).await;
    assert_eq!((kept.len(), &kept[0]["state"]), (1, &json!("resolved")));
    assert!(
        kept[0]["reason"].as_str().unwrap().contains("went away"),
        "{kept:?}"
    );
    // It is heavier all the same, so that the next minute opens it again.
    serve(&bench, ROLL_OUT + 40..ROLL_OUT + 42, HOSTS).await;
    assert_eq!(alerts(&bench).await[0]["state"], "open");
}

#[tokio::test]
async fn what_was_called_while_the_store_failed_is_called_at_the_next_look() {
    let bench = before(HOSTS).await;
    bench.store.refuse_alerts(true).await;
    serve(&bench, ROLL_OUT..ROLL_OUT + 40, HOSTS).await;
    assert_eq!(report(&bench).await["summary"]["verdict"], "regressed");
    assert!(alerts(&bench).await.is_empty());
    bench.store.refuse_alerts(false).await;
    look(&bench).await;
    assert_eq!(alerts(&bench).await.len(), 1, "no minute came meanwhile");
}

#[tokio::test]
async fn a_roll_out_that_began_earlier_than_was_known_keeps_its_alert() {
    let bench = before(HOSTS).await;
    serve(&bench, ROLL_OUT..ROLL_OUT + 40, HOSTS).await;
    let called = alerts(&bench).await;
    assert_eq!(called.len(), 1, "{called:?}");
    let said = json!({"service": "photo", "deploy": "b", "state": "acknowledged", "by": "ann",
        "started_us": called[0]["deploy"]["started_us"]});
    let answer = bench.post("/v1/alerts", said).await;
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");

    // The CI tells of it when it is done.
    let started_us = START + (ROLL_OUT - 1) * MINUTE;
    bench
        .post_deploy(json!({"service": "photo", "id": "b", "started_us": started_us}))
        .await;
    serve(&bench, ROLL_OUT + 40..ROLL_OUT + 42, HOSTS).await;
    let kept = alerts(&bench).await;
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(kept[0]["deploy"]["started_us"], started_us);
    assert_eq!(kept[0]["opened_us"], called[0]["opened_us"]);
    assert_eq!(
        (&kept[0]["state"], &kept[0]["by"]),
        (&json!("acknowledged"), &json!("ann"))
    );
}
