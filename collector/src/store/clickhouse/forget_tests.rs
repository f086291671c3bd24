use super::tests::{Place, account};
use super::*;
use crate::store::suite;
use crate::testing::{NOON, SECOND, batch, cell, process, profile, request};

const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;

/// What begins before is too old. It is in the midst of a day, of which the morning is too old as well.
const OLD: u64 = NOON + 3 * DAY;

const HORIZONS: Horizons = Horizons {
    records_us: OLD,
    batches_us: OLD,
    profiles_us: OLD,
    hosts_us: OLD + DAY,
    minutes_us: OLD + 2 * HOUR,
    cells_us: OLD - OLD % HOUR,
    deploys_us: 0,
};

/// Something of everything, all of it of that time.
fn full(sequence: u64, start_us: u64) -> NewBatch {
    let deploy = if start_us < OLD { "old" } else { "a" };
    let mut batch = batch(u128::from(sequence % 3), sequence, deploy);
    batch.cells = vec![
        cell(start_us, &[sequence + 1]),
        cell(start_us + SECOND, &[3]),
    ];
    batch.requests = vec![request(start_us, sequence), request(start_us, 7)];
    batch.processes = vec![process(start_us, 3)];
    batch.profiles = vec![profile(start_us, &[("feed", 5)])];
    NewBatch {
        received_us: start_us + 2 * SECOND,
        ..suite::new(batch)
    }
}

/// One that comes late: it is too old as soon as it is there.
fn late(sequence: u64, start_us: u64) -> NewBatch {
    NewBatch {
        received_us: OLD + HOUR,
        ..full(sequence, start_us)
    }
}

async fn open() -> (ClickhouseStore, Place) {
    let place = Place::new();
    (
        ClickhouseStore::open(&place.options, None).await.unwrap(),
        place,
    )
}

async fn put(store: &ClickhouseStore, batches: &[NewBatch]) {
    for outcome in store.put_batches(batches.to_vec()).await {
        assert_eq!(outcome.unwrap(), PutOutcome::Stored);
    }
}

/// Four days, three of which are too old as a whole, and the fourth to its middle.
fn days() -> (Vec<NewBatch>, Vec<NewBatch>) {
    let old = (0..8).map(|at| full(at, OLD - (at / 2) * DAY - HOUR));
    let kept = (8..12).map(|at| full(at, OLD + HOUR + at * SECOND));
    (old.collect(), kept.collect())
}

/// What a store says that was never told of anything too old.
async fn account_of_kept(kept: &[NewBatch]) -> String {
    let (whole, _place) = open().await;
    put(&whole, kept).await;
    suite::forget(&whole, HORIZONS).await;
    account(&whole).await
}

async fn mutations(store: &ClickhouseStore, table: &str) -> u64 {
    let mutations = "SELECT count() FROM system.mutations
        WHERE database = currentDatabase() AND table = ?";
    let mutations = store.client.query(mutations).bind(table);
    mutations.fetch_one().await.unwrap()
}

#[tokio::test]
async fn a_step_is_a_day_or_a_table_and_batches_come_in_between() {
    let (store, _place) = open().await;
    let (old, mut kept) = days();
    put(&store, &old).await;
    put(&store, &kept).await;
    let (mut steps, mut total) = (0, Forgotten::default());
    loop {
        let step = store.forget_some(HORIZONS).await.unwrap();
        let most = 4 + 2 * steps;
        assert!(step.records <= most && step.cells <= most, "{step:?}");
        let kinds = [step.records, step.batches, step.profiles, step.cells];
        let kinds = kinds.iter().filter(|rows| **rows > 0).count();
        assert!(kinds <= 1, "{step:?}");
        total.add(step);
        steps += 1;
        if !step.more {
            break;
        }
        let new = full(100 + steps, OLD + 2 * HOUR + steps * SECOND);
        put(&store, &[late(200 + steps, OLD - DAY), new.clone()]).await;
        kept.push(new);
    }
    assert!(steps > 15, "{steps} steps of {total:?}");
    assert!(total.records >= 24 && total.cells >= 16, "{total:?}");
    assert_eq!(total.batches, 8);
    assert!(total.profiles > 0, "{total:?}");
    // What came when its day was done goes the next time.
    suite::forget(&store, HORIZONS).await;
    assert_eq!(account(&store).await, account_of_kept(&kept).await);
    let again = store.put_batches(kept).await;
    let again = again.into_iter().map(Result::unwrap);
    assert!(again.into_iter().all(|one| one == PutOutcome::Duplicate));
}

