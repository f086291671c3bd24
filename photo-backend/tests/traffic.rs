//! Traffic against live servers, over TCP.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "each test binary uses a part of it")]
mod common;

use std::time::Duration;

use common::{Database, Running, USERS};
use photo_backend::traffic::{Counts, Targets, Traffic, TrafficOptions};
use photo_backend::{Endpoint, Variant, Variants};
use tokio::time::{Instant, sleep};

fn options(rate: f64) -> TrafficOptions {
    TrafficOptions {
        users: USERS,
        seeded_users: USERS,
        rate,
        ..TrafficOptions::default()
    }
}

async fn until(traffic: &Traffic, enough: impl Fn(&Counts) -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !enough(&traffic.counts()) {
        assert!(Instant::now() < end, "{:?}", traffic.counts());
        sleep(Duration::from_millis(5)).await;
    }
}

fn ok(counts: &Counts, endpoint: Endpoint) -> u64 {
    let found = counts
        .endpoints
        .iter()
        .find(|counts| counts.endpoint == endpoint);
    found.map_or(0, |counts| counts.ok)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_endpoint_is_asked_and_answers() {
    let database = Database::new();
    let server = Running::start(&database, Variants::default()).await;
    let targets = Targets::new();
    targets.add(&server.url()).unwrap();
    let traffic = Traffic::start(options(150.0), targets).unwrap();
    until(&traffic, |counts| {
        counts.errors > 0
            || Endpoint::ALL
                .into_iter()
                .all(|endpoint| ok(counts, endpoint) > 0)
    })
    .await;
    let counts = traffic.stop().await;
    assert_eq!((counts.errors, &counts.last_error), (0, &None));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_are_swapped_under_load_without_a_failed_request() {
    let database = Database::new();
    let targets = Targets::new();
    let mut old = Running::start(&database, Variants::default()).await;
    targets.add(&old.url()).unwrap();
    let traffic = Traffic::start(options(150.0), targets.clone()).unwrap();
    for _ in 0..4 {
        let new = Running::start(&database, Variants::default()).await;
        targets.add(&new.url()).unwrap();
        let before = traffic.counts().ok;
        until(&traffic, |counts| counts.ok > before + 20).await;
        assert!(targets.remove(&old.url()).await);
        old.stop().await;
        old = new;
        let before = traffic.counts().ok;
        until(&traffic, |counts| counts.ok > before + 20).await;
    }
    let counts = traffic.stop().await;
    assert_eq!((counts.errors, &counts.last_error), (0, &None));
    old.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_can_ask_for_the_stories_too() {
    let database = Database::new();
    let server = Running::start(
        &database,
        Variants::default().with(Variant::StoriesPrefetch),
    )
    .await;
    let targets = Targets::new();
    targets.add(&server.url()).unwrap();
    let traffic = Traffic::start(options(150.0), targets).unwrap();
    until(&traffic, |counts| ok(counts, Endpoint::Feed) >= 40).await;
    let counts = traffic.stop().await;
    assert_eq!(counts.errors, 0, "{counts:?}");
    assert!(
        ok(&counts, Endpoint::Stories) >= ok(&counts, Endpoint::Feed),
        "{counts:?}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rate_can_be_changed_and_arrivals_without_a_target_are_shed() {
    let targets = Targets::new();
    let traffic = Traffic::start(options(0.0), targets.clone()).unwrap();
    sleep(Duration::from_millis(60)).await;
    assert_eq!(
        traffic.counts(),
        Counts {
            endpoints: traffic.counts().endpoints,
            ..Counts::default()
        }
    );
    traffic.set_rate(2000.0);
    until(&traffic, |counts| counts.shed > 20).await;
    targets.add("http://127.0.0.1:1").unwrap();
    until(&traffic, |counts| counts.errors > 0).await;
    assert!(traffic.stop().await.last_error.unwrap().contains("refused"));
}
