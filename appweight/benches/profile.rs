//! Adding profiles up and comparing them, beside the floor of touching every node once, and how both
//! grow.

use std::hint::black_box;

use appweight::profile::{Function, NodeId, Profile, REPLICATES, Timer, diff, function_costs};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn functions(count: usize) -> Vec<Function> {
    (0..count)
        .map(|number| Function {
            name: format!("photos::module_{}::function_{number}", number % 20),
            file: format!("src/module_{}.rs", number % 20),
            line: u32::try_from(number).unwrap_or(0),
        })
        .collect()
}

/// One request's tree, of so many nodes of 60 functions; as many of the nodes are alike in all requests.
fn request(nodes: usize, shared: usize, seed: u64, functions: &[Function]) -> Profile {
    let replicate = usize::try_from(seed).unwrap_or(0) % REPLICATES;
    let mut profile = Profile::of_replicate(Timer::new("cpu", "ns"), replicate);
    let mut alike = fastrand::Rng::with_seed(0);
    let mut own = fastrand::Rng::with_seed(seed);
    let mut known: Vec<NodeId> = vec![profile.root()];
    while known.len() < nodes {
        let random = if known.len() < shared {
            &mut alike
        } else {
            &mut own
        };
        let parent = known[random.usize(0..known.len())];
        let node = profile.child(parent, &functions[random.usize(0..functions.len())]);
        profile.add(node, 1, random.i64(100..100_000));
        if node > known[known.len() - 1] {
            known.push(node);
        }
    }
    profile.count(1, 0);
    profile
}

/// Half of each request's nodes are its own, so that the sum grows with their number.
fn merging(criterion: &mut Criterion) {
    merge(criterion, "merge profiles of 200 nodes", 100);
}

/// All requests have the same nodes, so that the sum has the same size however many there are.
fn merging_alike(criterion: &mut Criterion) {
    merge(criterion, "merge profiles of the same 200 nodes", 200);
}

fn merge(criterion: &mut Criterion, name: &str, shared: usize) {
    let functions = functions(60);
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10);
    for count in [1_000, 3_000, 10_000] {
        let profiles: Vec<Profile> = (0..count)
            .map(|seed| request(200, shared, seed, &functions))
            .collect();
        group.throughput(Throughput::Elements(count * 200));
        group.bench_with_input(
            BenchmarkId::new("floor: read each node", count),
            &profiles,
            |b, profiles| {
                b.iter(|| profiles.iter().map(|p| black_box(p).total()).sum::<i64>());
            },
        );
        group.bench_with_input(
            BenchmarkId::new("merge", count),
            &profiles,
            |b, profiles| {
                b.iter(|| {
                    let mut merged = Profile::new(Timer::new("cpu", "ns"));
                    for profile in profiles {
                        merged.merge(profile);
                    }
                    merged
                });
            },
        );
    }
    group.finish();
}

fn comparing(criterion: &mut Criterion) {
    let functions = functions(2_000);
    let mut group = criterion.benchmark_group("diff");
    group.sample_size(10);
    for nodes in [5_000, 15_000, 50_000] {
        let side = |seed: u64| {
            let mut merged = Profile::new(Timer::new("cpu", "ns"));
            for replicate in 0..REPLICATES as u64 {
                let mut one = Profile::of_replicate(Timer::new("cpu", "ns"), replicate as usize);
                let mut shape = fastrand::Rng::with_seed(7);
                let mut own = fastrand::Rng::with_seed(seed * 100 + replicate);
                let mut known = vec![one.root()];
                while known.len() < nodes {
                    let parent = known[shape.usize(0..known.len())];
                    let node = one.child(parent, &functions[shape.usize(0..functions.len())]);
                    one.add(node, 1, own.i64(100..100_000));
                    if node > known[known.len() - 1] {
                        known.push(node);
                    }
                }
                one.count(100, 0);
                merged.merge(&one);
            }
            merged
        };
        let (before, after) = (side(1), side(2));
        group.throughput(Throughput::Elements(nodes as u64));
        group.bench_function(
            BenchmarkId::new("floor: cost of each function, both sides", nodes),
            |b| {
                b.iter(|| (function_costs(&before), function_costs(&after)));
            },
        );
        group.bench_function(BenchmarkId::new("diff", nodes), |b| {
            b.iter(|| diff(&before, &after, 0.99));
        });
    }
    group.finish();
}

criterion_group!(benches, merging, merging_alike, comparing);
criterion_main!(benches);
