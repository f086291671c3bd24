//! Databases of before versions 7 and 12, brought up to date.

use std::time::Duration;

use clickhouse::Client;
use uuid::Uuid;

use super::cell_rows::{ToldRow, sum_columns};
use super::fold::CELLS;
use super::tests::{Place, full, reopen};
use super::{ClickhouseStore, claims, connection, refill, schema};
use crate::store::{Horizons, PutOutcome, Store, StoreError, suite};
use crate::testing::{NOON, SECOND, batch, cell};

/// Long before ClickHouse gives an answer up, which it does after a minute.
const SOON: Duration = Duration::from_secs(40);
const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;

/// Versions whose cells are brought over from tables of before.
const VERSIONS: [i64; 2] = [refill::TABLE_FOR_EACH, refill::ONE_TABLE];

/// Brings a database back to the version before one of these, with all its cells in the tables of then.
async fn bring_back(store: &ClickhouseStore, version: i64) {
    let client = &store.client;
    let run = async |sql: &str| client.query(sql).execute().await.unwrap();
    let key = "service, width_us, deploy, kind, endpoint, cluster, instruction_source, age, flag_name, flag_value, host_group";
    let sums = sum_columns::<ToldRow>().collect::<Vec<_>>().join(", ");
    if version == refill::TABLE_FOR_EACH {
        let first = store.ddl.statements(schema::MIGRATIONS[0]);
        for statement in first.iter().filter(|one| one.contains("EXISTS cells ")) {
            run(statement).await;
        }
        run(&format!(
            "INSERT INTO cells ({key}, start_us, {sums}, minute_us, minute_width_us, hour_us, hour_width_us)
            SELECT {key}, start_us, {sums}, start_us - start_us % 60000000, greatest(width_us, 60000000),
                start_us - start_us % {HOUR}, {HOUR} FROM {CELLS} WHERE detail = 'hosts'"
        ))
        .await;
    } else {
        make(store, refill::TABLE_FOR_EACH).await;
        for (table, detail) in TABLES {
            run(&format!(
                "INSERT INTO {table} ({key}, start_us, {sums}) SELECT {key}, start_us, {sums} FROM {CELLS} WHERE detail = '{detail}'"
            ))
            .await;
        }
    }
    run(&format!("DROP TABLE {CELLS}")).await;
    run(&format!(
        "ALTER TABLE schema_versions DELETE WHERE version >= {version} SETTINGS mutations_sync = 1"
    ))
    .await;
}

/// Those of the version that had one for each detail.
const TABLES: [(&str, &str); 3] = [
    ("host_cells", "hosts"),
    ("minute_cells", "minutes"),
    ("hour_cells", "hours"),
];

/// Makes the tables of a version.
async fn make(store: &ClickhouseStore, version: i64) {
    for statement in (store.ddl).statements(schema::MIGRATIONS[version as usize - 1]) {
        store.client.query(&statement).execute().await.unwrap();
    }
}

/// A table that a version brings cells from.
fn source(version: i64) -> &'static str {
    if version == refill::TABLE_FOR_EACH {
        "cells"
    } else {
        "host_cells"
    }
}

/// Cells of two hosts, some of them of each age.
async fn filled(store: &ClickhouseStore) {
    for (sequence, days) in [1, 10, 40].into_iter().enumerate() {
        let start_us = NOON + 100 * DAY - days * DAY + 1_830 * SECOND;
        for host in [1, 2] {
            let mut batch = batch(host, sequence as u64, "a");
            batch.cells = (0..60)
                .map(|at| cell(start_us + at * SECOND, &[at + 1]))
                .collect();
            store.put_batch(suite::new(batch)).await.unwrap();
        }
    }
}

async fn fold(store: &ClickhouseStore) {
    let horizons = Horizons {
        hosts_us: NOON + 93 * DAY,
        minutes_us: NOON + 70 * DAY,
        ..Horizons::NONE
    };
    suite::forget(store, horizons).await;
}

async fn is_there(client: &Client, table: &str) -> bool {
    let there = format!("EXISTS TABLE {table}");
    client.query(&there).fetch_one::<u8>().await.unwrap() == 1
}

#[tokio::test]
async fn an_older_history_is_told_as_it_was() {
    for version in VERSIONS {
        for folded_before in [false, true] {
            let place = Place::new();
            let store = ClickhouseStore::open(&place.options, None).await.unwrap();
            filled(&store).await;
            let as_they_came = suite::all_cells(&store).await;
            bring_back(&store, version).await;
            if folded_before {
                for (step, until_us) in [("minutes", 93), ("hours", 70)] {
                    super::fold::tell(&store.client, step, NOON + until_us * DAY)
                        .await
                        .unwrap();
                }
            }
            drop(store);
            let store = reopen(&place.options).await;
            for table in ["cells", "host_cells", "minute_cells", "hour_cells"] {
                assert!(!is_there(&store.client, table).await, "{table}");
            }
            if !folded_before {
                assert_eq!(suite::all_cells(&store).await, as_they_came);
            }
            fold(&store).await;
            let (whole, _whole) = whole().await;
            assert_eq!(
                suite::all_cells(&store).await,
                suite::all_cells(&whole).await
            );
            // What came before is known, and what comes now is added.
            filled(&store).await;
            assert_eq!(
                suite::all_cells(&store).await,
                suite::all_cells(&whole).await
            );
        }
    }
}

