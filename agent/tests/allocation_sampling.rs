//! What was allocated in which function, and what of it was not given back.
//!
//! As the tests in `sampling.rs` they need frame pointers, and see to it that the agent says so where there are none.

#[cfg(test)]
mod support;

use std::hint::black_box;

use appweight_agent::AppweightAlloc;
use appweight_wire::{ProfileRecord, Taken};

use support::left_out::left_out;
use support::{SOON, TestCollector};

#[global_allocator]
static ALLOCATOR: AppweightAlloc = AppweightAlloc::system();

const MIB: usize = 1 << 20;

/// Allocates 64 MiB and keeps them.
#[inline(never)]
fn keeps() -> Vec<Vec<u8>> {
    let kept = (0..16 * 1_024).map(|_| black_box(vec![1_u8; 4 * 1_024]));
    black_box(kept.collect())
}

/// Allocates 128 MiB and gives all of it back.
#[inline(never)]
fn gives_back() -> usize {
    let lengths = (0..256).map(|_| black_box(vec![1_u8; MIB / 2]).len());
    black_box(lengths.sum())
}

/// Grows to 32 MiB step by step, and shrinks to a quarter.
#[inline(never)]
fn grows_and_shrinks() -> Vec<u8> {
    let mut grown = Vec::new();
    for length in 1..=128 {
        grown.reserve_exact(length * MIB / 4 - grown.len());
        grown.resize(length * MIB / 4, 1);
    }
    grown.truncate(8 * MIB);
    grown.shrink_to_fit();
    black_box(grown)
}

/// The bytes that a function with all that it calls allocated, and those still there.
fn bytes(profile: &ProfileRecord, name: &str) -> [i64; 2] {
    let mut within = vec![false; profile.parents.len()];
    for node in 1..within.len() {
        let function = &profile.functions[profile.node_functions[node] as usize].name;
        within[node] = within[profile.parents[node] as usize] || function.ends_with(name);
    }
    [0, 1].map(|timer| {
        let own = within.iter().zip(&profile.timers[timer].own);
        own.filter(|(within, _)| **within).map(|(_, own)| own).sum()
    })
}

#[test]
fn sampled_allocations_are_found_where_they_were_made() {
    let collector = TestCollector::start();
    let agent = collector.agent().sample_allocations(64 * 1_024).start();
    let status = agent.status().sampling;
    if status.allocations_read_by.is_none() {
        let why = status.allocations_absent_because.unwrap();
        assert!(why.contains("frame pointers"), "{why}");
        let required = std::env::var("APPWEIGHT_TEST_SAMPLING").is_ok_and(|how| how == "require");
        assert!(!required, "{why}");
        left_out(why);
        return;
    }
    let kept = agent.measure("memory", || {
        let kept = keeps();
        gives_back();
        (kept, grows_and_shrinks())
    });
    // Nobody's request.
    let outside = black_box(keeps());
    assert!(agent.shutdown(SOON));
    let profiles: Vec<ProfileRecord> = collector
        .batches()
        .into_iter()
        .flat_map(|batch| batch.profiles)
        .filter(|profile| profile.taken == Taken::Sampled)
        .collect();
    let of = |endpoint: &str, name: &str| {
        let of = profiles.iter().filter(|p| p.endpoint == endpoint);
        let [mut allocated, mut live] = [0, 0];
        for profile in of {
            assert_eq!(profile.timers[0].name, "allocated");
            assert_eq!(profile.timers[1].name, "live");
            let [more, still] = bytes(profile, name);
            allocated += more;
            live += still;
        }
        [allocated, live].map(|bytes| bytes as f64 / MIB as f64)
    };
    // Of 1,024 samples on average the number has a standard error of 3 %, of the large ones a far smaller one.
    let near = |is: f64, known: f64, within: f64| {
        assert!(
            (is - known).abs() <= known * within,
            "{is} MiB, not {known} MiB"
        );
    };
    let [allocated, live] = of("memory", "::keeps");
    println!("kept: {allocated:.1} MiB allocated, {live:.1} live, of 64");
    near(allocated, 64.0, 0.16);
    assert!(
        (allocated - live).abs() < 0.2,
        "nothing of it was given back"
    );
    let [allocated, live] = of("memory", "::gives_back");
    println!("given back: {allocated:.1} MiB allocated, {live:.1} live, of 128 and 0");
    near(allocated, 128.0, 0.02);
    assert!(live.abs() < 0.001, "{live} MiB of it are still there");
    let [allocated, live] = of("memory", "::grows_and_shrinks");
    println!("grown: {allocated:.1} MiB allocated, {live:.1} live, of 32 and 8");
    near(allocated, 32.0, 0.1);
    near(live, 8.0, 0.15);
    let [allocated, live] = of("", "::keeps");
    println!("outside: {allocated:.1} MiB allocated, {live:.1} live, of 64");
    near(allocated, 64.0, 0.16);
    assert!(live > 0.0);
    let requests: u64 = profiles
        .iter()
        .filter(|p| p.endpoint == "memory")
        .map(|p| p.requests)
        .sum();
    assert_eq!(requests, 1);
    drop((kept, outside));
}
