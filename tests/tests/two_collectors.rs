//! Two whole collectors on one ClickHouse: what one of them watches, and what of a source that moves from one to the other.
//!
//! Run by `cargo xtask test`, which starts ClickHouse's engine, or with `CLICKHOUSE_URL` on a server.
#![cfg(feature = "clickhouse")]

use std::path::Path;
use std::time::Duration;

use appweight_tests::{
    Clients, Collector, Receiver, an_hour_ago, announce, clickhouse_store, eventually,
    eventually_within, expect_all_once, failed_with, print_ledgers, random, roll_out,
};
use serde_json::json;

const SECOND: u64 = 1_000_000;
/// A lease that is not renewed runs out after half a minute, and is asked for every 5 s. The rest is for a busy machine.
const TAKES_OVER_WITHIN: Duration = Duration::from_secs(60);

fn start(folder: &Path, store: &str, receiver: &Receiver) -> Collector {
    Collector::start_in_on(folder, store, |command| {
        command.env("APPWEIGHT_ALERT_WEBHOOK", format!("{}/hook", receiver.url));
    })
}

fn watches(collector: &Collector) -> bool {
    let said = collector.said();
    said.rsplit_once("judges roll-outs from now on")
        .is_some_and(|(before, _)| before.ends_with("this collector "))
}

/// Waits until the only collector that is left watches.
fn takes_over(collector: &Collector) {
    eventually_within(TAKES_OVER_WITHIN, "it takes the watch over", || {
        watches(collector).then_some(()).ok_or(collector.said())
    });
}

/// The next message is of that deploy's alert, and whoever told it knows that it did.
fn told_once(receiver: &Receiver, deploy: &str, watcher: &Collector, messages: u64) {
    let told = eventually("an alert is told", || {
        let told = receiver.waiting();
        assert!(told.len() < 2, "{told:?}");
        told.into_iter().next().ok_or_else(|| {
            let report = watcher.get(&format!("/v1/deploys/{deploy}?service=photos"));
            format!("{} {}", report.text, watcher.said())
        })
    });
    assert_eq!(told.body["type"], "alert.open", "{told:?}");
    assert_eq!(told.body["data"]["deploy"]["id"], deploy, "{told:?}");
    eventually_within(
        TAKES_OVER_WITHIN,
        "it is kept what was told",
        || match watcher.metric("appweight_collector_alerts_told_total") {
            told if told == messages => Ok(()),
            told => Err(format!("{told} told")),
        },
    );
}

#[test]
fn one_of_two_watches_and_the_other_goes_on_when_it_is_killed_or_asked_to_end() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, receiver) = (clickhouse_store(), Receiver::start());
    let mut killed = start(first.path(), &store, &receiver);
    takes_over(&killed);
    let mut other = start(second.path(), &store, &receiver);
    let start_us = an_hour_ago();
    announce(
        &other,
        &json!({"service": "photos", "id": "a", "started_us": start_us - 60 * SECOND}),
    );
    roll_out(
        &[&other, &killed],
        start_us,
        ["a", "b"],
        [1_000_000, 1_300_000],
    );
    told_once(&receiver, "b", &killed, 1);
    assert!(!watches(&other), "one watches at a time");

    killed.kill();
    roll_out(
        &[&other],
        start_us + 100 * SECOND,
        ["b", "c"],
        [1_300_000, 1_700_000],
    );
    takes_over(&other);
    told_once(&receiver, "c", &other, 1);

    // Asked to end, it gives the watch back at once.
    let last = start(first.path(), &store, &receiver);
    assert!(!watches(&last));
    assert!(other.stop().success());
    roll_out(
        &[&last],
        start_us + 200 * SECOND,
        ["c", "d"],
        // More than all roll-outs before made it heavier, which is taken for what any restart does.
        [1_700_000, 3_400_000],
    );
    takes_over(&last);
    told_once(&receiver, "d", &last, 1);
    assert!(receiver.waiting().is_empty(), "an alert was told again");
}

#[test]
fn a_source_that_moves_with_a_batch_unanswered_is_counted_once() {
    let store = clickhouse_store();
    let mut collectors = [Collector::start_on(&store), Collector::start_on(&store)];
    let urls = [collectors[0].url.clone(), collectors[1].url.clone()];
    let clients = Clients::start_at(&[&urls[0], &urls[1]], 4);
    let mut random = random("kills of one of two");
    for round in 0..12 {
        clients.more(1);
        // Each kill meets another step of a group. Its clients move to the other with what was not answered.
        std::thread::sleep(Duration::from_micros(random.u64(0..300_000)));
        let one = &mut collectors[round % 2];
        one.kill();
        std::thread::sleep(Duration::from_micros(random.u64(0..300_000)));
        one.restart();
    }
    clients.more(3);
    let ledgers = clients.stop();
    print_ledgers("kills of one of two", &ledgers);
    assert!(failed_with(&ledgers, 0), "the kills met nobody");
    for collector in &collectors {
        expect_all_once(collector, &ledgers);
    }
}
