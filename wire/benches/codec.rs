//! What it costs to write and to read a batch, beside copying its bytes and beside reading them
//! without the checks.

use std::hint::black_box;

use appweight_wire::{
    Age, Batch, Cell, CellKey, Content, Distribution, Format, InstructionSource, Kind, Origin,
    VERSION, decode_batch, encode,
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use uuid::Uuid;

const CELLS: u64 = 1_000;
const REQUESTS_PER_CELL: u64 = 200;
const MINUTE_US: u64 = 60_000_000;
const START_US: u64 = 1_700_000_040_000_000;

/// A full batch: a thousand cells, with costs over an order of magnitude.
fn batch() -> Batch {
    Batch {
        version: VERSION,
        source: Uuid::from_u128(1),
        sequence: 0,
        origin: Origin {
            service: "photos".into(),
            deploy: "8f2c1a9".into(),
            host: "photo-1".into(),
            ..Origin::default()
        },
        content: Content::Cells,
        cell_width_us: None,
        cells: (0..CELLS).map(cell).collect(),
        requests: Vec::new(),
        processes: Vec::new(),
        profiles: Vec::new(),
    }
}

fn cell(number: u64) -> Cell {
    let mut cell = Cell::new(CellKey {
        start_us: START_US + number / 10 * MINUTE_US,
        width_us: MINUTE_US,
        kind: Kind::Request,
        endpoint: format!("/endpoint-{}/{{id}}", number % 10),
        instruction_source: InstructionSource::None,
        age: Age::Warm,
        flag: None,
    });
    for request in 0..REQUESTS_PER_CELL {
        let cost = cost(number * REQUESTS_PER_CELL + request);
        cell.n += 1;
        cell.weight += 1;
        cell.cpu_ns.get_or_insert_default().observe(cost);
        cell.wall_ns.get_or_insert_default().observe(cost * 3);
    }
    cell
}

/// Between 0.2 and 2.2 ms, spread evenly and always the same.
fn cost(number: u64) -> u64 {
    200_000 + number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 2_000_000
}

fn codec(criterion: &mut Criterion) {
    let batch = batch();
    for (name, format) in [("MessagePack", Format::MessagePack), ("JSON", Format::Json)] {
        let bytes = encode(&batch, format);
        let mut group = criterion.benchmark_group(format!("batch of {CELLS} cells/{name}"));
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        let size = bytes.len();
        group.bench_function(BenchmarkId::new("copy of the bytes", size), |bencher| {
            bencher.iter(|| black_box(&bytes).clone());
        });
        group.bench_function(BenchmarkId::new("encode", size), |bencher| {
            bencher.iter(|| encode(black_box(&batch), format));
        });
        group.bench_function(BenchmarkId::new("read without checks", size), |bencher| {
            bencher.iter(|| -> Batch {
                let bytes = black_box(&bytes);
                match format {
                    Format::MessagePack => {
                        rmp_serde::from_slice(bytes).expect("it was just written")
                    }
                    Format::Json => serde_json::from_slice(bytes).expect("it was just written"),
                }
            });
        });
        group.bench_function(BenchmarkId::new("decode", size), |bencher| {
            bencher.iter(|| decode_batch(black_box(&bytes), format).expect("it was just written"));
        });
        group.finish();
    }
}

fn cells(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("distribution");
    group.bench_function("add to a sum", |bencher| {
        let (mut number, mut sum) = (0, 0_u64);
        bencher.iter(|| {
            number += 1;
            sum = sum.saturating_add(cost(black_box(number)));
            sum
        });
    });
    group.bench_function("observe", |bencher| {
        let (mut number, mut distribution) = (0, Distribution::default());
        bencher.iter(|| {
            number += 1;
            distribution.observe(cost(black_box(number)));
            distribution.n
        });
    });
    group.bench_function("add a cell to a cell", |bencher| {
        let (mut sum, other) = (cell(1), cell(2));
        bencher.iter(|| sum.add(black_box(&other)));
    });
    group.finish();
}

criterion_group!(benches, codec, cells);
criterion_main!(benches);
