//! The ledger: what was counted is what the collector has, what the agent says it gave up, and what
//! still waits, to the request.

#[cfg(test)]
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use appweight_agent::{Agent, AgentBuilder, flag};

use support::{SOON, TestCollector, folder, wait_until};

const THREADS: u64 = 3;

/// Works in several threads until it is told to stop, and says how much was done by name.
struct Work {
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<u64>>,
}

impl Work {
    fn on(agent: &Agent) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let work = |_| {
            let (agent, stop) = (agent.clone(), Arc::clone(&stop));
            thread::spawn(move || {
                let mut done = 0;
                while !stop.load(Ordering::SeqCst) {
                    // A flag's cells hold the same tasks once more, which must not be told twice.
                    agent.measure("task:work", || flag("ranker", "v2"));
                    done += 1;
                    if done % 100 == 0 {
                        thread::sleep(Duration::from_millis(1));
                    }
                }
                done
            })
        };
        let threads = (0..THREADS).map(work).collect();
        Self { stop, threads }
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        let done = self
            .threads
            .into_iter()
            .map(|thread| thread.join().expect("a thread of the test does not panic"));
        done.sum()
    }
}

fn quick(builder: AgentBuilder) -> AgentBuilder {
    builder
        .cell_width(Duration::from_millis(20))
        .record_one_in(50)
}

/// Tasks that the collector has; flags apart, and a batch that came twice counted once.
fn arrived(collector: &TestCollector) -> u64 {
    let batches: BTreeMap<_, _> = collector
        .batches()
        .into_iter()
        .map(|batch| (batch.id(), batch))
        .collect();
    let cells = batches.values().flat_map(|batch| &batch.cells);
    let cells = cells.filter(|cell| cell.key.flag.is_none());
    cells.map(|cell| cell.n).sum()
}

#[test]
fn without_a_spool_what_is_missing_is_told_to_the_request() {
    // Takes some batches, refuses some for good, and is away for a while again and again.
    let collector = TestCollector::scripted(|n| {
        let status = match n % 8 {
            3 => 413,
            5 | 6 => 503,
            _ => 200,
        };
        (status, Duration::ZERO)
    });
    let agent = quick(collector.agent())
        .record_one_in(0)
        .queue_bytes(6_000)
        .start();
    let work = Work::on(&agent);
    wait_until("some are refused, and some find no room", || {
        let refused = collector.puts().into_iter().filter(|put| put.status == 413);
        let refused = refused.count() as u64;
        let (sent, given_up) = (agent.status().sent_batches, agent.status().dropped);
        // A refused batch is a cell, one of its flag, and the process.
        refused > 0 && sent > 3 && given_up > 3 * refused
    });
    let done = work.stop();
    agent.shutdown(SOON);
    let status = agent.status();
    assert_eq!((status.tasks, status.queued_bytes), (done, 0));
    assert!(status.dropped_requests > 0 && status.dropped_requests < done);
    assert_eq!(arrived(&collector) + status.dropped_requests, done);
}

#[test]
fn what_a_shutdown_gives_up_is_told_to_the_request() {
    let collector = TestCollector::scripted(|n| (if n < 2 { 200 } else { 503 }, Duration::ZERO));
    let agent = quick(collector.agent()).start();
    let work = Work::on(&agent);
    wait_until("some are sent", || agent.status().sent_batches == 2);
    wait_until("some wait", || agent.status().queued_bytes > 0);
    let done = work.stop();
    assert!(!agent.shutdown(Duration::from_millis(100)));
    wait_until("it has ended", || {
        arrived(&collector) + agent.status().dropped_requests == done
    });
    assert!(arrived(&collector) > 0);
}

#[test]
fn with_a_spool_nothing_is_missing() {
    let spool = folder();
    let collector = TestCollector::scripted(|n| {
        let status = if n % 7 < 4 { 503 } else { 200 };
        (status, Duration::ZERO)
    });
    let mut done = 0;
    for _ in 0..3 {
        let agent = quick(collector.agent()).spool(spool.path()).start();
        let work = Work::on(&agent);
        wait_until("some are spooled", || agent.status().spooled_batches > 2);
        done += work.stop();
        assert!(agent.shutdown(Duration::from_millis(400)));
        assert_eq!(agent.status().dropped_requests, 0);
    }
    let agent = quick(collector.agent()).spool(spool.path()).start();
    wait_until("the rest is sent", || arrived(&collector) == done);
    assert!(agent.shutdown(SOON));
    assert_eq!(arrived(&collector), done);
}

#[test]
fn a_spool_at_its_limit_tells_the_requests_that_it_gives_up_also_those_of_dead_processes() {
    let spool = folder();
    let down = Arc::new(AtomicBool::new(true));
    let collector = TestCollector::scripted({
        let down = Arc::clone(&down);
        move |_| {
            let down = down.load(Ordering::SeqCst);
            (if down { 503 } else { 200 }, Duration::ZERO)
        }
    });
    let start = |blocks: u64| {
        quick(collector.agent())
            .spool(spool.path())
            .spool_bytes(blocks * 4_096)
            .start()
    };
    let first = start(100);
    let work = Work::on(&first);
    wait_until("many wait", || first.status().spooled_batches > 10);
    let mut done = work.stop();
    assert!(first.shutdown(Duration::from_millis(400)));
    assert_eq!(first.status().dropped_requests, 0);

    let second = start(4);
    let work = Work::on(&second);
    wait_until("the first one's are given up", || {
        second.status().dropped_requests > 0
    });
    done += work.stop();
    down.store(false, Ordering::SeqCst);
    assert!(second.shutdown(SOON) || second.status().dropped > 0);
    let missing = second.status().dropped_requests;
    assert_eq!(arrived(&collector) + missing, done);
}
