//! A source that moves to another collector while a batch of it is unanswered, and a journal that is found again late.

use uuid::Uuid;

use super::fold::CELLS;
use super::group_rows::cells_of;
use super::tests::{Place, full, reopen};
use super::{ClickhouseStore, connection};
use crate::store::{NewBatch, PutOutcome, Store, StoreError, suite};

/// Two collectors of a database.
async fn two(place: &Place) -> (ClickhouseStore, ClickhouseStore) {
    let other = place.another_journal("other");
    (
        ClickhouseStore::open(&place.options, None).await.unwrap(),
        ClickhouseStore::open(&other, None).await.unwrap(),
    )
}

/// A collector dies with a group in its journal, of which the cells may be in already. Returns its id.
async fn dies(dead: ClickhouseStore, batches: Vec<NewBatch>, cells_are_in: bool) -> Uuid {
    let mut writer = dead.writer.lock().await;
    let group = writer.leave_half_written(batches.clone()).await;
    if cells_are_in {
        let token = group.id.to_string();
        let rows = cells_of(&group, writer.journal.collector);
        (connection::insert(&dead.client, CELLS, Some(&token), rows).await).unwrap();
    }
    writer.journal.collector
}

/// The statement with which docs/clickhouse.md has an operator decide what becomes of the group.
fn decision(collector: Uuid, state: &str) -> String {
    let told = include_str!("../../../../docs/clickhouse.md");
    let (_, after) = told.split_once("```sql").unwrap();
    let (statement, _) = after.split_once("```").unwrap();
    let named = statement.replace("'COLLECTOR'", &format!("'{collector}'"));
    named.replace("'written'", &format!("'{state}'"))
}

async fn decide(store: &ClickhouseStore, collector: Uuid, state: &str) {
    let statement = decision(collector, state);
    store.client.query(&statement).execute().await.unwrap();
}

/// How many requests the cells count.
async fn counted(store: &ClickhouseStore) -> u64 {
    let cells = suite::all_cells(store).await;
    cells.iter().map(|placed| placed.cell.n).sum()
}

async fn is_elsewhere(store: &ClickhouseStore, batch: NewBatch, collector: Uuid) {
    let refused = store.put_batch(batch).await;
    assert!(
        matches!(&refused, Err(StoreError::Elsewhere { collector: named }) if *named == collector),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_batch_that_a_dead_collector_was_writing_waits_for_it() {
    let place = Place::new();
    let (dead, other) = two(&place).await;
    let dead = dies(dead, vec![full(1, 0)], false).await;
    // Its claim tells the other.
    is_elsewhere(&other, full(1, 0), dead).await;
    assert_eq!(
        other.put_batch(full(1, 1)).await.unwrap(),
        PutOutcome::Stored
    );
    assert_eq!(
        suite::all_cells(&other).await.len(),
        2,
        "those of the second alone"
    );
    let _back = reopen(&place.options).await;
    assert_eq!(
        other.put_batch(full(1, 0)).await.unwrap(),
        PutOutcome::Duplicate
    );
    assert_eq!(counted(&other).await, 4);
}

#[tokio::test]
async fn a_group_that_is_given_up_as_written_counts_nothing_twice() {
    let place = Place::new();
    let (dead, other) = two(&place).await;
    let dead = dies(dead, vec![full(1, 0)], true).await;
    is_elsewhere(&other, full(1, 0), dead).await;
    decide(&other, dead, "written").await;
    assert_eq!(
        other.put_batch(full(1, 0)).await.unwrap(),
        PutOutcome::Duplicate
    );
    assert_eq!(counted(&other).await, 2, "its cells were in");
    assert_eq!(
        other.put_batch(full(1, 1)).await.unwrap(),
        PutOutcome::Stored
    );
    // Should its journal come back after all, nothing of it is written.
    let back = reopen(&place.options).await;
    assert_eq!(
        back.put_batch(full(1, 0)).await.unwrap(),
        PutOutcome::Duplicate
    );
    assert_eq!(counted(&back).await, 4);
}

#[tokio::test]
async fn a_group_that_is_given_up_as_withdrawn_loses_nothing() {
    let place = Place::new();
    let (dead, other) = two(&place).await;
    let dead = dies(dead, vec![full(1, 0)], false).await;
    is_elsewhere(&other, full(1, 0), dead).await;
    decide(&other, dead, "withdrawn").await;
    assert_eq!(
        other.put_batch(full(1, 0)).await.unwrap(),
        PutOutcome::Stored
    );
    assert_eq!(counted(&other).await, 2);
    let back = reopen(&place.options).await;
    assert_eq!(
        back.put_batch(full(1, 0)).await.unwrap(),
        PutOutcome::Duplicate
    );
    assert_eq!(counted(&back).await, 2);
}

#[tokio::test]
async fn only_groups_that_nothing_was_said_of_are_decided() {
    let place = Place::new();
    let (first, other) = two(&place).await;
    assert_eq!(
        first.put_batch(full(1, 0)).await.unwrap(),
        PutOutcome::Stored
    );
    first.close().await.unwrap();
    let first = dies(first, vec![full(1, 1)], false).await;
    decide(&other, first, "withdrawn").await;
    assert_eq!(
        other.put_batch(full(1, 0)).await.unwrap(),
        PutOutcome::Duplicate
    );
    assert_eq!(
        other.put_batch(full(1, 1)).await.unwrap(),
        PutOutcome::Stored
    );
    assert_eq!(counted(&other).await, 4);
}

/// So many groups were written by others since.
async fn others_write(store: &ClickhouseStore, groups: u64) {
    let sql = "INSERT INTO groups SELECT generateUUIDv4(), generateUUIDv4(), 'written',
        toUnixTimestamp64Micro(now64(6)) + 1000000 + number FROM numbers(?)";
    store
        .client
        .query(sql)
        .bind(groups)
        .execute()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_journal_that_is_found_too_late_is_not_written_again() {
    let place = Place::new();
    let (dead, other) = two(&place).await;
    let dead = dies(dead, vec![full(1, 0)], true).await;
    others_write(&other, 10_001).await;
    let opened = ClickhouseStore::open(&place.options, None).await;
    let refused = opened.err();
    assert!(
        matches!(refused, Some(StoreError::JournalTooOld { groups: 10_001 })),
        "{refused:?}"
    );
    assert!(refused.unwrap().to_string().contains("docs/clickhouse.md"));
    // As it is told there.
    decide(&other, dead, "written").await;
    let in_journal = std::fs::read_dir(&place.options.journal).unwrap();
    let groups = in_journal.map(|entry| entry.unwrap().path());
    let groups: Vec<_> = groups
        .filter(|path| path.extension().is_some_and(|what| what == "group"))
        .collect();
    assert_eq!(groups.len(), 1);
    std::fs::remove_file(&groups[0]).unwrap();
    let back = ClickhouseStore::open(&place.options, None).await.unwrap();
    assert_eq!(
        back.put_batch(full(1, 0)).await.unwrap(),
        PutOutcome::Duplicate
    );
    assert_eq!(counted(&back).await, 2);
}

#[tokio::test]
async fn a_journal_that_is_found_in_time_is_written_again() {
    let place = Place::new();
    let (dead, other) = two(&place).await;
    let _dead = dies(dead, vec![full(1, 0)], true).await;
    others_write(&other, 10_000).await;
    let back = reopen(&place.options).await;
    assert_eq!(counted(&back).await, 2);
    assert_eq!(
        other.put_batch(full(1, 0)).await.unwrap(),
        PutOutcome::Duplicate
    );
}
