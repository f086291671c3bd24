use std::time::Duration;

use appweight_wire::Origin;
use proptest::prelude::*;

use super::*;
use crate::store::clickhouse::ClickhouseStore;
use crate::store::clickhouse::tests::Place;
use crate::store::{Horizons, NewBatch, RequestOrder, Store, TimeRange, suite};
use crate::testing::{NOON, batch, request};

const FEW: Kept = Kept {
    of_deploy: 4,
    of_endpoint: 2,
};

/// Deploy, endpoint, instructions, CPU time and start of a request.
type Given = (u8, u8, Option<u64>, Option<u64>, u64);

fn groups() -> impl Strategy<Value = Vec<Vec<Given>>> {
    let cpu_ns = prop::option::weighted(0.9, 0_u64..40);
    let request = (
        0_u8..2,
        0_u8..3,
        prop::option::weighted(0.1, 0_u64..3),
        cpu_ns,
        0_u64..5,
    );
    prop::collection::vec(prop::collection::vec(request, 0..30), 1..6)
}

/// Which come first, by the group and the place in it; `None` if that cannot be told.
fn first(
    rows: &[CostlyRow<'_>],
    wanted: usize,
    asked_for: impl Fn(&CostlyRow<'_>) -> bool,
) -> Option<Vec<(u64, u32)>> {
    let mut rows: Vec<_> = rows.iter().filter(|row| asked_for(row)).collect();
    rows.sort_by_key(|row| Reverse((row.cost, row.start_us, row.arrived_us, row.position)));
    let first = rows.into_iter().take(wanted);
    first
        .map(|row| (!row.record.is_empty()).then_some((row.arrived_us, row.position)))
        .collect()
}

proptest! {
    #[test]
    fn what_is_told_of_the_costliest_is_so(
        groups in groups(), wanted in 1_usize..20, deploy in prop::option::of(0_u8..2),
        endpoint in prop::option::of(0_u8..3), from_us in 0_u64..5,
    ) {
        let groups: Vec<Vec<(Origin, RequestRecord)>> = groups.into_iter().map(|group| {
            let requests = group.into_iter().map(|(deploy, endpoint, instructions, cpu_ns, start_us)| {
                let origin = Origin { service: "feed".into(), deploy: deploy.to_string(), ..Origin::default() };
                let endpoint = endpoint.to_string();
                (origin, RequestRecord { endpoint, instructions, cpu_ns, start_us, ..RequestRecord::default() })
            });
            requests.collect()
        }).collect();
        let (mut some, mut all) = (Vec::new(), Vec::new());
        for (arrived_us, group) in (1..).zip(&groups) {
            let arrived: Vec<Arrived<'_>> = (1..).zip(group)
                .map(|(position, (origin, request))| (origin, request, arrived_us, position))
                .collect();
            all.extend(arrived.iter().map(|&arrived| CostlyRow::of(arrived)));
            some.extend(chosen(arrived, FEW));
        }
        let asked_for = |row: &CostlyRow<'_>| {
            deploy.is_none_or(|deploy| row.deploy == deploy.to_string())
                && endpoint.is_none_or(|endpoint| row.endpoint == endpoint.to_string())
                && (row.record.is_empty() || row.start_us >= from_us)
        };
        let truth = first(&all, wanted, asked_for);
        let told = first(&some, wanted, asked_for);
        prop_assert!(told.is_none() || told == truth, "{told:?} {truth:?}");
        // One of a group's costliest of a deploy is always told.
        if endpoint.is_none() && from_us == 0 && groups.len() == 1 && wanted <= FEW.of_deploy && deploy.is_some() {
            prop_assert_eq!(told, truth);
        }
    }
}

#[test]
fn what_says_that_some_are_left_out_stays_as_long_as_they_do() {
    let origin = Origin::default();
    let requests: Vec<RequestRecord> = (0..20)
        .map(|at| RequestRecord {
            cpu_ns: Some(100 - at),
            start_us: [3, 9, 5][at as usize % 3],
            ..RequestRecord::default()
        })
        .collect();
    let arrived = (1..).zip(&requests);
    let arrived = arrived.map(|(position, request)| (&origin, request, 1, position));
    let rows = chosen(arrived.collect(), FEW);
    assert_eq!(rows.len(), FEW.of_deploy + 1);
    let left_out = rows.last().unwrap();
    assert!(left_out.record.is_empty());
    assert_eq!(
        (left_out.cost, left_out.start_us),
        (cost(&requests[4]) + 1, 9)
    );
}

/// One batch of so many requests of an endpoint, the cheapest first.
fn many(source: u128, count: u64) -> NewBatch {
    let mut new = batch(source, 0, "a");
    new.requests = (1..=count)
        .map(|cpu_ns| request(NOON + cpu_ns, cpu_ns))
        .collect();
    suite::new(new)
}

fn asked(skip: u32, limit: u32) -> RequestQuery {
    RequestQuery {
        service: "photo".into(),
        endpoint: None,
        deploy: Some("a".into()),
        time: TimeRange::ALL,
        order: RequestOrder::Cost,
        skip,
        limit,
    }
}

async fn costs(store: &ClickhouseStore, skip: u32, limit: u32) -> Vec<u64> {
    let found = store.requests(asked(skip, limit)).await.unwrap();
    found
        .iter()
        .filter_map(|found| found.request.cpu_ns)
        .collect()
}

async fn is_known(store: &ClickhouseStore, skip: u32, limit: u32) -> bool {
    let found = super::requests(&store.client, &asked(skip, limit)).await;
    found.unwrap().is_some()
}

#[tokio::test]
async fn what_was_left_out_is_found_all_the_same() {
    let place = Place::new();
    let store = ClickhouseStore::open(&place.options, None).await.unwrap();
    store.put_batch(many(1, 300)).await.unwrap();
    assert!(is_known(&store, 27, 101).await);
    assert_eq!(
        costs(&store, 27, 101).await,
        Vec::from_iter((173..=273).rev())
    );
    assert!(!is_known(&store, 28, 101).await);
    assert_eq!(
        costs(&store, 28, 101).await,
        Vec::from_iter((172..=272).rev())
    );
    // What is forgotten holds nobody up.
    let horizons = Horizons {
        records_us: NOON + 250,
        ..Horizons::NONE
    };
    suite::forget(&store, horizons).await;
    assert!(is_known(&store, 0, 101).await);
    assert_eq!(
        costs(&store, 0, 101).await,
        Vec::from_iter((250..=300).rev())
    );
}

#[tokio::test]
async fn a_history_without_them_is_told_as_it_was() {
    let place = Place::new();
    let store = ClickhouseStore::open(&place.options, None).await.unwrap();
    store.put_batch(many(1, 300)).await.unwrap();
    for back in [
        "DROP TABLE costliest",
        "ALTER TABLE requests DROP CONSTRAINT numbered_from_1",
        "ALTER TABLE schema_versions DELETE WHERE version >= 9 SETTINGS mutations_sync = 1",
    ] {
        store.client.query(back).execute().await.unwrap();
    }
    let options = place.another_journal("other");
    drop(store);
    let (mut cut_off, mut patience_ms) = (0, 5);
    let store = loop {
        let opening = ClickhouseStore::open(&options, None);
        match tokio::time::timeout(Duration::from_millis(patience_ms), opening).await {
            Ok(opened) => break opened.unwrap(),
            Err(_) => (cut_off, patience_ms) = (cut_off + 1, patience_ms + 5),
        }
    };
    assert!(cut_off > 3, "cut off only {cut_off} times");
    assert_eq!(
        costs(&store, 0, 101).await,
        Vec::from_iter((200..=300).rev())
    );
    // What comes now is among them, and a collector of before brings no more.
    store.put_batch(many(2, 310)).await.unwrap();
    let newest = costs(&store, 0, 12).await;
    assert_eq!(newest[..10], Vec::from_iter((301..=310).rev()));
    assert_eq!(newest[10..], [300, 300]);
    let late = "INSERT INTO requests (service, start_us) VALUES ('late', 1)";
    assert!(store.client.query(late).execute().await.is_err());
}