#[tokio::test]
async fn whole_days_go_without_a_row_being_written_anew() {
    let (store, _place) = open().await;
    let (old, kept) = days();
    put(&store, &old).await;
    put(&store, &kept).await;
    let tables = ["requests", "costliest", "processes", fold::CELLS];
    let mut before = Vec::new();
    for table in tables {
        before.push(mutations(&store, table).await);
    }
    suite::forget(&store, HORIZONS).await;
    for (table, before) in tables.into_iter().zip(before) {
        let of_morning = mutations(&store, table).await - before;
        assert_eq!(of_morning, 1, "{table}");
        let parts = "SELECT uniqExact(partition_id) FROM system.parts
            WHERE active AND database = currentDatabase() AND table = ?";
        let parts = store.client.query(parts).bind(table);
        assert_eq!(parts.fetch_one::<u64>().await.unwrap(), 1, "{table}");
    }
    // What was marked alone goes too when its day is over.
    let tomorrow = Horizons {
        records_us: OLD + DAY,
        cells_us: HORIZONS.cells_us + DAY,
        ..HORIZONS
    };
    let left = Horizons {
        records_us: OLD + 2 * HOUR,
        cells_us: HORIZONS.cells_us + 2 * HOUR,
        ..HORIZONS
    };
    suite::forget(&store, left).await;
    assert_eq!(suite::all_cells(&store).await, []);
    suite::forget(&store, tomorrow).await;
    let parts = "SELECT sum(rows) FROM system.parts WHERE active AND database = currentDatabase()
        AND table IN ('requests', 'costliest', 'processes', 'cells_by_detail')";
    let rows = store.client.query(parts).fetch_one::<u64>().await;
    assert_eq!(rows.unwrap(), 0);
}

/// `max_partition_size_to_drop` is 50 GB where nobody set it.
#[tokio::test]
async fn a_day_that_may_not_be_dropped_is_deleted_as_the_rest_is() {
    let (mut store, _place) = open().await;
    let (old, kept) = days();
    put(&store, &old).await;
    put(&store, &kept).await;
    let behind = store.behind.clone();
    store.behind = behind.with_setting("max_partition_size_to_drop", "1");
    let before = mutations(&store, "requests").await;
    let forgotten = suite::forget(&store, HORIZONS).await;
    assert_eq!((forgotten.records, forgotten.cells), (24, 16));
    assert_eq!(mutations(&store, "requests").await, before + 1);
    assert_eq!(account(&store).await, account_of_kept(&kept).await);
}

#[tokio::test]
async fn batches_that_meet_the_retention_count_once() {
    let (store, _place) = open().await;
    let (old, mut kept) = days();
    put(&store, &old).await;
    put(&store, &kept).await;
    let groups: Vec<[NewBatch; 3]> = (0..40)
        .map(|at| {
            let sequence = 1_000 + 3 * at;
            [
                full(sequence, OLD + 3 * HOUR + at * SECOND),
                late(sequence + 1, OLD - (at % 4) * DAY - 2 * HOUR),
                full(sequence + 2, OLD + (at % 9) * HOUR + (100 + at) * SECOND),
            ]
        })
        .collect();
    for [one, _, other] in &groups {
        kept.extend([one.clone(), other.clone()]);
    }
    let writing = store.clone();
    let writer = tokio::spawn(async move {
        for group in &groups {
            put(&writing, group).await;
        }
    });
    let mut passes = 0;
    while !writer.is_finished() {
        suite::forget(&store, HORIZONS).await;
        passes += 1;
    }
    writer.await.unwrap();
    assert!(passes > 1, "they never met");
    suite::forget(&store, HORIZONS).await;
    assert_eq!(account(&store).await, account_of_kept(&kept).await);
}
