//! Whether a measured piece of work costs more where there are more threads, or more endpoints: CPU time
//! of the threads that work, beside that of two readings of the CPU clock, in turn.
//!
//! `cargo bench -p appweight-agent --bench scaling`

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use appweight_agent::{Agent, thread_cpu_ns};

const CASES: [(usize, usize); 11] = [
    (1, 1),
    (2, 1),
    (8, 1),
    (64, 1),
    (1, 10),
    (1, 40),
    (1, 100),
    (1, 1_000),
    // Of which all but a thousand are counted together.
    (1, 10_000),
    (8, 1_000),
    (64, 1_000),
];
const ROUNDS: usize = 15;
/// In all threads together.
const TIMES: usize = 64_000;

fn main() {
    let names: Vec<String> = (0..10_000)
        .map(|at| format!("/endpoint/{at}/{{id}}"))
        .collect();
    let names: &'static [String] = names.leak();
    let mut lines = vec![
        "| threads | endpoints | two clock readings | measured, all in all |".to_owned(),
        "| ---: | ---: | ---: | ---: |".to_owned(),
    ];
    for (threads, endpoints) in CASES {
        let agent = Agent::builder()
            .service("bench")
            .collector("http://127.0.0.1:1")
            .record_one_in(0)
            .start();
        let barrier = Barrier::new(threads);
        let (floor, measured) = thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|_| {
                    scope.spawn(|| work(&agent, &names[..endpoints], &barrier, TIMES / threads))
                })
                .collect();
            let mut all: Vec<(f64, f64)> = workers
                .into_iter()
                .flat_map(|worker| worker.join().expect("a worker does not panic"))
                .collect();
            (
                median(&mut all, |pair| pair.0),
                median(&mut all, |pair| pair.1),
            )
        });
        lines.push(format!(
            "| {threads} | {endpoints} | {floor:.1} ns | {measured:.1} ns |"
        ));
        agent.shutdown(Duration::ZERO);
    }
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{}", lines.join("\n"));
}

/// For each round, what two readings cost, and what a measured piece of work that does nothing costs.
fn work(
    agent: &Agent,
    names: &'static [String],
    barrier: &Barrier,
    times: usize,
) -> Vec<(f64, f64)> {
    let each = |work: &mut dyn FnMut(&'static str)| {
        barrier.wait();
        let before = thread_cpu_ns().unwrap_or(0);
        for name in names.iter().cycle().take(times) {
            work(name);
        }
        (thread_cpu_ns().unwrap_or(0) - before) as f64 / times as f64
    };
    let mut measure = |name: &'static str| agent.measure(name, || black_box(()));
    // Opens the thread's cells.
    for name in names {
        measure(name);
    }
    let mut read = |name: &'static str| {
        black_box((name, thread_cpu_ns(), thread_cpu_ns()));
    };
    (0..ROUNDS)
        .map(|_| (each(&mut read), each(&mut measure)))
        .collect()
}

fn median(all: &mut [(f64, f64)], of: impl Fn(&(f64, f64)) -> f64) -> f64 {
    all.sort_by(|a, b| of(a).total_cmp(&of(b)));
    all.get(all.len() / 2).map_or(0.0, of)
}
