//! What was acknowledged is in the store, once, whatever happens to the collector, its disk or its file: compared
//! with the ledgers of clients that send each batch until it is acknowledged, and some of them again.

#![expect(
    clippy::print_stdout,
    reason = "how much was lost on the way and sent again is for whoever reads the test's output"
)]

use std::time::Duration;

use appweight_tests::{
    ByHand, Clients, Collector, Ledger, SmallDisk, an_hour_ago, eventually, expect_all_once,
    expect_ledgers, failed_with, limit_files, print_ledgers, unlimit_files,
};

const MIB: usize = 1 << 20;

#[test]
fn fifty_kills_under_load_lose_nothing_and_double_nothing() {
    let mut collector = Collector::start();
    let clients = Clients::start(&collector.url, 4);
    for round in 0..50_u64 {
        // Times that differ, so that each kill meets another moment of a commit.
        std::thread::sleep(Duration::from_millis(10 + round * 37 % 90));
        collector.kill();
        collector.restart();
    }
    clients.more(5);
    let ledgers = clients.stop();
    print_ledgers("kills", &ledgers);
    assert!(failed_with(&ledgers, 0), "the kills met nobody");
    expect_all_once(&collector, &ledgers);
}

/// Clients meet a disk that is full, and then has room again.
fn survives(collector: &Collector, what: &str, fill: impl FnOnce(), give_room: impl FnOnce()) {
    let clients = Clients::start(&collector.url, 4);
    clients.more(3);
    fill();
    eventually("the disk is full", || {
        let failed = collector.metric(r#"appweight_collector_batches_total{outcome="failed"} "#);
        (failed > 8).then_some(()).ok_or(failed.to_string())
    });
    // What is there can still be read, and what fails is told as such.
    assert_eq!(collector.get("/v1/services").status, 200);
    let mut client = ByHand::new(&collector.url, "other", "a", "web-9");
    let refused = eventually("a batch is refused", || {
        let batch = client.batch(&[ByHand::request(an_hour_ago(), "/full", 1)]);
        let answer = client.send(&batch)?;
        (answer.status == 503)
            .then_some(answer.clone())
            .ok_or(answer.text)
    });
    assert_eq!(refused.content_type, "application/problem+json");
    let before = clients.acknowledged();
    give_room();
    clients.more(3);
    let ledgers = clients.stop();
    print_ledgers(what, &ledgers);
    println!("{what}: {before:?} batches were acknowledged when there was room again");
    assert!(failed_with(&ledgers, 503), "nobody noticed");
    let known: usize = ledgers.iter().map(Ledger::len).sum();
    assert!(known > before.iter().sum::<u64>() as usize);
    expect_ledgers(collector, &ledgers);
}

#[test]
fn a_full_disk_loses_nothing_and_is_written_again_when_there_is_room() {
    let disk = match SmallDisk::mount(3 * MIB) {
        Ok(disk) => disk,
        Err(error) => {
            // Only root may. The next test has a limit instead of a disk, which everybody may set.
            println!("NOT RUN on a real full disk, since none can be mounted here: {error}");
            return;
        }
    };
    let collector = Collector::start_in(disk.path());
    let ballast = std::cell::RefCell::new(None);
    survives(
        &collector,
        "full disk",
        || *ballast.borrow_mut() = Some(disk.fill()),
        || {
            let ballast = ballast.take().expect("it was filled");
            std::fs::remove_file(ballast).expect("it can be removed");
        },
    );
}

#[test]
fn a_file_that_may_not_grow_loses_nothing_and_is_written_again_when_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let collector = Collector::start_with(folder.path(), |command| {
        limit_files(command, 2 * MIB as u64);
    });
    let process = collector.process();
    survives(
        &collector,
        "limit of files",
        || {},
        || unlimit_files(process),
    );
}

#[test]
fn a_file_that_another_process_locks_is_waited_for() {
    let collector = Collector::start();
    let clients = Clients::start(&collector.url, 4);
    clients.more(3);
    let other = rusqlite::Connection::open(collector.database()).unwrap();
    other.busy_timeout(Duration::from_secs(5)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // The collector waits 10 s for a lock, then tells its clients so.
    eventually("the clients are told", || {
        let failed = collector.metric(r#"appweight_collector_batches_total{outcome="failed"} "#);
        (failed > 0).then_some(()).ok_or(failed.to_string())
    });
    assert_eq!(collector.get("/v1/services").status, 200, "readers go on");
    other.execute_batch("COMMIT").unwrap();
    clients.more(3);
    let ledgers = clients.stop();
    print_ledgers("lock", &ledgers);
    assert!(failed_with(&ledgers, 503), "nobody noticed");
    expect_ledgers(&collector, &ledgers);
}

#[test]
fn other_bytes_under_a_known_id_are_refused_and_change_nothing() {
    let mut collector = Collector::start();
    let mut client = ByHand::new(&collector.url, "photos", "a", "web-1");
    let batch = client.batch(&[ByHand::request(an_hour_ago(), "/feed", 700_000)]);
    assert_eq!(client.send(&batch).unwrap().status, 201);
    let mut other = batch.clone();
    other["requests"] = vec![ByHand::request(an_hour_ago(), "/feed", 900_000)].into();
    for _ in 0..2 {
        let answer = client.send(&other).unwrap();
        assert_eq!(
            (answer.status, answer.json()["field"].as_str()),
            (409, Some("uuid")),
            "{answer:?}"
        );
        // A restart forgets no id.
        collector.kill();
        collector.restart();
    }
    assert_eq!(client.send(&batch).unwrap().status, 200);
    let counted = collector.counted("photos", "a").unwrap()["/feed"];
    assert_eq!((counted.requests, counted.cpu_ns as u64), (1, 700_000));
}
