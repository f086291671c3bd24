//! Process records of a database of before version 11, brought up to date.

use super::ClickhouseStore;
use super::tests::{Place, reopen};
use crate::store::{ProcessQuery, Store, TimeRange, suite};
use crate::testing::{NOON, batch, process};

async fn put(store: &ClickhouseStore, source: u128) {
    let mut batch = batch(source, 0, "a");
    batch.origin.cluster = "east".into();
    batch.processes = vec![process(NOON, 1)];
    store.put_batch(suite::new(batch)).await.unwrap();
}

#[tokio::test]
async fn older_records_have_no_cluster() {
    let place = Place::new();
    let store = ClickhouseStore::open(&place.options, None).await.unwrap();
    put(&store, 1).await;
    for back in [
        "ALTER TABLE processes DROP COLUMN cluster",
        "ALTER TABLE schema_versions DELETE WHERE version >= 11",
    ] {
        let back = (store.client.query(back)).with_setting("mutations_sync", "1");
        back.execute().await.unwrap();
    }
    drop(store);
    let store = reopen(&place.options).await;
    put(&store, 2).await;
    let query = ProcessQuery::all("photo", TimeRange::ALL);
    let points = store.process_points(query).await.unwrap();
    let points = points.iter();
    let told: Vec<_> = points
        .map(|point| (&*point.host, &*point.cluster))
        .collect();
    assert_eq!(told, [("web-1", ""), ("web-2", "east")]);
}
