//! Request records that come packed, as agents send them, are kept and told as any others.

use appweight_wire::{Batch, Format, RequestRecord, encode, encode_packed};
use proptest::prelude::*;

use super::*;
use crate::testing::{Bench, NOON, SECOND, batch, cell, request};

const MESSAGE_PACK: &str = "application/msgpack";

/// All that is told of request records and whom they are of.
async fn told(bench: &Bench) -> Vec<serde_json::Value> {
    let mut told = Vec::new();
    for path in [
        "/v1/services",
        "/v1/deploys",
        "/v1/requests?service=photo&order=cost&limit=100",
        "/v1/requests?service=photo&order=time&limit=100",
    ] {
        let answer = bench.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {:?}", answer.body);
        told.push(answer.body);
    }
    let metrics = bench.get("/metrics").await.body;
    let counted = metrics.as_str().unwrap().lines();
    let mut counted: Vec<_> = counted
        .filter(|line| line.contains("records_total"))
        .collect();
    counted.sort_unstable();
    told.push(counted.into());
    told
}

async fn put(bench: &Bench, batch: &Batch, body: Vec<u8>) {
    let answer = bench.put(&batch.id().to_string(), MESSAGE_PACK, body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.body);
}

fn any_record() -> impl Strategy<Value = RequestRecord> {
    let costs = (prop::option::of(0..3_u64), prop::option::of(0..9_u64));
    (0..5_u64, 0..60_u64, costs).prop_map(|(endpoint, second, (instructions, cpu_ns))| {
        RequestRecord {
            endpoint: format!("/{endpoint}"),
            instructions,
            cpu_ns,
            ..request(NOON + second * SECOND, 5)
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Also where names have to be changed in them, and where they are more than a block holds.
    #[test]
    fn packed_records_are_kept_as_others_are(
        batches in prop::collection::vec(prop::collection::vec(any_record(), 0..6), 1..4),
        many in any::<bool>(),
        max_endpoints in 2..6_usize,
    ) {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let limited = || Bench::with(|options| {
                options.max_endpoints = max_endpoints;
                options.body_limit = 1 << 20;
            });
            let (plain, packed) = (limited(), limited());
            for (sequence, mut records) in (0..).zip(batches) {
                let mut batch = batch(1, sequence, "a");
                batch.cells = vec![cell(NOON, &[5])];
                if many {
                    records.extend((0..1_100).map(|at| request(NOON + at, 1_000 + at)));
                }
                batch.requests = records;
                put(&plain, &batch, encode(&batch, Format::MessagePack)).await;
                put(&packed, &batch, encode_packed(&batch)).await;
            }
            assert_eq!(told(&packed).await, told(&plain).await);
        });
    }
}

#[tokio::test]
async fn packed_records_alone_are_a_batch() {
    let bench = Bench::new();
    let mut batch = batch(1, 0, "a");
    batch.requests = vec![request(NOON + SECOND, 5), request(NOON, 7)];
    put(&bench, &batch, encode_packed(&batch)).await;
    let found = &told(&bench).await[3];
    assert_eq!(found.as_array().map(Vec::len), Some(2), "{found}");
}
