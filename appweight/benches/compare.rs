//! What it costs to judge a roll-out, beside reading its cells once.

use std::hint::black_box;

use appweight::api::DeployStatus;
use appweight::compare::{Question, compare};
use appweight::evidence::{Evidence, PlacedCell};
use appweight::judge::judge;
use appweight::thresholds::Thresholds;
use appweight_wire::{Age, Cell, CellKey, Deploy, InstructionSource, Kind};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const MINUTE_US: u64 = 60_000_000;
const START_US: u64 = 1_700_000_040_000_000;
const HOST_GROUPS: u8 = 16;
const ENDPOINTS: usize = 20;
const REQUESTS_PER_CELL: usize = 50;

/// Old and new side by side for `minutes` on a fleet that fills every host group.
fn roll_out(minutes: u64) -> Vec<PlacedCell> {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut cells = Vec::new();
    for minute in 0..minutes {
        for endpoint in 0..ENDPOINTS {
            for host_group in 0..HOST_GROUPS {
                for deploy in ["old", "new"] {
                    let mut cell = Cell::new(CellKey {
                        start_us: START_US + minute * MINUTE_US,
                        width_us: MINUTE_US,
                        kind: Kind::Request,
                        endpoint: format!("/endpoint-{endpoint}"),
                        instruction_source: InstructionSource::None,
                        age: Age::Warm,
                        flag: None,
                    });
                    for _ in 0..REQUESTS_PER_CELL {
                        cell.n += 1;
                        cell.weight += 1;
                        cell.cpu_ns
                            .get_or_insert_default()
                            .observe(rng.u64(200_000..2_000_000));
                    }
                    cells.push(PlacedCell {
                        deploy: deploy.to_owned(),
                        cluster: String::new(),
                        host_group,
                        cell,
                    });
                }
            }
        }
    }
    cells
}

fn comparison(criterion: &mut Criterion) {
    let thresholds = Thresholds::default();
    let mut group = criterion.benchmark_group("roll-out");
    for minutes in [10, 60] {
        let evidence = Evidence {
            cells: roll_out(minutes),
            processes: Vec::new(),
            earlier: Vec::new(),
        };
        let cells = &evidence.cells;
        group.throughput(Throughput::Elements(cells.len() as u64));
        let size = format!("{} cells", cells.len());
        group.bench_function(BenchmarkId::new("read each cell once", &size), |bencher| {
            bencher.iter(|| {
                black_box(cells)
                    .iter()
                    .filter_map(|placed| placed.cell.cpu_ns.as_ref())
                    .fold(0_u64, |sum, cpu| sum.wrapping_add(cpu.sum))
            });
        });
        let question = Question {
            service: "photos",
            base: "old",
            head: "new",
            metric: None,
        };
        group.bench_function(BenchmarkId::new("compare", &size), |bencher| {
            bencher.iter(|| compare(question, black_box(cells), &[], &thresholds));
        });
        let deploy = Deploy {
            service: "photos".into(),
            id: "new".into(),
            started_us: START_US,
            ended_us: Some(START_US + minutes * MINUTE_US),
            replaced: Some("old".into()),
            ..Deploy::default()
        };
        group.bench_function(BenchmarkId::new("judge", &size), |bencher| {
            bencher.iter(|| {
                judge(
                    &deploy,
                    DeployStatus::Judged,
                    black_box(&evidence),
                    &thresholds,
                )
            });
        });
    }
    group.finish();
}

criterion_group!(benches, comparison);
criterion_main!(benches);
