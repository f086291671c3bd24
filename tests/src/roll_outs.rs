use serde_json::{Value, json};

use crate::by_hand::ByHand;
use crate::collector::Collector;
use crate::http::post;
use crate::wait::eventually;

const SECOND: u64 = 1_000_000;

/// Posts a deploy.
///
/// # Panics
/// If it is not taken.
pub fn announce(collector: &Collector, deploy: &Value) {
    let url = format!("{}/v1/deploys", collector.url);
    let answer = post(&url, "application/json", deploy.to_string().as_bytes()).expect("it answers");
    assert!(matches!(answer.status, 200 | 201), "{answer:?}");
}

/// A minute in which two hosts of `photos` run the first deploy and two the second, at those costs. The hosts send to these
/// collectors by turns.
///
/// # Panics
/// If something of it is not taken.
pub fn roll_out(collectors: &[&Collector], start_us: u64, ids: [&str; 2], costs_ns: [u64; 2]) {
    announce(
        collectors[0],
        &json!({"service": "photos", "id": ids[1], "started_us": start_us, "title": "feed: two models"}),
    );
    let hosts = [("web-1", 0), ("web-2", 0), ("web-3", 1), ("web-4", 1)];
    for ((host, side), collector) in hosts.into_iter().zip(collectors.iter().cycle()) {
        let mut client = ByHand::new(&collector.url, "photos", ids[side], host);
        let requests: Vec<Value> = (0..60 * 20)
            .map(|at| {
                let cpu_ns = costs_ns[side] * (90 + (at * 7) % 21) / 100;
                ByHand::request(start_us + at * SECOND / 20, "/feed", cpu_ns)
            })
            .collect();
        let batch = client.batch(&requests);
        let sent = client.send(&batch).expect("it answers");
        assert_eq!(sent.status, 201, "{sent:?}");
    }
    let ended_us = start_us + 60 * SECOND;
    let end =
        json!({"service": "photos", "id": ids[1], "started_us": start_us, "ended_us": ended_us});
    announce(collectors[0], &end);
}

/// Waits until there is a final report of a deploy of `photos`.
///
/// # Panics
/// If there is none for half a minute.
pub fn judged(collector: &Collector, id: &str) {
    eventually("the roll-out is judged", || {
        let report = collector
            .get(&format!("/v1/deploys/{id}?service=photos"))
            .json();
        match report["summary"]["status"].as_str() {
            Some("judged") => Ok(()),
            _ => Err(report.to_string()),
        }
    });
}
