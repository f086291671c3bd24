//! The program on ClickHouse: whatever is killed, what was acknowledged is counted, once.
//!
//! Run by `cargo xtask test`, which starts ClickHouse's engine, or with `CLICKHOUSE_URL` on a server.
#![cfg(feature = "clickhouse")]

use std::time::Duration;

use appweight_tests::{
    Clients, Collector, KillableClickhouse, Measured, Service, clickhouse_store, expect_all_once,
    failed_with, get, print_ledgers, run,
};

#[test]
fn an_agents_requests_are_counted_and_recorded() {
    const REQUESTS: u64 = 200;
    let collector = Collector::start_on(&clickhouse_store());
    let service = Service::start(Measured::by(&collector.url, "a", "web-1"), 1);
    for _ in 0..REQUESTS {
        let answer = get(&format!("{}/hello/Kim", service.url));
        assert_eq!(answer.expect("the service answers").status, 200);
    }
    assert!(service.stop(Duration::from_secs(20)), "all of it is sent");
    collector.expect_requests("small", "a", &[("/hello/{name}", REQUESTS)]);
    let recorded = collector.get("/v1/requests?service=small&deploy=a&limit=500");
    let recorded = recorded.json().as_array().map_or(0, Vec::len);
    assert_eq!(recorded as u64, REQUESTS);
    let deploys = collector.get("/v1/deploys?service=small").json();
    let deploys = deploys.as_array().into_iter().flatten();
    let deploys = deploys
        .filter(|deploy| deploy["deploy"]["id"] == "a")
        .count();
    assert_eq!(deploys, 1, "seen first in a record");
}

fn said(words: &[&str]) -> String {
    let ended = run(words);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    ended.stdout
}

#[test]
fn a_history_moves_to_clickhouse_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    let mut collector = Collector::start_in(folder.path());
    let clients = Clients::start(&collector.url, 2);
    clients.more(20);
    let ledgers = clients.stop();
    collector.kill();
    let (there, back) = (clickhouse_store(), file("back.db"));
    let copied = said(&["collector", "copy", &file("appweight.db"), &there]);
    assert!(copied.contains(" is copied to "), "{copied}");
    expect_all_once(&Collector::start_on(&there), &ledgers);
    said(&["collector", "copy", &there, &back]);
    let current = said(&["collector", "migrate", "--store", &back]);
    assert!(current.contains("already"), "{current}");
    let current = said(&["collector", "migrate", "--store", &there]);
    assert!(current.contains("already"), "{current}");
    let again = run(&["collector", "copy", &file("back.db"), &file("appweight.db")]);
    assert!(again.stderr.contains("backup"), "{}", again.stderr);
    std::fs::rename(
        folder.path().join("back.db"),
        folder.path().join("appweight.db"),
    )
    .unwrap();
    for left in ["appweight.db-wal", "appweight.db-shm"] {
        // Of the file that was there before.
        let _ = std::fs::remove_file(folder.path().join(left));
    }
    expect_all_once(&Collector::start_in(folder.path()), &ledgers);
}

#[test]
fn a_collector_that_is_killed_again_and_again_loses_nothing_and_doubles_nothing() {
    let mut collector = Collector::start_on(&clickhouse_store());
    let clients = Clients::start(&collector.url, 4);
    clients.more(1);
    for round in 0..15_u64 {
        if round.is_multiple_of(3) {
            clients.more(1);
        }
        // Times that differ, so that each kill meets another step of a group.
        std::thread::sleep(Duration::from_millis(100 + round * 67 % 300));
        collector.kill();
        collector.restart();
    }
    clients.more(3);
    let ledgers = clients.stop();
    print_ledgers("kills of the collector", &ledgers);
    assert!(failed_with(&ledgers, 0), "the kills met nobody");
    expect_all_once(&collector, &ledgers);
}

#[test]
fn a_clickhouse_that_is_killed_again_and_again_loses_nothing_and_doubles_nothing() {
    let Some(mut clickhouse) = KillableClickhouse::start() else {
        assert!(std::env::var_os("CLICKHOUSE_URL").is_some());
        return;
    };
    let collector = Collector::start_on(&clickhouse.store());
    let clients = Clients::start(&collector.url, 4);
    clients.more(1);
    for round in 0..10_u64 {
        if round.is_multiple_of(2) {
            clients.more(1);
        }
        std::thread::sleep(Duration::from_millis(100 + round * 53 % 300));
        clickhouse.kill();
        clickhouse.restart();
    }
    clients.more(3);
    let ledgers = clients.stop();
    print_ledgers("kills of ClickHouse", &ledgers);
    assert!(failed_with(&ledgers, 503), "the kills met nobody");
    expect_all_once(&collector, &ledgers);
}
