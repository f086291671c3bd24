//! How much memory the agent takes at its largest: many threads, each of which serves every endpoint.
//! The test starts itself anew, since it is a process's memory that is looked at: a collector's, which keeps what it
//! was sent, is not to be in it.

#[cfg(test)]
mod support;

use std::env;
use std::process::{Command, Stdio};
use std::sync::{Barrier, OnceLock};
use std::thread;
use std::time::Duration;

use appweight_agent::{Agent, AgentBuilder};

use support::TestCollector;

const THREADS: usize = 64;
const ENDPOINTS: usize = 1_000;
const BOUND: u64 = 24 << 20;

/// Tells the test that it is the process whose memory is looked at: where to send.
const COLLECTOR: &str = "TEST_OF_MEMORY_COLLECTOR";

/// Resident memory of the process that is not of a file, bytes.
fn anonymous() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.expect("the kernel tells a process's memory") * 1024
}

fn agent(collector: &str) -> AgentBuilder {
    Agent::builder()
        .service("tested")
        .collector(collector)
        // All of one span, unless the day turns meanwhile.
        .cell_width(Duration::from_secs(86_400))
        .record_one_in(100)
        .warm_up(Duration::ZERO)
}

#[test]
fn a_thousand_endpoints_on_64_threads_take_little_room() {
    if let Ok(collector) = env::var(COLLECTOR) {
        return measure(&collector);
    }
    let collector = TestCollector::start();
    let measured = Command::new(env::current_exe().expect("this program"))
        .args([
            "--exact",
            "a_thousand_endpoints_on_64_threads_take_little_room",
            "--nocapture",
        ])
        .env(COLLECTOR, collector.address())
        .stdout(Stdio::null())
        .status()
        .expect("it starts");
    assert!(measured.success());
}

#[cfg(test)]
fn measure(collector: &str) {
    static AGENT: OnceLock<Agent> = OnceLock::new();

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
        AGENT.set(agent(collector).start()).unwrap();
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
