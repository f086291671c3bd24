//! What it costs to take a minute of a roll-out in and look at all that is under watch, beside reading its cells once.

use std::hint::black_box;

use appweight::detect::{CellLine, Detector};
use appweight::simulate::{Shape, Simulation};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// A day's deploy in whose roll-out the look falls: what comes before has taught the detector all it learns.
const DEPLOY: usize = 20;

/// A detector that has seen all before a roll-out's fifth minute, and the cells of that minute and of the next.
fn until(shape: &Shape) -> (Detector, Vec<CellLine<'static>>, Vec<CellLine<'static>>) {
    let mut simulation = Simulation::new(shape, 1, 1);
    let mut detector = Detector::new();
    for line in simulation.deploy_lines() {
        detector.add_deploy(line);
    }
    let look = simulation.plan.deploys[DEPLOY].start + 5;
    let (mut minute, mut next) = (Vec::new(), Vec::new());
    while next.is_empty()
        && simulation.next_minute(&mut |cell| {
            let keep = match cell.minute - look {
                0 => &mut minute,
                1 => &mut next,
                _ => {
                    detector.add_cell(cell).expect("a simulated cell is sound");
                    return;
                }
            };
            let text = serde_json::to_string(cell).expect("a cell is plain data");
            let text: &'static str = Box::leak(text.into_boxed_str());
            keep.push(serde_json::from_str(text).expect("as written"));
        })
    {}
    (detector, minute, next)
}

fn live_look(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("live-look");
    let shapes = [(10, 8), (20, 8), (40, 8), (80, 8), (40, 4), (40, 16)];
    for (endpoints, hosts_per_cluster) in shapes {
        let shape = Shape {
            endpoints,
            hosts_per_cluster,
            ..Shape::usual(3_000.0)
        };
        let (detector, minute, next) = until(&shape);
        let name = format!("{endpoints}x{}", 2 * hosts_per_cluster);
        group.throughput(Throughput::Elements(minute.len() as u64));
        group.bench_function(BenchmarkId::new("floor", &name), |bencher| {
            bencher.iter(|| {
                let costs = minute.iter().map(|cell| black_box(cell).sumlog / cell.n);
                costs.sum::<f64>()
            });
        });
        group.bench_function(BenchmarkId::new("minute", &name), |bencher| {
            bencher.iter_batched_ref(
                || detector.clone(),
                |detector| {
                    // The first cell of the next minute closes this one.
                    for cell in minute.iter().chain(&next[..1]) {
                        black_box(detector.add_cell(cell)).expect("a simulated cell is sound");
                    }
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, live_look);
criterion_main!(benches);
