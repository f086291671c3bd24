//! The ways that are left when the environment takes the better ones away. Each test starts itself once more in such an
//! environment.

use std::env;
use std::process::Command;
use std::time::{Duration, Instant};

#[path = "../../../tests/src/left_out.rs"]
#[expect(unreachable_pub, reason = "it is another crate's too")]
mod left_out;

use self::left_out::left_out;
use super::tests::{agrees, burn, in_a_calm_turn};
use super::*;
use crate::Agent;
use crate::counters::{forced, holds_in_a_child};

/// Tells a test that it runs in that environment.
const FORCED: &str = "TEST_OF_FORCED_CLOCK";

/// Whether this is the environment without restartable sequences.
fn is_without_areas(test: &str) -> bool {
    is_in_a_process_of_its_own(test, &[("GLIBC_TUNABLES", "glibc.pthread.rseq=0")])
}

/// Whether this is the test's own process; outside, starts it there and fails if it does.
fn is_in_a_process_of_its_own(test: &str, environment: &[(&str, &str)]) -> bool {
    if env::var_os(FORCED).is_some() {
        return true;
    }
    let child = Command::new(env::current_exe().unwrap())
        .args(["--exact", &format!("clock::forced::{test}"), "--nocapture"])
        .envs(environment.iter().copied())
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
    count_a_busy_endpoint_after(|| ())
}

/// The same after something has happened to an agent that runs.
fn count_a_busy_endpoint_after(happens: impl FnOnce()) -> (bool, String) {
    const WIDTH: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(30);
    let agent = Agent::builder()
        .service("tested")
        .collector("http://127.0.0.1:1")
        .cell_width(WIDTH)
        .start_without_environment();
    happens();
    let (begun, mut asked, mut thins) = (Instant::now(), 0, false);
    let is_awaited = |thins: bool| !thins && !cpu_clock().way().is_cheap();
    // Where others want the CPU too, the agent's thread may get none for that long.
    while begun.elapsed() < 8 * WIDTH || is_awaited(thins) && begun.elapsed() < LONG {
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
        left_out("perf events are refused here: the other test is of that");
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
fn a_child_of_a_process_that_reads_pages_reads_one_of_its_own() {
    if !is_without_areas("a_child_of_a_process_that_reads_pages_reads_one_of_its_own") {
        return;
    }
    if page_refusal().is_some() {
        left_out("perf events are refused here");
        return;
    }
    let parent = cpu_clock().now_ns().unwrap();
    in_a_calm_turn(|| {
        let agrees = holds_in_a_child(|| {
            let clock = cpu_clock();
            clock.look_closely();
            let (compared, _) = clock.checks();
            let begins_at_zero = match (clock.now_ns(), sys::thread_cpu_ns()) {
                (Some(cheap), Some(asked)) => cheap.abs_diff(asked) < 500_000,
                _ => false,
            };
            let agrees = agrees(clock, || burn(Duration::from_micros(300))).is_ok();
            // Comparisons are made where a page tells that the thread was not switched.
            let was_compared = clock.checks().0 > compared;
            clock.way() == Way::Page && was_compared && begins_at_zero && agrees
        });
        if agrees {
            Ok(())
        } else {
            Err("a child's page and the system do not agree".to_owned())
        }
    });
    assert_eq!(cpu_clock().way(), Way::Page);
    assert!(
        cpu_clock().now_ns().unwrap() >= parent,
        "the parent's goes on"
    );
}

#[test]
fn a_thread_that_gets_no_page_asks_the_system() {
    if !is_without_areas("a_thread_that_gets_no_page_asks_the_system") {
        return;
    }
    let way = cpu_clock().way();
    forced::no_open_files();
    std::thread::spawn(move || {
        for _ in 0..1_000 {
            let (told, asked) = (cpu_clock().now_ns(), sys::thread_cpu_ns());
            assert!(told.unwrap().abs_diff(asked.unwrap()) < 500_000);
        }
        assert_eq!(cpu_clock().way(), way, "others have their pages");
    })
    .join()
    .unwrap();
}

#[test]
fn without_ticks_of_a_known_length_the_system_call_is_left() {
    let clock = CpuClock::with_ticks(Err("the ticks stop while the CPU sleeps".to_owned()));
    assert_eq!(clock.way(), Way::SystemCall);
    let refused: Vec<Way> = clock.refusals().iter().map(|(way, _)| *way).collect();
    assert_eq!(refused, [Way::Rseq, Way::Page]);
    assert!(clock.refusals()[0].1.contains("the ticks stop"));
    let (told, asked) = (clock.now_ns(), sys::thread_cpu_ns());
    assert!(told.unwrap() <= asked.unwrap());
}

#[test]
fn a_clock_that_is_given_up_is_told_so_and_busy_endpoints_are_thinned_from_then_on() {
    if !is_in_a_process_of_its_own(
        "a_clock_that_is_given_up_is_told_so_and_busy_endpoints_are_thinned_from_then_on",
        &[],
    ) {
        return;
    }
    let before = cpu_clock().way();
    assert!(before.is_cheap(), "{:?}", cpu_clock());
    let (thins, read_by) = count_a_busy_endpoint_after(|| {
        for _ in 0..MAX_DISAGREEMENTS {
            cpu_clock().checks.fetch_add(1, Ordering::Relaxed);
            cpu_clock().disagreed();
        }
    });
    assert!(
        read_by.starts_with(&Way::SystemCall.to_string()),
        "{read_by}"
    );
    let why = format!("no {before}: given up: {MAX_DISAGREEMENTS} of ");
    assert!(thins && read_by.contains(&why), "{read_by}");
}

#[test]
fn who_asks_for_a_close_look_gets_a_hundred_times_as_many_comparisons() {
    if !is_in_a_process_of_its_own(
        "who_asks_for_a_close_look_gets_a_hundred_times_as_many_comparisons",
        &[("APPWEIGHT_CHECK_CLOCK", "true")],
    ) {
        return;
    }
    let agent = Agent::builder()
        .service("tested")
        .collector("http://127.0.0.1:1")
        .start();
    let (begun, before) = (Instant::now(), agent.status().clock_checks);
    while begun.elapsed() < Duration::from_millis(100) {
        agent.measure("task:busy", || ());
    }
    let checks = agent.status().clock_checks - before;
    agent.shutdown(Duration::from_millis(10));
    let usual = 100_000_000 / CHECK_EVERY_NS;
    assert!(
        checks > 5 * usual || !cpu_clock().way().is_cheap(),
        "{checks} where {usual} are usual"
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
