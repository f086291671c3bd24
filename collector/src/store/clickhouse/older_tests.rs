//! Process records of a database of before versions 10 and 11, brought up to date.

use super::tests::{Place, reopen};
use super::{ClickhouseStore, schema};
use crate::store::{ProcessQuery, Store, TimeRange, suite};
use crate::testing::{NOON, SECOND, batch, process};

async fn put(store: &ClickhouseStore, source: u128) {
    let mut batch = batch(source, 0, "a");
    batch.origin.cluster = "east".into();
    batch.processes = vec![process(NOON, 1)];
    // ClickHouse adds up what has no users.
    batch.processes[0].active_users = None;
    store.put_batch(suite::new(batch)).await.unwrap();
}

/// What a version adds to the table, column by column.
fn added_by(store: &ClickhouseStore, version: usize) -> Vec<String> {
    let statements = store.ddl.statements(schema::MIGRATIONS[version - 1]);
    assert_eq!(statements.len(), 1);
    let (_, columns) = statements[0].split_once("ALTER TABLE processes").unwrap();
    columns.split(",\n").map(str::to_owned).collect()
}

async fn run(store: &ClickhouseStore, sql: &str) {
    let done = store.client.query(sql).with_setting("mutations_sync", "1");
    done.execute().await.unwrap();
}

/// Brings a database back to what it was before a version.
async fn bring_back(store: &ClickhouseStore, version: usize) {
    for after in version..=11 {
        for column in added_by(store, after) {
            let (_, column) = column.split_once("IF NOT EXISTS ").unwrap();
            let name = column.split(' ').next().unwrap();
            run(store, &format!("ALTER TABLE processes DROP COLUMN {name}")).await;
        }
    }
    let versions = format!("ALTER TABLE schema_versions DELETE WHERE version >= {version}");
    run(store, &versions).await;
}

async fn clusters(store: &ClickhouseStore) -> Vec<String> {
    let query = ProcessQuery::all("photo", TimeRange::ALL);
    let points = store.process_points(query).await.unwrap().into_iter();
    points.map(|point| point.cluster).collect()
}

/// What all processes together took, ns.
async fn cpu_ns(store: &ClickhouseStore) -> u64 {
    let windows = store.windows("photo", TimeRange::ALL, SECOND);
    windows.await.unwrap().iter().map(|one| one.cpu_ns).sum()
}

#[tokio::test]
async fn older_records_have_no_cluster() {
    let place = Place::new();
    let store = ClickhouseStore::open(&place.options, None).await.unwrap();
    put(&store, 1).await;
    bring_back(&store, 11).await;
    drop(store);
    let store = reopen(&place.options).await;
    put(&store, 2).await;
    assert_eq!(clusters(&store).await, ["", "east"]);
}

#[tokio::test]
async fn a_version_that_was_cut_off_is_taken_up_again_at_the_next_start() {
    const EACH_NS: u64 = 500_000_000;
    let place = Place::new();
    let mut store = ClickhouseStore::open(&place.options, None).await.unwrap();
    put(&store, 1).await;
    let mut put_so_far = 1;
    for version in [10, 11] {
        let columns = added_by(&store, version);
        // After the last one it was not yet said that the version is there.
        for done in 1..=columns.len() {
            bring_back(&store, version).await;
            let some = columns[..done].join(",\n");
            run(&store, &format!("ALTER TABLE processes {some}")).await;
            drop(store);
            store = reopen(&place.options).await;
            assert_eq!(cpu_ns(&store).await, put_so_far * EACH_NS);
            put_so_far += 1;
            put(&store, u128::from(put_so_far)).await;
            assert_eq!(cpu_ns(&store).await, put_so_far * EACH_NS);
            let clusters = clusters(&store).await;
            assert_eq!(clusters.iter().filter(|one| *one == "east").count(), 1);
            let newest = "SELECT max(version) FROM schema_versions";
            let newest = store.client.query(newest).fetch_one::<u32>().await.unwrap();
            assert_eq!(newest as usize, schema::MIGRATIONS.len());
        }
    }
}
