//! Sampling where perf events are forbidden: by itself the agent samples the whole process instead, whose samples belong to
//! no request. A test of its own: the signal's timer and the log are the process's.
//!
//! As `sampling.rs` it needs a program with frame pointers; in one without it sees to it that the agent says so.

#[cfg(test)]
#[expect(dead_code, reason = "the limit of open files is another test's")]
#[path = "../src/counters/forced.rs"]
mod forced;
#[cfg(test)]
mod support;

use std::hint::black_box;
use std::time::{Duration, Instant};

use appweight_agent::{Agent, SamplingStatus};
use appweight_wire::Taken;

use support::left_out::left_out;
use support::log::Log;
use support::{SOON, TestCollector, wait_until};

/// What became of the agent's attempts to sample.
fn tried(agent: &Agent) -> SamplingStatus {
    let is_open = |why: &Option<String>| why.as_deref() == Some("it has not been tried yet");
    wait_until("both were tried", || {
        let status = agent.status().sampling;
        !is_open(&status.absent_because) && !is_open(&status.process_absent_because)
    });
    agent.status().sampling
}

#[test]
fn the_process_is_sampled_where_perf_events_are_forbidden() {
    let log = Log::of_the_process();
    for (number, errno) in (1..).zip([libc::EPERM, libc::EACCES, libc::ENOSYS]) {
        // A filter is of the thread that asks for it, and of those that it starts.
        let log = log.clone();
        let done = std::thread::spawn(move || {
            forced::seccomp(errno);
            sampled_by_itself(&log, number);
        });
        done.join().unwrap();
    }
    let never = std::thread::spawn(|| {
        forced::seccomp(libc::EPERM);
        let collector = TestCollector::start();
        let agent = collector.agent().sample_stacks(1_000).sample_process(0);
        let status = tried(&agent.start());
        let why = status.process_absent_because.unwrap();
        assert_eq!(why, "it is switched off");
    });
    never.join().unwrap();
}

fn sampled_by_itself(log: &Log, times: usize) {
    let collector = TestCollector::start();
    let agent = collector
        .agent()
        .profile_one_in(1)
        .sample_stacks(1_000)
        .start();
    let status = tried(&agent);
    assert_eq!(status.read_by, None);
    assert_eq!(
        log.lines_with("the stacks of requests are not sampled: perf_event_open is not"),
        times
    );
    let Some(how) = status.process_read_by else {
        let why = status.process_absent_because.unwrap_or_default();
        assert!(why.contains("frame pointers"), "{why}");
        let required = std::env::var("APPWEIGHT_TEST_SAMPLING").is_ok_and(|how| how == "require");
        assert!(!required, "the process is not sampled: {why}");
        left_out(why);
        return;
    };
    assert!(how.starts_with("SIGPROF"), "{how}");
    assert_eq!(log.lines_with("these samples belong to no request"), times);
    agent.measure("somebody", || {
        let until = Instant::now() + Duration::from_millis(300);
        while Instant::now() < until {
            black_box((0..1_000_000_u64).map(black_box).sum::<u64>());
        }
    });
    assert!(agent.shutdown(SOON));
    let batches = collector.batches().into_iter();
    let profiles: Vec<_> = batches.flat_map(|batch| batch.profiles).collect();
    let mut samples = 0;
    for profile in &profiles {
        match profile.taken {
            Taken::Sampled => {
                assert_eq!((profile.endpoint.as_str(), profile.requests), ("", 0));
                samples += profile.samples;
            }
            Taken::Scopes => assert_eq!(
                (profile.endpoint.as_str(), profile.requests),
                ("somebody", 1)
            ),
        }
    }
    // 99 per second of CPU, of a kernel that ticks often enough. The process also uses CPU to name what was sampled.
    let used_ns: u64 = collector.processes().iter().map(|of| of.cpu_ns).sum();
    let most = used_ns * 99 / 1_000_000_000 + 5;
    assert!(
        (5..=most).contains(&samples),
        "{samples} samples of {used_ns} ns"
    );
    assert!(
        profiles
            .iter()
            .any(|profile| profile.taken == Taken::Scopes)
    );
}
