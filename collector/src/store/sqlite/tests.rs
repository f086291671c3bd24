use super::*;
use crate::store::suite;
use crate::testing::{NOON, SECOND, batch, cell, long_process, request};

fn open() -> (SqliteStore, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (
        SqliteStore::open(&folder.path().join("test.db")).unwrap(),
        folder,
    )
}

suite::store_suite!(open());

#[tokio::test]
async fn one_of_two_collectors_has_the_watch() {
    let (first, folder) = open();
    let second = SqliteStore::open(&folder.path().join("test.db")).unwrap();
    suite::one_of_two_has_the_watch(first, second).await;
}

#[test]
fn any_order_with_duplicates_gives_the_same_cells() {
    suite::hold(24, suite::deliveries(), async |(batches, order)| {
        let ((plain, _a), (shuffled, _b)) = (open(), open());
        suite::delivered_in_any_order(&plain, &shuffled, &batches, &order).await;
    });
}

#[test]
fn folding_loses_nothing_and_counts_nothing_twice() {
    suite::hold(24, suite::events(), async |events| {
        let (store, _kept) = open();
        suite::sums_outlive_folding(&store, &events).await;
    });
}

#[tokio::test]
async fn commits_are_made_to_last() {
    let (store, _folder) = open();
    let settings = store.write(|writer| {
        let journal: String = writer.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
        let synchronous: i64 = writer.pragma_query_value(None, "synchronous", |row| row.get(0))?;
        let foreign_keys: bool =
            writer.pragma_query_value(None, "foreign_keys", |row| row.get(0))?;
        Ok((journal, synchronous, foreign_keys))
    });
    assert_eq!(settings.await.unwrap(), ("wal".to_owned(), 2, true));
}

#[tokio::test]
async fn a_reader_cannot_write() {
    let (store, _folder) = open();
    let written = store
        .read(|reader| Ok(reader.execute("DELETE FROM cells", [])?))
        .await;
    assert!(matches!(written, Err(StoreError::Database(_))));
}

#[tokio::test]
async fn a_full_disk_leaves_nothing_half_written() {
    let (store, _folder) = open();
    let mut large = batch(1, 0, "a");
    large.cells = vec![cell(NOON, &[5])];
    large.requests = (0..50_000)
        .map(|at| request(NOON + at * SECOND, at))
        .collect();
    let large = suite::new(large);
    store.leave_room_for(Some(5)).await;
    assert!(matches!(
        store.put_batch(large.clone()).await,
        Err(StoreError::Database(_))
    ));
    assert!(suite::all_cells(&store).await.is_empty());
    assert!(store.services().await.unwrap().is_empty());
    store.leave_room_for(None).await;
    assert_eq!(store.put_batch(large).await.unwrap(), PutOutcome::Stored);
}

#[tokio::test]
async fn one_batch_that_cannot_be_kept_does_not_keep_others_out() {
    let (store, _folder) = open();
    let of = |sequence, start_us| {
        let mut batch = batch(1, sequence, "a");
        batch.cells = vec![cell(start_us, &[5])];
        suite::new(batch)
    };
    store.put_batch(of(0, NOON)).await.unwrap();
    let spoil = store.write(|writer| Ok(writer.execute("UPDATE cells SET metrics = x'ff'", [])?));
    assert_eq!(spoil.await.unwrap(), 1);
    let outcomes = store
        .put_batches(vec![
            of(1, NOON + SECOND),
            of(2, NOON),
            of(3, NOON + SECOND),
        ])
        .await;
    assert!(matches!(
        outcomes[..],
        [
            Ok(PutOutcome::Stored),
            Err(StoreError::Corrupt { .. }),
            Ok(PutOutcome::Stored)
        ]
    ));
    // Not even its id was kept.
    let again = store.put_batch(of(2, NOON)).await;
    assert!(matches!(again, Err(StoreError::Corrupt { .. })));
}

