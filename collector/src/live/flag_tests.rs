use appweight_wire::{Batch, Cell, Flag};
use serde_json::json;

use super::tests::{alerts, look, put, report};
use crate::testing::{Bench, NOON, SECOND, batch, cell};

const MINUTE: u64 = 60 * SECOND;
/// A full minute.
const START: u64 = NOON - NOON % MINUTE;
const HOSTS: u64 = 8;
/// When the second deploy comes, on all hosts at once.
const ROLL_OUT: u64 = 90;
const REQUESTS: usize = 100;

/// How many of a minute's requests have the new ranker.
fn with_ranker(minute: u64) -> usize {
    match minute {
        0..75 => 0,
        75..82 => 1,
        82..92 => 10,
        92..97 => 50,
        _ => REQUESTS,
    }
}

/// What a host serves in a minute. The ranker makes `/feed` dearer by a fifth, on old code and new; half of the users have had the banner for ever, which
/// costs nothing. Requests tell of both, or of neither.
fn cells(minute: u64, host: u64, tells: bool) -> Vec<Cell> {
    let mut all = Vec::new();
    for (endpoint, dearer) in [("/feed", 120), ("/seen", 100)] {
        let mut seed = minute * 1_000 + host;
        let costs: Vec<u64> = (0..REQUESTS)
            .map(|at| {
                seed = seed
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let percent = if at < with_ranker(minute) {
                    dearer
                } else {
                    100
                };
                (9_000 + (seed >> 33) % 2_000) * percent * (100 + host) / 100
            })
            .collect();
        let mut add = |costs: &[u64], flag: Option<(&str, &str)>| {
            if costs.is_empty() {
                return;
            }
            let mut made = cell(START + minute * MINUTE, costs);
            made.key.width_us = MINUTE;
            made.key.endpoint = endpoint.to_owned();
            made.key.flag = flag.map(|(name, value)| Flag {
                name: name.into(),
                value: value.into(),
            });
            all.push(made);
        };
        add(&costs, None);
        if tells {
            let (on, off) = costs.split_at(with_ranker(minute));
            add(on, Some(("ranker", "on")));
            add(off, Some(("ranker", "off")));
            let half =
                |odd: usize| -> Vec<u64> { costs.iter().skip(odd).step_by(2).copied().collect() };
            add(&half(0), Some(("banner", "blue")));
            add(&half(1), Some(("banner", "red")));
        }
    }
    all
}

fn sent(minutes: std::ops::Range<u64>, host: u64, tells: bool) -> Batch {
    let deploy = if minutes.start >= ROLL_OUT { "b" } else { "a" };
    let source = u128::from(host) + if deploy == "b" { 100 } else { 1 };
    let mut batch = batch(source, minutes.start, deploy);
    batch.origin.host = format!("web-{host}");
    batch.cells = minutes
        .flat_map(|minute| cells(minute, host, tells))
        .collect();
    batch
}

/// A day with a deploy that changes nothing, during which a flag is ramped up.
async fn day(tells: bool) -> Bench {
    let bench = Bench::new();
    bench
        .post_deploy(json!({"service": "photo", "id": "a", "started_us": START}))
        .await;
    for minutes in (0..ROLL_OUT).step_by(10) {
        for host in 0..HOSTS {
            put(&bench, &sent(minutes..minutes + 10, host, tells)).await;
        }
    }
    for minutes in (ROLL_OUT..ROLL_OUT + 56).step_by(4) {
        for host in 0..HOSTS {
            put(&bench, &sent(minutes..minutes + 4, host, tells)).await;
        }
        look(&bench).await;
    }
    bench
}

#[tokio::test]
async fn a_ramp_is_not_charged_to_the_deploy_that_rolls_out_meanwhile() {
    let bench = day(true).await;
    let said = report(&bench).await;
    assert_eq!(said["detected"]["judges"], true, "{said}");
    assert_ne!(said["summary"]["verdict"], "regressed", "{said}");
    assert!(alerts(&bench).await.is_empty());

    let bench = day(false).await;
    let said = report(&bench).await;
    assert_eq!(said["summary"]["verdict"], "regressed", "{said}");
    assert_eq!(alerts(&bench).await.len(), 1, "nobody told of the flag");
}
