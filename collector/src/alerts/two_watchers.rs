//! Two collectors on one store: one judges and tells, and the other goes on when the first is gone.

use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};

use super::tests::{receiver, webhook};
use crate::testing::{Bench, NOON, SECOND};

/// What a receiver is told from now until nothing has come for a while after the first.
async fn told(received: &mpsc::Receiver<(String, Value)>) -> Vec<Value> {
    let mut told = Vec::new();
    let mut left = 250;
    while left > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        left -= 1;
        while let Ok((_, body)) = received.try_recv() {
            told.push(body["data"]["deploy"]["id"].clone());
            left = 25;
        }
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_collectors_tell_each_alert_once_also_when_one_is_gone() {
    let (url, received) = receiver(&[]);
    let bench = Bench::with(|options| options.hooks = vec![webhook(&url)]);
    let first = tokio::spawn({
        let first = bench.another(|_| {});
        async move { first.watch(std::future::pending()).await }
    });
    let second = bench.another(|_| {});
    // The first has it before the second asks.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let second = tokio::spawn(async move { second.watch(std::future::pending()).await });

    bench
        .post_deploy(json!({"service": "photo", "id": "a", "started_us": NOON - 60 * SECOND}))
        .await;
    bench.roll_out(0, ["a", "b"], [1_000_000, 1_500_000]).await;
    assert_eq!(told(&received).await, ["b"]);

    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    bench
        .roll_out(200, ["b", "c"], [1_500_000, 2_500_000])
        .await;
    assert_eq!(told(&received).await, ["c"]);
    assert!(!second.is_finished());
    second.abort();
}
