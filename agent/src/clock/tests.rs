//! The cheap clock against the system call, in whatever can happen to a thread.

#![expect(
    unsafe_code,
    reason = "signals, forks and bindings to a CPU are C calls"
)]

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::*;

/// The ways that this machine offers. The system call is always one, so that a test of all is a
/// test of something.
fn clocks() -> Vec<CpuClock> {
    at_fork();
    let scale = Scale::measure().unwrap_or(Scale::NONE);
    Way::ALL
        .into_iter()
        .filter(|way| trial::of(*way, scale).is_ok())
        .map(|way| CpuClock::new(way, scale, Vec::new()))
        .collect()
}

/// Tries it a few times. A clock that is wrong is so each time; a hypervisor that takes the CPU away for hundreds of
/// microseconds, which the system takes off a thread's time and ticks do not, takes it in bursts: one calm turn is asked for.
pub(super) fn in_a_calm_turn(mut attempt: impl FnMut() -> Result<(), String>) {
    const TURNS: usize = 5;
    let mut failed = Vec::new();
    for _ in 0..TURNS {
        match attempt() {
            Ok(()) => return,
            Err(why) => failed.push(why),
        }
    }
    panic!("{}", failed.join("\n"));
}

fn assert_agrees(clock: &CpuClock, mut work: impl FnMut()) {
    in_a_calm_turn(|| agrees(clock, &mut work));
}

/// Does the work some times and sets what the clock counted beside what the system counted.
pub(super) fn agrees(clock: &CpuClock, mut work: impl FnMut()) -> Result<(), String> {
    const TIMES: usize = 20;
    // Each reading lies between two of the system: interrupts may come between any of them.
    let moment = || {
        let before = sys::thread_cpu_ns().unwrap();
        let cheap = clock.now_ns().unwrap();
        (before, cheap, sys::thread_cpu_ns().unwrap())
    };
    let mut apart = Vec::new();
    for _ in 0..TIMES {
        let start = moment();
        work();
        let end = moment();
        let cheap = end.1.wrapping_sub(start.1);
        let (least, most) = (end.0 - start.2, end.2 - start.0);
        let outside = least.saturating_sub(cheap).max(cheap.saturating_sub(most));
        apart.push(outside.saturating_sub(most / 100));
    }
    apart.sort_unstable();
    // One time in twenty the hypervisor may take the CPU away between two readings.
    if apart[TIMES - 2] < APART_NS {
        Ok(())
    } else {
        Err(format!("{}: apart by {apart:?} ns", clock.way()))
    }
}

/// Beyond what the readings themselves leave open.
const APART_NS: u64 = 30_000;

pub(super) fn burn(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        black_box((0..100_u64).sum::<u64>());
    }
}

fn bind(cpu: usize) {
    // SAFETY: the set is filled before it is used.
    let bound = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    assert_eq!(bound, 0, "CPU {cpu}");
}

fn in_thread(work: impl FnOnce() + Send) {
    thread::scope(|scope| scope.spawn(work).join()).unwrap();
}

#[test]
fn this_machine_has_a_way_and_says_why_not_a_better_one() {
    let clock = cpu_clock();
    let better = Way::ALL.iter().position(|way| *way == clock.way()).unwrap();
    assert_eq!(clock.refusals().len(), better, "{clock:?}");
    assert!(clock.refusals().iter().all(|(_, why)| !why.is_empty()));
    assert!(clock.now_ns().is_some());
}

#[test]
fn work_and_sleep_agree() {
    for clock in clocks() {
        in_thread(|| {
            assert_agrees(&clock, || burn(Duration::from_micros(300)));
            assert_agrees(&clock, || thread::sleep(Duration::from_micros(300)));
            let (asked, start) = (sys::thread_cpu_ns().unwrap(), clock.now_ns().unwrap());
            thread::sleep(Duration::from_millis(100));
            let slept = clock.now_ns().unwrap() - start;
            // What it takes to fall asleep and to wake up, by the system's own count.
            let used = sys::thread_cpu_ns().unwrap() - asked;
            assert!(
                slept <= used + APART_NS,
                "{}: sleep cost {slept} ns of {used}",
                clock.way()
            );
        });
    }
}

#[test]
fn preemption_agrees() {
    for clock in clocks() {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    bind(0);
                    while !done.load(Ordering::Relaxed) {
                        black_box((0..100_u64).sum::<u64>());
                    }
                });
            }
            let measured = scope.spawn(|| {
                bind(0);
                assert_agrees(&clock, || burn(Duration::from_millis(10)));
            });
            let ended = measured.join();
            done.store(true, Ordering::Relaxed);
            ended.unwrap();
        });
    }
}

#[test]
fn moving_between_cpus_agrees() {
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    for clock in clocks() {
        in_thread(|| {
            let mut cpu = 0;
            assert_agrees(&clock, || {
                cpu = (cpu + 1) % cpus;
                bind(cpu);
                burn(Duration::from_micros(200));
            });
        });
    }
}