#[tokio::test]
async fn a_start_does_not_wait_for_rows_that_are_rewritten() {
    let place = Place::new();
    let store = ClickhouseStore::open(&place.options, None).await.unwrap();
    filled(&store).await;
    let as_they_came = suite::all_cells(&store).await;
    bring_back(&store, refill::TABLE_FOR_EACH).await;
    let run = async |sql: &str| store.client.query(sql).execute().await.unwrap();
    run("ALTER TABLE schema_versions DELETE WHERE version >= 6 SETTINGS mutations_sync = 1").await;
    // Behind merges of days, as it were.
    run("SYSTEM STOP MERGES cells").await;
    drop(store);
    let opened = tokio::time::timeout(SOON, ClickhouseStore::open(&place.options, None)).await;
    let store = opened.expect("it waits").unwrap();
    assert_eq!(suite::all_cells(&store).await, as_they_came);
}

/// The same history that was never in one table, folded.
async fn whole() -> (ClickhouseStore, Place) {
    let place = Place::new();
    let store = ClickhouseStore::open(&place.options, None).await.unwrap();
    filled(&store).await;
    fold(&store).await;
    (store, place)
}

#[tokio::test]
async fn it_is_brought_over_once_however_often_it_is_cut_off() {
    for version in VERSIONS {
        let place = Place::new();
        let store = ClickhouseStore::open(&place.options, None).await.unwrap();
        filled(&store).await;
        let told = suite::all_cells(&store).await;
        bring_back(&store, version).await;
        let options = place.another_journal("other");
        drop(store);
        let mut cut_off = 0;
        let mut patience_ms = 5;
        let store = loop {
            let opening = ClickhouseStore::open(&options, None);
            let patience = std::time::Duration::from_millis(patience_ms);
            match tokio::time::timeout(patience, opening).await {
                Ok(opened) => break opened.unwrap(),
                Err(_) => (cut_off, patience_ms) = (cut_off + 1, patience_ms + 15),
            }
        };
        assert!(cut_off > 3, "cut off only {cut_off} times");
        assert_eq!(suite::all_cells(&store).await, told);
    }
}

#[tokio::test]
async fn two_collectors_bring_it_over_at_once() {
    for version in VERSIONS {
        let place = Place::new();
        let store = ClickhouseStore::open(&place.options, None).await.unwrap();
        filled(&store).await;
        let told = suite::all_cells(&store).await;
        bring_back(&store, version).await;
        make(&store, version).await;
        let (one, other) = tokio::join!(
            refill::refill(&store.client, &store.ddl, version),
            refill::refill(&store.client, &store.ddl, version)
        );
        // Whoever comes to a table that is gone by then starts again.
        assert!(one.is_ok() || other.is_ok(), "{one:?} {other:?}");
        let options = place.another_journal("other");
        let store = ClickhouseStore::open(&options, None).await.unwrap();
        assert_eq!(suite::all_cells(&store).await, told);
    }
}

#[tokio::test]
async fn nothing_is_brought_over_while_a_group_is_unfinished() {
    for version in VERSIONS {
        let place = Place::new();
        let store = ClickhouseStore::open(&place.options, None).await.unwrap();
        filled(&store).await;
        bring_back(&store, version).await;
        let group = super::journal::Group {
            id: Uuid::new_v4(),
            made_us: NOON,
            batches: vec![full(7, 0)],
            marked: true,
        };
        let collector = Uuid::new_v4();
        claims::claim(&store.client, collector, &group)
            .await
            .unwrap();
        let options = place.another_journal("other");
        let refused = ClickhouseStore::open(&options, None).await.err();
        assert!(
            matches!(refused, Some(StoreError::Unfinished { collector: named }) if named == collector),
            "{refused:?}"
        );
        // The version of before can go on, and finishes it.
        let row = format!(
            "INSERT INTO {} (service, n) VALUES ('late', 1)",
            source(version)
        );
        let client = connection::client(&place.options).with_database(&place.options.database);
        client.query(&row).execute().await.unwrap();
        claims::written(&client, collector, group.id, NOON)
            .await
            .unwrap();
        let store = ClickhouseStore::open(&options, None).await.unwrap();
        assert!(!is_there(&store.client, source(version)).await);
        let late = format!("SELECT max(n) FROM {CELLS} WHERE service = 'late'");
        let late = store.client.query(&late);
        assert_eq!(late.fetch_one::<u128>().await.unwrap(), 1);
        assert_eq!(
            store.put_batch(full(7, 0)).await.unwrap(),
            PutOutcome::Duplicate
        );
    }
}
