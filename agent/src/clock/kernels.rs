//! The clock on kernels that tell of every switch in a restartable-sequence area and on those that do not (Linux
//! 6.19 and later). Ignored, since it takes both: `tests/pmu-vm/test` boots them in a virtual machine.

use std::thread;
use std::time::Duration;

use super::*;

fn kernel() -> String {
    crate::machine::kernel()
}

/// Fails unless the clock says what the system call says, whether the thread works or sleeps.
fn assert_right(clock: &CpuClock) {
    const TURNS: usize = 20;
    const NAP: Duration = Duration::from_millis(5);
    let both = || {
        (
            clock.now_ns().expect("a reading"),
            sys::thread_cpu_ns().expect("a reading"),
        )
    };
    let before = both();
    for _ in 0..TURNS {
        let begun = sys::thread_cpu_ns().unwrap();
        while sys::thread_cpu_ns().unwrap() < begun + 1_000_000 {
            std::hint::black_box(clock.now_ns());
        }
        thread::sleep(NAP);
    }
    let after = both();
    let (told, used) = (after.0 - before.0, after.1 - before.1);
    assert!(
        used < 50_000_000,
        "{used} ns used: the naps are not among them"
    );
    assert!(
        told.abs_diff(used) < used / 50,
        "{}: {told} told, {used} used",
        clock.way()
    );
    let (_, disagreements) = clock.checks();
    assert_eq!(disagreements, 0, "{clock:?}");
}

#[test]
#[ignore = "needs a kernel before 6.19: tests/pmu-vm/test"]
fn an_older_kernel_tells_of_switches_in_the_area() {
    let clock = cpu_clock();
    assert_eq!(clock.way(), Way::Rseq, "{}: {clock:?}", kernel());
    assert_right(clock);
}

fn assert_area_is_refused(clock: &CpuClock) {
    let (way, why) = &clock.refusals()[0];
    assert_eq!(*way, Way::Rseq);
    assert!(why.contains("inside system calls"), "{}: {why}", kernel());
}

#[test]
#[ignore = "needs a kernel from 6.19 on and perf events: tests/pmu-vm/test"]
fn a_newer_kernel_is_found_out_and_the_event_s_page_is_taken() {
    let clock = cpu_clock();
    assert_area_is_refused(clock);
    assert_eq!(clock.way(), Way::Page, "{}: {clock:?}", kernel());
    assert_right(clock);
}

#[test]
#[ignore = "needs a kernel from 6.19 on that refuses perf events: tests/pmu-vm/test"]
fn where_perf_events_are_refused_too_the_system_call_is_left() {
    let clock = cpu_clock();
    assert_area_is_refused(clock);
    assert_eq!(clock.way(), Way::SystemCall, "{}: {clock:?}", kernel());
    let (way, why) = &clock.refusals()[1];
    assert_eq!(*way, Way::Page);
    assert!(why.contains("kernel.perf_event_paranoid is 3"), "{why}");
    assert_right(clock);
}
