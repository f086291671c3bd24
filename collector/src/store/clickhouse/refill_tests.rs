//! A database of before version 7, brought up to date.

use std::time::Duration;

use clickhouse::Client;
use uuid::Uuid;

use super::cell_rows::{ToldRow, sum_columns};
use super::tests::{Place, full, reopen};
use super::{ClickhouseStore, claims, connection, refill, schema};
use crate::store::{Horizons, PutOutcome, Store, StoreError, suite};
use crate::testing::{NOON, SECOND, batch, cell};

/// Long before ClickHouse gives an answer up, which it does after a minute.
const SOON: Duration = Duration::from_secs(40);
const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;

/// Brings a database back to the version before, with all that is in its tables of each detail in the one of then.
async fn bring_back(store: &ClickhouseStore) {
    let client = &store.client;
    let run = async |sql: &str| client.query(sql).execute().await.unwrap();
    let first = store.ddl.statements(schema::MIGRATIONS[0]);
    for statement in first.iter().filter(|one| one.contains("EXISTS cells ")) {
        run(statement).await;
    }
    let key = "service, width_us, deploy, kind, endpoint, cluster, instruction_source, age, flag_name, flag_value, host_group";
    let sums = sum_columns::<ToldRow>().collect::<Vec<_>>().join(", ");
    run(&format!(
        "INSERT INTO cells ({key}, start_us, {sums}, minute_us, minute_width_us, hour_us, hour_width_us)
        SELECT {key}, start_us, {sums}, start_us - start_us % 60000000, greatest(width_us, 60000000),
            start_us - start_us % {HOUR}, {HOUR} FROM host_cells"
    ))
    .await;
    for table in ["host_cells", "minute_cells", "hour_cells"] {
        run(&format!("DROP TABLE {table}")).await;
    }
    run("ALTER TABLE schema_versions DELETE WHERE version >= 7 SETTINGS mutations_sync = 1").await;
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
async fn a_history_in_one_table_is_told_as_it_was() {
    for folded_before in [false, true] {
        let place = Place::new();
        let store = ClickhouseStore::open(&place.options, None).await.unwrap();
        filled(&store).await;
        let as_they_came = suite::all_cells(&store).await;
        bring_back(&store).await;
        if folded_before {
            for (step, until_us) in [("minutes", 93), ("hours", 70)] {
                super::fold::tell(&store.client, step, NOON + until_us * DAY)
                    .await
                    .unwrap();
            }
        }
        drop(store);
        let store = reopen(&place.options).await;
        assert!(!is_there(&store.client, "cells").await);
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

#[tokio::test]
async fn a_start_does_not_wait_for_rows_that_are_rewritten() {
    let place = Place::new();
    let store = ClickhouseStore::open(&place.options, None).await.unwrap();
    filled(&store).await;
    let as_they_came = suite::all_cells(&store).await;
    bring_back(&store).await;
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
    let place = Place::new();
    let store = ClickhouseStore::open(&place.options, None).await.unwrap();
    filled(&store).await;
    let told = suite::all_cells(&store).await;
    bring_back(&store).await;
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

#[tokio::test]
async fn two_collectors_bring_it_over_at_once() {
    let place = Place::new();
    let store = ClickhouseStore::open(&place.options, None).await.unwrap();
    filled(&store).await;
    let told = suite::all_cells(&store).await;
    bring_back(&store).await;
    for statement in store.ddl.statements(schema::MIGRATIONS[6]) {
        store.client.query(&statement).execute().await.unwrap();
    }
    let (one, other) = tokio::join!(
        refill::refill(&store.client, &store.ddl),
        refill::refill(&store.client, &store.ddl)
    );
    // Whoever comes to a table that is gone by then starts again.
    assert!(one.is_ok() || other.is_ok(), "{one:?} {other:?}");
    assert_eq!(suite::all_cells(&store).await, told);
}

#[tokio::test]
async fn nothing_is_brought_over_while_a_group_is_unfinished() {
    let place = Place::new();
    let store = ClickhouseStore::open(&place.options, None).await.unwrap();
    filled(&store).await;
    bring_back(&store).await;
    let group = super::journal::Group {
        id: Uuid::new_v4(),
        made_us: NOON,
        batches: vec![full(7, 0)],
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
    let row = "INSERT INTO cells (service, n) VALUES ('late', 1)";
    let client = connection::client(&place.options).with_database(&place.options.database);
    client.query(row).execute().await.unwrap();
    claims::written(&client, collector, group.id, NOON)
        .await
        .unwrap();
    let store = ClickhouseStore::open(&options, None).await.unwrap();
    assert!(!is_there(&store.client, "cells").await);
    let late = store
        .client
        .query("SELECT sum(n) FROM hour_cells WHERE service = 'late'");
    assert_eq!(late.fetch_one::<u128>().await.unwrap(), 1);
    assert_eq!(
        store.put_batch(full(7, 0)).await.unwrap(),
        PutOutcome::Duplicate
    );
}
