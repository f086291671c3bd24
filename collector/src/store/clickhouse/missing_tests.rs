//! What ClickHouse takes for known, killed between writing its token down and keeping its rows: here it knows the token for
//! rows of another service, which lie in the same blocks.

use std::sync::Arc;

use appweight_wire::Deploy;
use clickhouse::{Client, Row, RowWrite};
use serde::Serialize;

use super::journal::Group;
use super::tests::{Place, account, full, reopen};
use super::{ClickhouseStore, connection};
use crate::store::{AlertStatus, NewBatch, PutOutcome, Store};
use crate::testing::{NOON, SECOND};

const DAY_US: u64 = 86_400 * SECOND;

/// A batch of two days, or of the first of them alone.
fn full_days(both: bool) -> NewBatch {
    let mut new = full(7, 1);
    if both {
        let batch = &mut new.batch;
        let mut requests = batch.requests.clone();
        let mut cells = batch.cells.clone();
        let mut processes = batch.processes.clone();
        (requests.iter_mut()).for_each(|request| request.start_us += DAY_US);
        (cells.iter_mut()).for_each(|cell| cell.key.start_us += DAY_US);
        (processes.iter_mut()).for_each(|process| process.start_us += DAY_US);
        batch.requests.extend(requests);
        batch.cells.extend(cells);
        batch.processes.extend(processes);
    }
    new
}

/// A group that a collector left in its journal, of which ClickHouse knows the blocks of both days, or of the first, without
/// having them.
async fn left_without_its_rows(place: &Place, both: bool) {
    let dead = ClickhouseStore::open(&place.options, None).await.unwrap();
    let mut writer = dead.writer.lock().await;
    let group = writer.leave_half_written(vec![full_days(true)]).await;
    let mut another = full_days(both);
    another.batch.origin.service = "another".into();
    let another = Group {
        made_us: group.made_us - 1,
        batches: vec![another],
        ..Group::clone(&group)
    };
    writer.insert_rows(&Arc::new(another)).await;
}

async fn whole() -> String {
    let place = Place::new();
    let store = ClickhouseStore::open(&place.options, None).await.unwrap();
    store.put_batch(full_days(true)).await.unwrap();
    account(&store).await
}

#[tokio::test]
async fn the_rows_of_a_group_come_in() {
    let whole = whole().await;
    for both in [true, false] {
        let place = Place::new();
        left_without_its_rows(&place, both).await;
        for _ in 0..2 {
            let store = reopen(&place.options).await;
            assert_eq!(account(&store).await, whole);
            let again = store.put_batch(full_days(true)).await.unwrap();
            assert_eq!(again, PutOutcome::Duplicate);
        }
    }
}

/// Some columns of a row of another service.
#[derive(Row, Serialize)]
struct AnotherRow {
    service: &'static str,
    version: u64,
}

#[derive(Row, Serialize)]
struct AnotherLease {
    version: u64,
}

async fn take_for_known<R>(client: &Client, table: &str, token: &str, row: R)
where
    R: for<'a> Row<Value<'a> = R> + RowWrite,
{
    // All other columns are empty.
    let client = &client.clone().with_validation(false);
    let taken = connection::insert(client, table, Some(token), vec![row]).await;
    taken.unwrap();
}

#[tokio::test]
async fn roll_outs_alerts_and_the_watch_go_on() {
    let place = Place::new();
    let store = ClickhouseStore::open(&place.options, None).await.unwrap();
    let client = &store.client;
    let deploy = Deploy {
        service: "photo".into(),
        id: "a".into(),
        started_us: NOON,
        ..Deploy::default()
    };
    let alert = AlertStatus {
        version: 1,
        ..AlertStatus::of(&deploy)
    };
    let row = || AnotherRow {
        service: "another",
        version: 1,
    };
    take_for_known(client, "deploys", "1 of photo", row()).await;
    let token = format!("alert 1 (\"photo\", \"a\", {NOON}) 1");
    take_for_known(client, "alerts", &token, row()).await;
    take_for_known(
        client,
        "watch_lease",
        "watch 1",
        AnotherLease { version: 0 },
    )
    .await;

    store.post_deploy(deploy.clone(), NOON).await.unwrap();
    assert_eq!(
        super::deploys::known_by(client, "photo", "a", NOON)
            .await
            .unwrap(),
        1
    );
    let late = AlertStatus {
        by: Some("Ada".into()),
        ..alert.clone()
    };
    assert!(store.put_alert_status(alert).await.unwrap());
    assert!(!store.put_alert_status(late).await.unwrap());
    assert!(store.hold_watch(NOON, NOON + SECOND).await.unwrap());
    let other = ClickhouseStore::open(&place.another_journal("other"), None)
        .await
        .unwrap();
    assert!(!other.hold_watch(NOON, NOON + SECOND).await.unwrap());
    let more = Deploy {
        id: "b".into(),
        started_us: NOON + SECOND,
        ..deploy
    };
    other.post_deploy(more, NOON + SECOND).await.unwrap();
    assert_eq!(
        super::deploys::known_by(client, "photo", "b", NOON + SECOND)
            .await
            .unwrap(),
        2
    );
}
