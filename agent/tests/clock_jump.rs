//! The machine's clock jumps while a service is under load: every request is answered and counted once.
//!
//! The system's function is taken over for this whole program, so that there is one test in it.
#![expect(unsafe_code, reason = "a function of the C library is taken over")]

#[cfg(test)]
mod support;

use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::Duration;

use support::load::{Load, routes};
use support::{SOON, TestCollector, wait_until};

/// How far the clock is from what it was, s.
static JUMPED: AtomicI64 = AtomicI64::new(0);

/// The system's, but that the time of day has jumped.
///
/// # Safety
/// As the C library's: `told` may be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(
    clock: libc::clockid_t,
    told: *mut libc::timespec,
) -> libc::c_int {
    // SAFETY: the caller's promise is handed on to the system.
    let answer = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, told) };
    if answer == 0 && clock == libc::CLOCK_REALTIME {
        // SAFETY: the system has just written it.
        unsafe { (*told).tv_sec += JUMPED.load(Ordering::SeqCst) };
    }
    libc::c_int::try_from(answer).unwrap_or(-1)
}

#[test]
fn a_clock_that_jumps_under_load_costs_no_request_and_counts_none_twice() {
    const HOUR: i64 = 3_600;
    let before = std::time::SystemTime::now();
    JUMPED.store(HOUR, Ordering::SeqCst);
    let apart = std::time::SystemTime::now().duration_since(before).unwrap();
    assert!(
        apart >= Duration::from_secs(3_600),
        "the clock is taken over"
    );

    let collector = TestCollector::start();
    let agent = collector
        .agent()
        .cell_width(Duration::from_millis(20))
        .record_one_in(10)
        .start();
    let load = Load::on(routes().layer(agent.layer()));
    let root = |_| "/".to_owned();
    let answers = load.during(root, || {
        for jumped in [0, HOUR, -HOUR, 24 * HOUR, 0] {
            JUMPED.store(jumped, Ordering::SeqCst);
            let sent = agent.status().sent_batches;
            wait_until("it goes on", || agent.status().sent_batches > sent);
            thread::sleep(Duration::from_millis(50));
        }
    });
    assert_eq!(answers.wrong, 0, "{answers:?}");
    wait_until("all are counted", || {
        agent.status().requests >= answers.right
    });
    assert!(agent.shutdown(SOON));
    let status = agent.status();
    assert_eq!(status.requests, answers.right);
    assert_eq!(collector.counted(), answers.right, "{status:?}");
    assert_eq!(status.dropped, 0);
    // No request lasts longer for it.
    let longest = collector
        .requests()
        .into_iter()
        .map(|record| record.wall_ns);
    assert!(longest.max().unwrap() < 60_000_000_000);
}
