//! Copies from store to store, asked everything afterwards.

use std::time::Duration;

use async_trait::async_trait;

use super::tests::Place;
use super::{ClickhouseStore, Tables};
use crate::store::copy::{CopyError, Count, Part, Rows, Table, Transfer, copy, refuse_half_copied};
use crate::store::{AlertStatus, SqliteStore, Store, StoreError, suite};
use crate::testing::{NOON, SECOND, batch, cell, process, profile, request};

fn file(folder: &tempfile::TempDir, name: &str) -> SqliteStore {
    SqliteStore::open(&folder.path().join(name)).unwrap()
}

#[test]
fn copies_answer_as_what_they_are_of_and_go_on_alike() {
    suite::hold(
        3,
        (suite::deeds(), suite::deeds(), suite::questions()),
        async |(deeds, later, questions)| {
            let (folder, place) = (tempfile::tempdir().unwrap(), Place::new());
            let first = file(&folder, "first.db");
            suite::tell(&first, &deeds).await;
            let there = Tables::open(&place.options).await.unwrap();
            copy(&first, &there, |_| {}).await.unwrap();
            let clickhouse = ClickhouseStore::open(&place.options, None).await.unwrap();
            suite::same_answers(&first, &clickhouse).await;
            let back = file(&folder, "back.db");
            copy(&there, &back, |_| {}).await.unwrap();
            suite::same_answers(&first, &back).await;
            // Ids of batches, what is known of roll-outs, and how far the past is folded are there too.
            suite::both_answer_the_same(&back, &clickhouse, &later, &questions).await;
        },
    );
}

/// Something of everything, of two services and several hours.
async fn fill(store: &impl Store) {
    for at in 0..12_u64 {
        let start_us = NOON + at * 1_200 * SECOND;
        let mut batch = batch(u128::from(at % 3), at, "a");
        batch.origin.service = format!("service {}", at % 2);
        batch.cells = vec![cell(start_us, &[at + 1]), cell(start_us + SECOND, &[7])];
        batch.requests = vec![request(start_us, at), request(start_us, 3)];
        batch.processes = vec![process(start_us, 3)];
        let day = suite::day(&batch.origin.service, start_us, at);
        store.put_day(day).await.unwrap();
        batch.profiles = vec![profile(start_us, &[("feed", 5), ("feed;query", 7)])];
        store.put_batch(suite::new(batch)).await.unwrap();
    }
    for deploy in store.unjudged().await.unwrap() {
        for version in 1..3 {
            let status = AlertStatus {
                version,
                ..AlertStatus::of(&deploy)
            };
            assert!(store.put_alert_status(status).await.unwrap());
        }
    }
}

/// Lets a copy run for so long, then ends it where it is. Whether it came to its end.
fn cut_off(patience: Duration, copied: impl Future<Output = Result<(), CopyError>>) -> bool {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ended = runtime.block_on(async { tokio::time::timeout(patience, copied).await });
    runtime.shutdown_background();
    match ended {
        Ok(copied) => {
            copied.unwrap();
            true
        }
        Err(_) => false,
    }
}

#[test]
fn a_copy_that_is_cut_off_again_and_again_doubles_nothing() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (folder, place) = (tempfile::tempdir().unwrap(), Place::new());
    let (from, path) = (file(&folder, "from.db"), folder.path().join("to.db"));
    runtime.block_on(fill(&from));
    let (mut longest, mut times, mut random) = (60, 0, fastrand::Rng::with_seed(9));
    let mut patience = || {
        longest = longest * 5 / 4;
        Duration::from_millis(random.u64(longest / 2..longest))
    };
    let into_clickhouse = async || {
        let to = Tables::open(&place.options).await.unwrap();
        copy(&from, &to, |_| {}).await.map(drop)
    };
    while !cut_off(patience(), into_clickhouse()) {
        times += 1;
        if times == 6 {
            let opened = runtime.block_on(ClickhouseStore::open(&place.options, None));
            assert!(matches!(opened.err(), None | Some(StoreError::HalfCopied)));
        }
    }
    assert!(times > 3, "cut off only {times} times");
    let clickhouse = runtime.block_on(ClickhouseStore::open(&place.options, None));
    runtime.block_on(suite::same_accounts(&from, &clickhouse.unwrap()));

    let there = runtime.block_on(Tables::open(&place.options)).unwrap();
    let back = async || {
        let to = SqliteStore::open(&path).unwrap();
        copy(&there, &to, |_| {}).await.map(drop)
    };
    (longest, times) = (20, 0);
    let mut patience = || {
        longest = longest * 5 / 4;
        Duration::from_millis(random.u64(longest / 2..longest))
    };
    while !cut_off(patience(), back()) {
        times += 1;
    }
    assert!(times > 3, "cut off only {times} times");
    let back = SqliteStore::open(&path).unwrap();
    runtime.block_on(suite::same_accounts(&from, &back));
}

#[tokio::test]
async fn a_target_that_holds_anything_else_is_refused() {
    let (folder, place) = (tempfile::tempdir().unwrap(), Place::new());
    let (from, other) = (file(&folder, "from.db"), file(&folder, "other.db"));
    fill(&from).await;
    let to = Tables::open(&place.options).await.unwrap();
    copy(&from, &to, |_| {}).await.unwrap();
    // Again it changes nothing.
    let done = copy(&from, &to, |_| {}).await.unwrap();
    assert_eq!((done.parts, done.rows), (done.of_parts, done.of_rows));
    let mut new = batch(9, 9, "b");
    new.cells = vec![cell(NOON, &[5])];
    from.put_batch(suite::new(new.clone())).await.unwrap();
    let changed = copy(&from, &to, |_| {}).await;
    assert!(matches!(changed, Err(CopyError::Changed)), "{changed:?}");
    other.put_batch(suite::new(new)).await.unwrap();
    let full = copy(&from, &other, |_| {}).await;
    assert!(matches!(full, Err(CopyError::NotEmpty)), "{full:?}");
    assert!(refuse_half_copied(&other).await.is_ok());
}

/// Answers that request records are in, and does not keep them.
struct Forgetful(Tables);

#[async_trait]
impl Transfer for Forgetful {
    async fn counts(&self, table: Table) -> Result<Vec<Count>, StoreError> {
        self.0.counts(table).await
    }

    async fn take(&self, part: &Part) -> Result<Rows, StoreError> {
        self.0.take(part).await
    }

    async fn give(&self, source: &str, part: &str, rows: Rows) -> Result<(), StoreError> {
        let kept = match rows {
            Rows::Requests(_) => Rows::Mark,
            other => other,
        };
        self.0.give(source, part, kept).await
    }

    async fn given(&self) -> Result<Vec<(String, String)>, StoreError> {
        self.0.given().await
    }
}

#[tokio::test]
async fn a_target_that_lost_a_part_is_not_called_whole() {
    let (folder, place) = (tempfile::tempdir().unwrap(), Place::new());
    let from = file(&folder, "from.db");
    fill(&from).await;
    let to = Forgetful(Tables::open(&place.options).await.unwrap());
    for _ in 0..2 {
        let lost = copy(&from, &to, |_| {}).await.unwrap_err();
        assert_eq!(
            lost.to_string(),
            "the target has 0 of 24 rows of the requests, though it said that it has all: begin again with an empty target"
        );
        assert!(matches!(
            refuse_half_copied(&to).await,
            Err(StoreError::HalfCopied)
        ));
    }
}
