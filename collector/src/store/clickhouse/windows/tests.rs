use appweight::weight::weigh;
use proptest::prelude::*;

use super::super::ClickhouseStore;
use super::super::tests::Place;
use crate::store::windows::tests::record;
use crate::store::{SqliteStore, Store, TimeRange, suite};
use crate::testing::{SECOND, batch};

#[test]
fn windows_are_those_of_the_other_store() {
    let records = prop::collection::vec(record(), 0..30);
    let cases = (records, 1_u64..9, any::<bool>());
    suite::hold(8, cases, async |(records, window, before)| {
        let place = Place::new();
        let store = ClickhouseStore::open(&place.options, None).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let sqlite = SqliteStore::open(&folder.path().join("test.db")).unwrap();
        for (sequence, some) in records.chunks(7).enumerate() {
            let mut batch = batch(1, sequence as u64, "a");
            batch.processes = some.to_vec();
            for store in [&store as &dyn Store, &sqlite] {
                store.put_batch(suite::new(batch.clone())).await.unwrap();
            }
            if before {
                // As older collectors wrote it.
                bring_back(&store).await;
            }
        }
        let window_us = window * SECOND;
        let (mut told, mut other) = (Vec::new(), Vec::new());
        for (store, points) in [(&store as &dyn Store, &mut told), (&sqlite, &mut other)] {
            let found = store.windows("photo", TimeRange::ALL, window_us).await;
            *points = weigh(&found.unwrap(), window_us).points;
        }
        let told = told.iter().map(|point| format!("{point:?}"));
        let other = other.iter().map(|point| format!("{point:?}"));
        assert_eq!(Vec::from_iter(told), Vec::from_iter(other));
    });
}

async fn bring_back(store: &ClickhouseStore) {
    let back = "ALTER TABLE processes UPDATE summed = false, cpu_ns = 0 WHERE true SETTINGS mutations_sync = 1";
    store.client.query(back).execute().await.unwrap();
}