#[tokio::test]
async fn a_group_that_fails_is_told_so_one_by_one() {
    let (store, folder) = open();
    store.put_batch(suite::new(batch(1, 0, "a"))).await.unwrap();
    let impatient = store.write(|writer| Ok(writer.busy_timeout(Duration::ZERO)?));
    impatient.await.unwrap();
    let other = Connection::open(folder.path().join("test.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let group = || vec![suite::new(batch(1, 1, "a")), suite::new(batch(1, 2, "a"))];
    let outcomes = store.put_batches(group()).await;
    assert!(matches!(
        outcomes[..],
        [Err(StoreError::Group(_)), Err(StoreError::Group(_))]
    ));
    other.execute_batch("COMMIT").unwrap();
    for outcome in store.put_batches(group()).await {
        assert_eq!(outcome.unwrap(), PutOutcome::Stored);
    }
}

#[tokio::test]
async fn a_panic_does_not_stop_the_writer() {
    let (store, _folder) = open();
    let panicked: Result<(), StoreError> = store.write(|_| panic!("on purpose")).await;
    assert!(matches!(panicked, Err(StoreError::Cut(_))));
    store.put_batch(suite::new(batch(1, 0, "a"))).await.unwrap();
}

#[tokio::test]
async fn a_step_is_short_and_batches_come_in_between() {
    let (store, _folder) = open();
    let mut large = batch(1, 0, "a");
    large.requests = (0..9_000).map(|at| request(NOON + at, at)).collect();
    large.cells = (0..3_500)
        .map(|second| cell(NOON + second * SECOND, &[second]))
        .collect();
    store.put_batch(suite::new(large)).await.unwrap();
    let horizons = Horizons {
        records_us: u64::MAX / 4,
        hosts_us: NOON + 3_600 * SECOND,
        ..Horizons::NONE
    };
    let (mut steps, mut total) = (0, Forgotten::default());
    loop {
        let step = store.forget_some(horizons).await.unwrap();
        assert!(step.records <= 2_000 && step.folded <= 1_000, "{step:?}");
        steps += 1;
        total.add(step);
        let mut late = batch(2, steps, "a");
        late.cells = vec![cell(NOON + (9 * steps) * SECOND, &[5])];
        store.put_batch(suite::new(late)).await.unwrap();
        if !step.more {
            break;
        }
    }
    assert_eq!(total.records, 9_000);
    assert!(total.folded >= 3_500, "{total:?}");
    let counted: u64 = suite::all_cells(&store)
        .await
        .iter()
        .map(|placed| placed.cell.n)
        .sum();
    assert_eq!(counted, 3_500 + steps);
}

#[tokio::test]
async fn what_was_forgotten_is_given_back_to_the_disk() {
    let (store, _folder) = open();
    for sequence in 0..20 {
        let mut large = batch(1, sequence, "a");
        large.processes = (0..1_000).map(|at| long_process(NOON + at)).collect();
        store.put_batch(suite::new(large)).await.unwrap();
    }
    let before = store.disk_use().await.unwrap();
    let horizons = Horizons {
        records_us: u64::MAX / 4,
        ..Horizons::NONE
    };
    let forgotten = suite::forget(&store, horizons).await;
    assert_eq!(forgotten.records, 20_000);
    store.close().await.unwrap();
    let after = store.disk_use().await.unwrap();
    assert!(after.bytes < before.bytes / 2, "{after:?} of {before:?}");
    assert!(after.reusable_bytes < before.bytes / 2, "{after:?}");
    assert!(forgotten.bytes > before.bytes / 3, "{forgotten:?}");
}

/// As many programs before made them.
#[tokio::test]
async fn a_file_that_cannot_shrink_is_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.db");
    Connection::open(&path)
        .unwrap()
        .execute_batch("PRAGMA auto_vacuum = NONE; CREATE TABLE before (x); DROP TABLE before")
        .unwrap();
    let store = SqliteStore::open(&path).unwrap();
    let mut large = batch(1, 0, "a");
    large.processes = (0..9_000).map(|at| long_process(NOON + at)).collect();
    store.put_batch(suite::new(large)).await.unwrap();
    let horizons = Horizons {
        records_us: u64::MAX / 4,
        ..Horizons::NONE
    };
    let forgotten = suite::forget(&store, horizons).await;
    assert_eq!((forgotten.records, forgotten.bytes), (9_000, 0));
    let disk = store.disk_use().await.unwrap();
    assert!(disk.reusable_bytes > 10_000_000, "{disk:?}");
}

/// As programs before wrote them.
#[tokio::test]
async fn cells_with_named_metrics_are_read_and_added_to() {
    let (store, _folder) = open();
    let of = |sequence, cpu_ns: &[u64]| {
        let mut batch = batch(1, sequence, "a");
        batch.cells = vec![cell(NOON, cpu_ns)];
        suite::new(batch)
    };
    store.put_batch(of(0, &[5, 7])).await.unwrap();
    let named = cell(NOON, &[5, 7]);
    let named = serde_json::json!({
        "instructions": named.instructions,
        "cpu_ns": named.cpu_ns,
        "wall_ns": named.wall_ns,
        "allocated_bytes": named.allocated_bytes,
    });
    let write = store.write(move |writer| {
        let metrics = code::pack(&named);
        Ok(writer.execute("UPDATE cells SET metrics = ?1", [metrics])?)
    });
    assert_eq!(write.await.unwrap(), 1);
    assert_eq!(suite::all_cells(&store).await[0].cell, cell(NOON, &[5, 7]));
    store.put_batch(of(1, &[9])).await.unwrap();
    assert_eq!(
        suite::all_cells(&store).await[0].cell,
        cell(NOON, &[5, 7, 9])
    );
}