#[test]
fn signals_agree() {
    static SIGNALS: AtomicU64 = AtomicU64::new(0);
    extern "C" fn handler(_: libc::c_int) {
        SIGNALS.fetch_add(1, Ordering::Relaxed);
    }
    // SAFETY: the handler only adds to an atomic; SIGUSR2 has no other use in these tests.
    unsafe {
        let handler = handler as extern "C" fn(libc::c_int);
        libc::signal(libc::SIGUSR2, handler as libc::sighandler_t);
    }
    for clock in clocks() {
        in_thread(|| {
            assert_agrees(&clock, || {
                for _ in 0..10 {
                    burn(Duration::from_micros(10));
                    // SAFETY: sends a handled signal to this thread.
                    unsafe {
                        libc::pthread_kill(libc::pthread_self(), libc::SIGUSR2);
                    }
                }
            });
        });
    }
    assert!(SIGNALS.load(Ordering::Relaxed) >= 200);
}

#[test]
fn thousands_of_threads_each_have_their_own() {
    const THREADS: u64 = 2_000;
    for clock in clocks() {
        in_a_calm_turn(|| {
            let wrong = AtomicU64::new(0);
            for _ in 0..THREADS / 100 {
                thread::scope(|scope| {
                    for _ in 0..100 {
                        scope.spawn(|| {
                            let before = sys::thread_cpu_ns().unwrap();
                            let start = clock.now_ns().unwrap();
                            burn(Duration::from_micros(50));
                            let end = clock.now_ns().unwrap();
                            let after = sys::thread_cpu_ns().unwrap();
                            if start < before || end > after + 5_000 {
                                wrong.fetch_add(1, Ordering::Relaxed);
                            }
                        });
                    }
                });
            }
            // Time that a hypervisor takes from a thread looks used to it until the next check.
            let wrong = wrong.into_inner();
            if wrong <= THREADS / 200 {
                Ok(())
            } else {
                Err(format!("{}: {wrong} wrong", clock.way()))
            }
        });
    }
}

#[test]
fn another_user_of_restartable_sequences_does_not_disturb() {
    let scale = Scale::measure().unwrap_or(Scale::NONE);
    if trial::of(Way::Rseq, scale).is_err() {
        return;
    }
    let clock = CpuClock::new(Way::Rseq, scale, Vec::new());
    in_thread(|| {
        assert_agrees(&clock, || {
            rseq::overwrite_as_another_user();
            burn(Duration::from_micros(50));
            rseq::overwrite_as_another_user();
        });
    });
}

#[test]
fn a_child_begins_at_zero() {
    for clock in clocks() {
        in_thread(|| {
            while sys::thread_cpu_ns().unwrap() < 2_000_000 {
                burn(Duration::from_micros(100));
            }
            let parent = clock.now_ns().unwrap();
            assert!(parent > 1_000_000);
            // SAFETY: the child reads clocks, for which it may open an event of its own, and ends at once.
            let child = unsafe { libc::fork() };
            if child == 0 {
                let right = match (clock.now_ns(), sys::thread_cpu_ns()) {
                    (Some(cheap), Some(asked)) => cheap.abs_diff(asked) < 500_000,
                    _ => false,
                };
                // SAFETY: ends the child without running what the parent has at its exit.
                unsafe { libc::_exit(i32::from(!right)) };
            }
            let mut status = 0;
            // SAFETY: waits for our own child.
            let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
            assert_eq!((waited, status), (child, 0), "{}", clock.way());
            assert!(clock.now_ns().unwrap() >= parent, "the parent's goes on");
        });
    }
}

#[test]
fn a_clock_that_disagrees_is_given_up() {
    let Ok(scale) = Scale::measure() else { return };
    for way in [Way::Rseq, Way::Page] {
        if trial::of(way, scale).is_err() {
            continue;
        }
        // Ticks that are taken for three times as long as they are.
        let clock = CpuClock::new(way, scale.times(3), Vec::new());
        clock.look_closely();
        in_thread(|| {
            let begun = Instant::now();
            while clock.way() == way && begun.elapsed() < Duration::from_secs(5) {
                clock.now_ns();
            }
        });
        assert_eq!(clock.way(), Way::SystemCall);
        let (checks, disagreements) = clock.checks();
        assert!(disagreements >= MAX_DISAGREEMENTS && disagreements <= checks);
    }
}

#[test]
fn a_clock_that_agrees_is_kept_under_a_close_look() {
    for clock in clocks().into_iter().filter(|clock| clock.way().is_cheap()) {
        clock.look_closely();
        let way = clock.way();
        in_thread(|| {
            let begun = Instant::now();
            while clock.checks().0 < 500 && begun.elapsed() < Duration::from_secs(10) {
                clock.now_ns();
            }
        });
        assert_eq!(clock.way(), way, "{:?}", clock.checks());
        assert!(clock.checks().0 >= 500, "{:?}", clock.checks());
    }
}
