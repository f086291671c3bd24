//! What a look at a service costs while it rolls out, and what it costs to read a day again.

#[path = "../tests/placed/mod.rs"]
mod placed;

use std::collections::BTreeMap;
use std::hint::black_box;

use appweight::evidence::PlacedCell;
use appweight::live::{Live, MINUTE_US};
use appweight::simulate::{Shape, Simulation};
use appweight::thresholds::Thresholds;
use appweight_wire::Deploy;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

/// A day of 40 deploys, 40 endpoints and 16 hosts, by minute.
fn day() -> (Vec<Deploy>, Vec<Vec<PlacedCell>>) {
    let mut simulation = Simulation::new(&Shape::usual(3_000.0), 1, 1);
    let deploys = simulation.deploy_lines();
    let deploys = deploys.iter().map(placed::deploy).collect();
    let (mut minutes, mut hosts) = (Vec::new(), BTreeMap::new());
    loop {
        let mut cells = Vec::new();
        let more = simulation.next_minute(&mut |line| {
            if line.flag.is_none() {
                cells.push(placed::placed(line, &mut hosts));
            }
        });
        if !cells.is_empty() {
            minutes.push(cells);
        }
        if !more {
            return (deploys, minutes);
        }
    }
}

fn fed(deploys: &[Deploy], minutes: &[Vec<PlacedCell>]) -> Live {
    let first = (minutes[0][0].cell.key.start_us / MINUTE_US) as i64;
    let mut live = Live::new(&Thresholds::default(), first);
    live.add_roll_outs(deploys, 0).expect("it has seen nothing");
    for (at, cells) in minutes.iter().enumerate() {
        live.feed(cells, &[], first + at as i64 + 1);
    }
    live
}

fn live(criterion: &mut Criterion) {
    let (deploys, minutes) = day();
    let mut group = criterion.benchmark_group("live");
    group.sample_size(10);
    group.bench_function("a day read again", |bencher| {
        bencher.iter(|| black_box(fed(&deploys, &minutes)));
    });
    // An hour before the end several deploys are under watch.
    let at = minutes.len() - 60;
    let before = fed(&deploys, &minutes[..at]);
    let next = before.next_minute();
    group.bench_function("one look", |bencher| {
        bencher.iter_batched(
            || before.clone(),
            |mut live| {
                live.feed(&minutes[at], &[], next + 1);
                live.look();
                let said: Vec<_> = deploys.iter().map(|deploy| live.says(deploy)).collect();
                black_box((live, said))
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, live);
criterion_main!(benches);
