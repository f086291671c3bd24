use appweight_wire::Flag;
use proptest::prelude::*;

use super::*;
use crate::store::sqlite::schema;
use crate::store::{SqliteStore, Store, TimeRange, suite};
use crate::testing::{NOON, batch, request};

fn open() -> (SqliteStore, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("test.db")).unwrap();
    (store, folder)
}

fn all(order: RequestOrder) -> RequestQuery {
    RequestQuery {
        service: "photo".into(),
        endpoint: None,
        deploy: None,
        time: TimeRange::ALL,
        order,
        skip: 0,
        limit: 10_000,
    }
}

fn any_record() -> impl Strategy<Value = RequestRecord> {
    let few = || proptest::option::of(0..5_u64);
    (0..40_u64, few(), few(), 0..2_u8).prop_map(|(at, instructions, cpu_ns, endpoint)| {
        let mut record = request(NOON + at, 1);
        record.instructions = instructions;
        record.cpu_ns = cpu_ns;
        record.endpoint = format!("/{endpoint}");
        record
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever blocks are not opened hold no better answer.
    #[test]
    fn the_best_are_found_without_opening_all(
        batches in proptest::collection::vec(proptest::collection::vec(any_record(), 1..8), 1..8),
        (from, length) in (0..40_u64, 1..40_u64),
        endpoint in proptest::option::of(0..2_u8),
        (skip, limit) in (0..4_u32, 0..6_u32),
        by_time in any::<bool>(),
        packed in any::<bool>(),
    ) {
        let (store, _folder) = open();
        let query = RequestQuery {
            endpoint: endpoint.map(|endpoint| format!("/{endpoint}")),
            time: TimeRange { from_us: NOON + from, until_us: NOON + from + length },
            order: if by_time { RequestOrder::Time } else { RequestOrder::Cost },
            skip,
            limit,
            ..all(RequestOrder::Time)
        };
        let mut expected: Vec<(Rank, RequestRecord)> = Vec::new();
        for (block, records) in (1..).zip(&batches) {
            for (at, record) in records.iter().enumerate() {
                let by = if by_time { (None, None) } else { (record.instructions, record.cpu_ns) };
                let wanted = query.endpoint.as_ref().is_none_or(|endpoint| *endpoint == record.endpoint);
                if wanted && (query.time.from_us..query.time.until_us).contains(&record.start_us) {
                    expected.push(((by, record.start_us, block, at), record.clone()));
                }
            }
        }
        expected.sort_by_key(|(rank, _)| Reverse(*rank));
        let expected = expected.into_iter().map(|(_, record)| record);
        let expected: Vec<_> = expected.skip(skip as usize).take(limit as usize).collect();
        let found = tokio::runtime::Runtime::new().unwrap().block_on(async {
            for (sequence, records) in (0..).zip(batches) {
                let mut batch = batch(1, sequence, "a");
                batch.requests = records;
                let mut new = suite::new(batch);
                if packed {
                    let records = std::mem::take(&mut new.batch.requests);
                    let packed = PackedRequests::check(pack_requests(&records)).unwrap();
                    assert!(store.keeps_packed(&packed));
                    new.packed = Some(packed);
                }
                store.put_batch(new).await.unwrap();
            }
            store.requests(query).await.unwrap()
        });
        let found: Vec<_> = found.into_iter().map(|view| view.request).collect();
        prop_assert_eq!(found, expected);
    }
}

/// As many texts as a body may bring: what is written can be read.
#[tokio::test]
async fn records_of_many_long_texts_are_kept_apart() {
    let (store, _folder) = open();
    let mut batch = batch(1, 0, "a");
    batch.requests = (0..1_500)
        .map(|at| RequestRecord {
            flags: (0..64)
                .map(|flag| Flag {
                    name: format!("{flag:0>30}"),
                    value: format!("{at}-{flag:0>100}"),
                })
                .collect(),
            ..request(NOON + at, at)
        })
        .collect();
    let records = batch.requests.clone();
    store.put_batch(suite::new(batch)).await.unwrap();
    let mut found = store.requests(all(RequestOrder::Time)).await.unwrap();
    found.reverse();
    assert!(found.into_iter().map(|view| view.request).eq(records));
}

#[tokio::test]
async fn a_block_that_straddles_the_horizon_keeps_the_rest() {
    let (store, _folder) = open();
    let mut batch = batch(1, 0, "a");
    batch.requests = (0..10).map(|at| request(NOON + at, 100 - at)).collect();
    store.put_batch(suite::new(batch)).await.unwrap();
    let horizons = crate::store::Horizons {
        records_us: NOON + 4,
        ..crate::store::Horizons::NONE
    };
    assert_eq!(suite::forget(&store, horizons).await.records, 4);
    let found = store.requests(all(RequestOrder::Cost)).await.unwrap();
    let costs: Vec<_> = found.iter().map(|view| view.request.cpu_ns).collect();
    assert_eq!(costs, [96, 95, 94, 93, 92, 91].map(Some));
    assert_eq!(suite::forget(&store, horizons).await.records, 0);
}

#[test]
fn rows_of_older_files_become_blocks() {
    let mut connection = Connection::open_in_memory().unwrap();
    schema::up_to(&mut connection, 4);
    let add = "INSERT INTO requests VALUES ('photo', ?1, 'web-1', ?2, ?3, NULL, ?4, ?5)";
    for at in 0..2_500 {
        let record = request(NOON + at, at);
        let values = params![
            if at % 2 == 0 { "a" } else { "b" },
            record.endpoint,
            code::time(record.start_us),
            record.cpu_ns.map(code::time),
            code::pack(&record),
        ];
        connection.execute(add, values).unwrap();
    }
    schema::migrate(&mut connection).unwrap();
    let found = requests(&connection, &all(RequestOrder::Time)).unwrap();
    let found: Vec<_> = found
        .into_iter()
        .map(|view| (view.deploy, view.host, view.request))
        .collect();
    let expected: Vec<_> = (0..2_500)
        .rev()
        .map(|at| {
            let deploy = if at % 2 == 0 { "a" } else { "b" };
            (
                deploy.to_owned(),
                "web-1".to_owned(),
                request(NOON + at, at),
            )
        })
        .collect();
    assert!(found == expected);
    let rows = "SELECT count(*) FROM sqlite_schema WHERE name = 'requests'";
    let left: i64 = connection.query_row(rows, [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
}
