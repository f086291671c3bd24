//! What the agent says that it cost is what the kernel says of all its threads. A process of its own: they are found by
//! their names.

#[cfg(test)]
mod support;

use std::fs;
use std::hint::black_box;
use std::time::Duration;

use appweight_agent::AppweightAlloc;

use support::{SOON, TestCollector, burn, wait_until};

#[global_allocator]
static ALLOCATOR: AppweightAlloc = AppweightAlloc::system();

/// CPU time of the threads whose names begin so, ns.
#[cfg(test)]
fn used_by(prefix: &str) -> u64 {
    let threads = fs::read_dir("/proc/self/task").unwrap().flatten();
    let used = threads.filter_map(|thread| {
        let name = fs::read_to_string(thread.path().join("comm")).ok()?;
        let books = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        let used: u64 = books.split(' ').next()?.parse().ok()?;
        name.starts_with(prefix).then_some(used)
    });
    used.sum()
}

/// Those that look names up have something to do only in a program that keeps its frame pointers.
#[test]
fn all_threads_of_the_agent_are_told_also_those_of_sampling() {
    let collector = TestCollector::start();
    let agent = collector
        .agent()
        .cell_width(Duration::from_millis(50))
        .sample_allocations(1_024)
        .sample_stacks(1_000)
        .start();
    let samples = agent.status().sampling.allocations_read_by.is_some();
    wait_until("some is shipped, and names are looked up", || {
        agent.measure("task:work", || {
            burn(1);
            black_box(vec![1_u8; 100_000]);
        });
        let batches = collector.batches();
        batches.len() > 5 && (!samples || batches.iter().any(|batch| !batch.profiles.is_empty()))
    });
    let (used, names) = (used_by("appweight-"), used_by("appweight-names"));
    assert!(agent.shutdown(SOON));
    let told: u64 = collector
        .processes()
        .iter()
        .map(|process| process.agent_cpu_ns)
        .sum();
    println!("{told} ns told; {used} ns in the kernel's books before, {names} of them for names");
    assert!(used > 0 && (!samples || names > 0));
    // What was used since the books were looked at comes on top of it.
    assert!(told >= used, "{told} of {used} ns");
}
