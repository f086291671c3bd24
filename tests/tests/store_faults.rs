//! What was acknowledged is in the store, once, whatever happens to the collector, its disk or its file: compared
//! with the ledgers of clients that send each batch until it is acknowledged, and some of them again.

use std::time::Duration;

use appweight_tests::{
    ByHand, Clients, Collector, SmallDisk, an_hour_ago, compare_ledgers, drains_when_asked_to_end,
    eventually, expect_all_once, expect_ledgers, failed_with, left_out, limit_files, print_ledgers,
    random, run, survives_a_full_disk, unlimit_files,
};

const MIB: usize = 1 << 20;

#[test]
fn fifty_kills_under_load_lose_nothing_and_double_nothing() {
    let mut collector = Collector::start();
    let clients = Clients::start(&collector.url, 4);
    let mut random = random("kills");
    for _ in 0..50 {
        std::thread::sleep(Duration::from_micros(random.u64(10_000..100_000)));
        collector.kill();
        collector.restart();
    }
    clients.more(5);
    let ledgers = clients.stop();
    print_ledgers("kills", &ledgers);
    assert!(failed_with(&ledgers, 0), "the kills met nobody");
    expect_all_once(&collector, &ledgers);
}

#[test]
fn a_ledger_finds_whatever_is_missing_or_there_twice() {
    let collector = Collector::start();
    let clients = Clients::start(&collector.url, 2);
    clients.more(8);
    let ledgers = clients.stop();
    expect_ledgers(&collector, &ledgers);
    let file = rusqlite::Connection::open(collector.database()).unwrap();
    file.busy_timeout(Duration::from_secs(5)).unwrap();
    // What is compared first is spoiled last.
    for (found, spoil) in [
        (
            "process records",
            "UPDATE processes SET host = 'web-9' WHERE rowid = (SELECT min(rowid) FROM processes)",
        ),
        // Lost in one minute and doubled in another.
        (
            "cells",
            "UPDATE cells SET weight = weight + iif(start_us = (SELECT min(start_us) FROM cells
                WHERE deploy = 'a'), 1, -1) WHERE deploy = 'a' AND flag_value = 'v2'",
        ),
        (
            "profiles",
            "UPDATE profiles SET requests = requests + 1 WHERE rowid = (SELECT min(rowid) FROM profiles)",
        ),
        (
            "request records",
            "DELETE FROM request_blocks WHERE rowid = (SELECT min(rowid) FROM request_blocks)",
        ),
        (
            "what processes weigh",
            "INSERT INTO processes SELECT * FROM processes WHERE rowid = (SELECT min(rowid) FROM processes)",
        ),
        (
            "counts of b",
            "UPDATE cells SET weight = weight + 1 WHERE deploy = 'b'",
        ),
    ] {
        assert!(file.execute(spoil, []).unwrap() > 0, "{spoil}");
        let why = compare_ledgers(&collector, &ledgers).expect_err(found);
        assert!(why.starts_with(found), "{why}");
    }
}

#[test]
fn a_collector_that_is_asked_to_end_stores_and_answers_what_waits() {
    drains_when_asked_to_end(&mut Collector::start(), 10);
}

#[test]
fn a_full_disk_loses_nothing_and_is_written_again_when_there_is_room() {
    let disk = match SmallDisk::mount(3 * MIB) {
        Ok(disk) => disk,
        Err(error) => {
            // Only root may. The next test has a limit instead of a disk, which everybody may set.
            left_out(format_args!("no disk can be mounted here: {error}"));
            return;
        }
    };
    let collector = Collector::start_in(disk.path());
    let ballast = std::cell::RefCell::new(None);
    survives_a_full_disk(
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
    survives_a_full_disk(
        &collector,
        "limit of files",
        || {},
        || unlimit_files(process),
    );
}

#[test]
fn a_disk_that_is_protected_from_writing_is_told_at_the_start() {
    let disk = match SmallDisk::mount(3 * MIB) {
        Ok(disk) => disk,
        Err(error) => {
            left_out(format_args!("no disk can be mounted here: {error}"));
            return;
        }
    };
    let mut collector = Collector::start_in(disk.path());
    let known = collector.database();
    assert!(collector.stop().success());
    disk.protect().expect("nobody writes to it");
    for database in [known, disk.path().join("new.db")] {
        let database = database.display().to_string();
        let refused = run(&["serve", "--listen", "127.0.0.1:0", "--database", &database]);
        assert_eq!(refused.code, 2);
        let told = [&database, "cannot be written", "mounted for writing"];
        let is_told = told.iter().all(|told| refused.stderr.contains(*told));
        assert!(is_told, "{}", refused.stderr);
    }
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
fn a_collector_that_starts_on_a_locked_file_says_so_and_loses_nothing() {
    let mut collector = Collector::start();
    let clients = Clients::start(&collector.url, 4);
    clients.more(3);
    let other = rusqlite::Connection::open(collector.database()).unwrap();
    other.busy_timeout(Duration::from_secs(5)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    collector.kill();
    let file = collector.database().display().to_string();
    let refused = run(&["serve", "--listen", "127.0.0.1:0", "--database", &file]);
    assert_eq!(refused.code, 2);
    let told = [&file, "database is locked"];
    let is_told = told.iter().all(|told| refused.stderr.contains(*told));
    assert!(is_told, "{}", refused.stderr);
    other.execute_batch("COMMIT").unwrap();
    collector.restart();
    clients.more(3);
    let ledgers = clients.stop();
    print_ledgers("lock over a restart", &ledgers);
    assert!(failed_with(&ledgers, 0), "nobody noticed");
    expect_all_once(&collector, &ledgers);
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
