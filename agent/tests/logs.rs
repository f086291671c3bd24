//! What the agent says, and that it says it once. A test of its own: the log is the process's.

#[cfg(test)]
mod support;

use std::time::Duration;

use appweight_agent::Agent;

use support::log::Log;
use support::{SOON, TestCollector, wait_until};

#[test]
fn each_thing_is_said_once() {
    let log = Log::of_the_process();

    let collector = TestCollector::scripted(|n| {
        let status = match n {
            0..=1 => 503,
            2 => 200,
            _ => 422,
        };
        (status, Duration::ZERO)
    });
    let agent = collector
        .agent()
        .cell_width(Duration::from_millis(20))
        .profile_one_in(1_000)
        .start();
    wait_until("back", || log.lines_with("is back") == 1);
    wait_until("refused twice", || {
        collector
            .puts()
            .iter()
            .filter(|put| put.status == 422)
            .count()
            >= 2
    });
    agent.shutdown(SOON);

    assert_eq!(log.lines_with("AppWeight: counts cpu by "), 1);
    let absent = agent
        .status()
        .counters
        .into_iter()
        .filter_map(|counter| counter.absent_because);
    for why in absent {
        assert_eq!(log.lines_with(&why), 1, "{why}");
    }
    assert_eq!(log.lines_with("; profiles 1 in 1000 by "), 1);
    assert_eq!(
        log.lines_with("no allocated: the program's global allocator"),
        1
    );
    assert_eq!(log.lines_with("a scope costs, and that is taken off: "), 1);
    assert_eq!(log.lines_with("takes nothing: 503"), 1);
    assert_eq!(log.lines_with("is back"), 1);
    assert_eq!(log.lines_with("refuses a batch: 422"), 1);
    assert_eq!(log.lines_with("answer 422"), 1);

    assert!(!Agent::builder().service("").start().status().enabled);
    assert_eq!(
        log.lines_with("service is \"\": must not be empty; nothing is measured"),
        1
    );
}
