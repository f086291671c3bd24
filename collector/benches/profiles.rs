//! Taking batches with function profiles, beside batches of as many cells, up to the commit on a disk.

use std::sync::atomic::{AtomicU64, Ordering};

use appweight_collector::{Collector, CollectorOptions};
use appweight_wire::{
    Batch, Cell, CellKey, Content, Format, Function, Origin, ProfileRecord, TimerValues, VERSION,
    encode,
};
use axum::body::Body;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use http::{Request, header};
use tokio::runtime::Runtime;
use tower::ServiceExt;
use uuid::Uuid;

const MINUTE_US: u64 = 60_000_000;
/// A minute in the past.
const BEGAN_US: u64 = 29_833_333 * MINUTE_US;
const ENDPOINTS: u64 = 10;
const TIMERS: [(&str, &str); 3] = [
    ("instructions", "instructions"),
    ("cpu", "ns"),
    ("allocated", "bytes"),
];

/// What a process has to say of a minute: nothing yet.
fn batch(sequence: u64) -> Batch {
    Batch {
        version: VERSION,
        source: Uuid::from_u128(7),
        sequence,
        origin: Origin {
            service: "photos".into(),
            deploy: "8f2c1a9".into(),
            host: "web-1".into(),
            ..Origin::default()
        },
        content: Content::Cells,
        cell_width_us: None,
        cells: Vec::new(),
        requests: Vec::new(),
        processes: Vec::new(),
        profiles: Vec::new(),
    }
}

fn start_us(sequence: u64) -> u64 {
    // A day, again and again: minutes that are known already are added to.
    BEGAN_US + sequence % 1_440 * MINUTE_US
}

fn cells(sequence: u64) -> Batch {
    let mut batch = batch(sequence);
    batch.cells = (0..ENDPOINTS * TIMERS.len() as u64)
        .map(|endpoint| {
            let mut cell = Cell::new(CellKey {
                start_us: start_us(sequence),
                width_us: MINUTE_US,
                kind: appweight_wire::Kind::Request,
                endpoint: format!("/endpoint/{endpoint}"),
                instruction_source: appweight_wire::InstructionSource::None,
                age: appweight_wire::Age::Warm,
                flag: None,
            });
            (cell.n, cell.weight) = (1, 1);
            cell.cpu_ns
                .get_or_insert_default()
                .observe(400_000 + sequence);
            cell.wall_ns.get_or_insert_default().observe(900_000);
            cell
        })
        .collect();
    batch
}

fn profiles(sequence: u64, nodes: usize) -> Batch {
    let mut batch = batch(sequence);
    batch.profiles = (0..ENDPOINTS)
        .map(|endpoint| profile(sequence, endpoint, nodes))
        .collect();
    batch
}

/// The same chains of calls in every minute, with other costs.
fn profile(sequence: u64, endpoint: u64, nodes: usize) -> ProfileRecord {
    let mut shape = fastrand::Rng::with_seed(endpoint);
    let mut costs = fastrand::Rng::with_seed(sequence);
    let number = |at: usize| u32::try_from(at).unwrap_or(0);
    ProfileRecord {
        start_us: start_us(sequence),
        width_us: MINUTE_US,
        endpoint: format!("/endpoint/{endpoint}"),
        requests: 50,
        functions: (0..60)
            .map(|function| Function {
                name: format!("photos::module_{}::function_{function}", function % 20),
                file: format!("src/module_{}.rs", function % 20),
                line: function,
            })
            .collect(),
        parents: (0..nodes)
            .map(|at| number(shape.usize(0..at.max(1))))
            .collect(),
        node_functions: (0..nodes).map(|_| number(shape.usize(0..60))).collect(),
        calls: vec![50; nodes],
        timers: TIMERS
            .map(|(name, unit)| TimerValues {
                name: name.into(),
                unit: unit.into(),
                own: (0..nodes).map(|_| costs.i64(100..100_000)).collect(),
                taken_off_milli: 0,
                left_milli: 0,
            })
            .to_vec(),
        ..ProfileRecord::default()
    }
}

fn ingest(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("take a batch of 10 endpoints");
    group.sample_size(30);
    group.throughput(Throughput::Elements(1));
    let mut take = |name: BenchmarkId, make: &dyn Fn(u64) -> Batch| {
        let folder = tempfile::tempdir().expect("a folder");
        let options = CollectorOptions {
            database: folder.path().join("bench.db"),
            ..CollectorOptions::default()
        };
        let router = runtime
            .block_on(Collector::open(options))
            .expect("a store")
            .router();
        let next = AtomicU64::new(0);
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || {
                    let batch = make(next.fetch_add(1, Ordering::Relaxed));
                    Request::put(format!("/v1/batches/{}", batch.id()))
                        .header(header::CONTENT_TYPE, "application/msgpack")
                        .body(Body::from(encode(&batch, Format::MessagePack)))
                        .expect("a request")
                },
                |request| {
                    let answer = runtime.block_on(router.clone().oneshot(request));
                    assert_eq!(answer.expect("an answer").status(), 201);
                },
                BatchSize::PerIteration,
            );
        });
    };
    take(BenchmarkId::from_parameter("30 cells"), &cells);
    for nodes in [20, 200, 2_000] {
        take(
            BenchmarkId::new("profiles by three timers, nodes", nodes),
            &move |sequence| profiles(sequence, nodes),
        );
    }
    group.finish();
}

criterion_group!(benches, ingest);
criterion_main!(benches);
