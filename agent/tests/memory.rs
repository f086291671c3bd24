//! How much memory the agent takes at its largest: many threads, each of which serves every endpoint.
//! A process of its own, since it is the process's memory that is looked at.

#[cfg(test)]
mod support;

use std::sync::Barrier;
use std::thread;

use support::TestCollector;

const THREADS: usize = 64;
const ENDPOINTS: usize = 1_000;
const BOUND: u64 = 24 << 20;

/// Resident memory of the process that is not of a file, bytes.
fn anonymous() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.expect("the kernel tells a process's memory") * 1024
}

#[test]
fn a_thousand_endpoints_on_64_threads_take_little_room() {
    let collector = TestCollector::start();
    let names: Vec<String> = (0..ENDPOINTS).map(|at| format!("/endpoint/{at}")).collect();
    let names: &'static [String] = names.leak();
    let barrier = Barrier::new(THREADS + 1);
    let (before, after) = thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                barrier.wait();
                barrier.wait();
                let agent = AGENT.get().unwrap();
                for _ in 0..5 {
                    for name in names {
                        agent.measure(name.as_str(), || ());
                    }
                }
                barrier.wait();
                barrier.wait();
            });
        }
        // The threads themselves are not the agent's.
        barrier.wait();
        let before = anonymous();
        AGENT
            .set(collector.agent().record_one_in(100).start())
            .unwrap();
        barrier.wait();
        barrier.wait();
        let after = anonymous();
        barrier.wait();
        (before, after)
    });
    let counted = AGENT.get().unwrap().status().tasks;
    assert_eq!(counted, 5 * (THREADS * ENDPOINTS) as u64);
    let used = after - before;
    eprintln!(
        "{THREADS} threads, {ENDPOINTS} endpoints: {} KiB",
        used >> 10
    );
    assert!(used < BOUND, "{} KiB", used >> 10);
}

static AGENT: std::sync::OnceLock<appweight_agent::Agent> = std::sync::OnceLock::new();
