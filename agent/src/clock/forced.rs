//! The ways that are left when the environment takes the better ones away. Each test starts itself once more in such an
//! environment.

use std::env;
use std::process::Command;
use std::time::{Duration, Instant};

use super::*;
use crate::Agent;
use crate::counters::forced;

/// Tells a test that it runs in that environment.
const FORCED: &str = "TEST_OF_FORCED_CLOCK";

/// Whether this is the environment; outside, starts the test there and fails if it does.
fn is_without_areas(test: &str) -> bool {
    if env::var_os(FORCED).is_some() {
        return true;
    }
    let child = Command::new(env::current_exe().unwrap())
        .args(["--exact", &format!("clock::forced::{test}"), "--nocapture"])
        .env("GLIBC_TUNABLES", "glibc.pthread.rseq=0")
        .env(FORCED, "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success(),
        "{told}{}",
        String::from_utf8_lossy(&child.stderr)
    );
    assert!(told.contains("1 passed"), "{told}");
    false
}

fn assert_areas_are_refused() {
    let (way, why) = &cpu_clock().refusals()[0];
    assert_eq!(*way, Way::Rseq);
    let known = [
        "glibc.pthread.rseq has switched",
        "glibc 2.35 does",
        "could not register",
    ];
    assert!(known.iter().any(|known| why.contains(known)), "{why}");
}

/// Counts a busy endpoint with quick spans and no number chosen: whether some passed uncounted, and what CPU time is read
/// by.
fn count_a_busy_endpoint() -> (bool, String) {
    const WIDTH: Duration = Duration::from_millis(50);
    let agent = Agent::builder()
        .service("tested")
        .collector("http://127.0.0.1:1")
        .cell_width(WIDTH)
        .start_without_environment();
    let (begun, mut asked, mut thins) = (Instant::now(), 0, false);
    while begun.elapsed() < 8 * WIDTH {
        for _ in 0..1_000 {
            agent.measure("task:busy", || ());
        }
        asked += 1_000;
        thins |= agent.status().thins;
    }
    agent.shutdown(Duration::from_millis(10));
    let status = agent.status();
    assert_eq!(status.tasks, asked, "the number stays exact");
    let cpu = status.counters.iter().find(|counter| counter.name == "cpu");
    (thins, cpu.unwrap().read_by.clone().unwrap_or_default())
}

#[test]
fn where_areas_tell_every_request_is_counted() {
    let (thins, read_by) = count_a_busy_endpoint();
    assert!(
        read_by.starts_with(&cpu_clock().way().to_string()),
        "{read_by}"
    );
    assert_eq!(thins, !cpu_clock().way().is_cheap());
}

#[test]
fn without_restartable_sequences_the_page_of_an_event_is_read() {
    if !is_without_areas("without_restartable_sequences_the_page_of_an_event_is_read") {
        return;
    }
    assert_areas_are_refused();
    if page_refusal().is_some() {
        println!("perf events are refused here: the other test is of that");
        return;
    }
    assert_eq!(cpu_clock().way(), Way::Page, "{:?}", cpu_clock());
    let (thins, read_by) = count_a_busy_endpoint();
    assert!(
        !thins && read_by.starts_with(&Way::Page.to_string()),
        "{read_by}"
    );
}

#[test]
fn without_both_the_system_call_is_left_and_busy_endpoints_are_thinned_by_themselves() {
    if !is_without_areas(
        "without_both_the_system_call_is_left_and_busy_endpoints_are_thinned_by_themselves",
    ) {
        return;
    }
    forced::seccomp(libc::EPERM);
    assert_areas_are_refused();
    assert_eq!(cpu_clock().refusals()[1].0, Way::Page);
    assert_eq!(cpu_clock().way(), Way::SystemCall);
    let (thins, read_by) = count_a_busy_endpoint();
    assert!(
        thins && read_by.starts_with(&Way::SystemCall.to_string()),
        "{read_by}"
    );
}
