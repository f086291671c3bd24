//! Hardware counters against work of known length. They are ignored, as most machines that run
//! tests count no instructions; `tests/pmu-vm/test` runs them in a virtual machine that does.

use std::os::unix::process::parent_id;
use std::thread;

use perf_event::events::Hardware::INSTRUCTIONS;

use super::fork::tests::holds_in_a_child;
use super::group::{Event, Group};
use super::known_work::work;
use super::register::CONFIG1;
use super::trial::{Trial, trial};
use super::*;
use crate::sys;

/// A group of instructions, of the user's alone and with the kernel's.
const USER: usize = 0;
const ALL: usize = 1;

fn group(config1: &[u64]) -> Group {
    let events = [
        Event::user(INSTRUCTIONS),
        Event::user_and_kernel(INSTRUCTIONS),
    ];
    Group::open(&events, config1).unwrap_or_else(|error| {
        let why = absence::explain(&error, absence::Circumstances::look());
        panic!("instructions cannot be counted here: {why}")
    })
}

/// What an event counted during some work. Never scaled.
fn during(read: impl Fn() -> Option<[u64; 3]>, work: impl FnOnce()) -> u64 {
    let before = read().expect("a reading before");
    work();
    let after = read().expect("a reading after");
    assert_eq!(
        after[1] - before[1],
        after[2] - before[2],
        "the counter is shared with others"
    );
    after[0] - before[0]
}

/// Fails unless each turn is counted as two instructions, exactly, each time.
fn assert_exact(read: impl Fn() -> Option<[u64; 3]>) {
    let counted = |turns| during(&read, || work(turns));
    counted(1);
    let around = counted(1) - 2;
    assert!(around < 5_000, "{around} instructions around the loop");
    for turns in [1, 10, 1_000, 100_000, 10_000_000] {
        for _ in 0..3 {
            assert_eq!(counted(turns), 2 * turns + around, "{turns} turns");
        }
    }
}

fn status_of_instructions() -> CounterStatus {
    let counters = Counters::probe();
    let mut statuses = counters.statuses().into_iter();
    statuses
        .find(|counter| counter.name == "instructions")
        .expect("a line on instructions")
}

mod by_system_call {
    use super::*;

    #[test]
    #[ignore = "needs a performance monitoring unit: tests/pmu-vm/test"]
    fn a_group_counts_a_loop_of_known_length_exactly() {
        let group = group(CONFIG1);
        assert_exact(|| group.read()?.of(USER));
    }

    #[test]
    #[ignore = "needs a performance monitoring unit: tests/pmu-vm/test"]
    fn one_event_is_read_alone_as_in_its_group() {
        let group = group(CONFIG1);
        assert_exact(|| sys::read_perf_counter(group.descriptor(USER)?));
    }

    #[test]
    #[ignore = "needs a performance monitoring unit: tests/pmu-vm/test"]
    fn what_the_kernel_does_is_counted_where_that_is_wanted() {
        const CALLS: u64 = 1_000;
        let group = group(CONFIG1);
        let both = |work: &dyn Fn()| {
            let (before, ()) = (group.read().unwrap(), work());
            let after = group.read().unwrap();
            [USER, ALL].map(|event| after.of(event).unwrap()[0] - before.of(event).unwrap()[0])
        };
        let calls = || {
            for _ in 0..CALLS {
                std::hint::black_box(parent_id());
            }
        };
        both(&calls);
        let [user, all] = both(&calls);
        assert_eq!(both(&calls)[USER], user, "the user's part repeats");
        assert!(
            all > user + 50 * CALLS,
            "{all} with the kernel, {user} without"
        );
        let [user, all] = both(&|| work(1_000_000));
        assert!(
            user < 2_010_000 && all > user,
            "{all} with the kernel, {user} without"
        );
    }

    #[test]
    #[ignore = "needs a performance monitoring unit: tests/pmu-vm/test"]
    fn more_events_than_counters_are_scaled_up() {
        const TURNS: u64 = 100_000_000;
        let others: Vec<Group> = (0..6).map(|_| group(CONFIG1)).collect();
        let group = group(CONFIG1);
        let before = group.read().unwrap();
        work(TURNS);
        let after = group.read().unwrap();
        drop(others);
        let [count, enabled, running] = {
            let (before, after) = (before.of(USER).unwrap(), after.of(USER).unwrap());
            [0, 1, 2].map(|number| after[number] - before[number])
        };
        assert!(
            0 < running && running < enabled,
            "{running} of {enabled} ns"
        );
        assert!(count < 2 * TURNS * 9 / 10, "{count} counted: not shared");
        let scaled = count as f64 * enabled as f64 / running as f64;
        let wrong = scaled / (2 * TURNS) as f64 - 1.0;
        assert!(wrong.abs() < 0.1, "{scaled} is {wrong} off");
    }

    #[test]
    #[ignore = "needs a performance monitoring unit: tests/pmu-vm/test"]
    fn each_thread_counts_for_itself() {
        const TURNS: u64 = 10_000_000;
        let counters = Counters::probe();
        let read = || counters.read_more().instructions;
        let mut there = 0;
        let here = during(read, || {
            thread::scope(|scope| {
                let other = scope.spawn(|| during(read, || work(TURNS)));
                there = other.join().unwrap();
            });
        });
        assert!(there >= 2 * TURNS, "{there} there");
        assert!(here < TURNS, "{here} here");
    }

    #[test]
    #[ignore = "needs a performance monitoring unit: tests/pmu-vm/test"]
    fn a_forked_child_counts_for_itself() {
        const TURNS: u64 = 10_000_000;
        let counters = Counters::probe();
        let read = || counters.read_more().instructions;
        during(read, || work(10 * TURNS));
        let ours = read().unwrap()[0];
        assert!(holds_in_a_child(|| {
            let first = read().unwrap()[0];
            let counted = during(read, || work(TURNS));
            first < TURNS && (2 * TURNS..3 * TURNS).contains(&counted)
        }));
        let since = read().unwrap()[0] - ours;
        assert!(since < TURNS, "{since} counted while the child ran");
    }
}

/// All threads of the process together.
mod of_the_process {
    use std::sync::Barrier;

    use super::*;

    const TURNS: u64 = 10_000_000;

    #[test]
    #[ignore = "needs a performance monitoring unit: tests/pmu-vm/test"]
    fn threads_of_before_and_after_are_counted_and_a_child_is_not() {
        let barrier = Barrier::new(2);
        thread::scope(|scope| {
            let of_before = scope.spawn(|| {
                barrier.wait();
                barrier.wait();
                work(TURNS);
            });
            barrier.wait();
            let counters = Counters::probe();
            let read = || counters.process_instructions().expect("they are counted");
            let before = read();
            barrier.wait();
            of_before.join().unwrap();
            thread::spawn(|| work(TURNS)).join().unwrap();
            work(TURNS);
            let ours = read() - before;
            // With the kernel's part: what interrupts cost in this machine is a fifth.
            assert!((6 * TURNS..8 * TURNS).contains(&ours), "{ours}");
            let before = read();
            assert!(holds_in_a_child(|| {
                work(10 * TURNS);
                let first = Counters::probe();
                let began = first.process_instructions().unwrap();
                work(TURNS);
                let own = first.process_instructions().unwrap() - began;
                counters.process_instructions().is_none() && (2 * TURNS..3 * TURNS).contains(&own)
            }));
            let while_it_ran = read() - before;
            assert!(while_it_ran < TURNS, "{while_it_ran} counted for the child");
        });
    }
}

/// With `kernel.perf_user_access` set.
mod in_user_space {
    use super::*;

    #[test]
    #[ignore = "needs a performance monitoring unit: tests/pmu-vm/test"]
    fn it_is_used_after_its_trial() {
        let status = status_of_instructions();
        let how = status.read_by.expect("instructions");
        assert!(how.contains("in user space"), "{how}");
    }

    #[test]
    #[ignore = "needs a performance monitoring unit: tests/pmu-vm/test"]
    fn a_loop_of_known_length_is_counted_exactly() {
        let group = group(CONFIG1);
        assert_exact(|| group.read_in_user_space(USER));
    }

    #[test]
    #[ignore = "needs a performance monitoring unit: tests/pmu-vm/test"]
    fn it_says_what_the_system_call_says() {
        let group = group(CONFIG1);
        for _ in 0..200 {
            assert_eq!(trial(&group, USER), Trial::Agrees);
            assert_eq!(trial(&group, ALL), Trial::Agrees);
            work(997);
        }
    }

    #[test]
    #[ignore = "needs a performance monitoring unit: tests/pmu-vm/test"]
    #[cfg(target_arch = "aarch64")]
    fn a_counter_of_32_bits_is_read_as_well() {
        let group = group(&[0b10]);
        assert_exact(|| group.read_in_user_space(USER));
        // The sign of the register changes on the way.
        let counted = during(|| group.read_in_user_space(USER), || work(1 << 31));
        assert!((1 << 32..(1 << 32) + 5_000).contains(&counted), "{counted}");
        assert_eq!(trial(&group, USER), Trial::Agrees);
    }

    #[test]
    #[ignore = "needs a performance monitoring unit: tests/pmu-vm/test"]
    fn a_counter_that_was_not_asked_for_so_is_left_to_the_system_call() {
        let group = group(&[0]);
        assert_eq!(group.read_in_user_space(USER), None);
        assert_exact(|| group.read()?.of(USER));
    }

    #[test]
    #[ignore = "needs a performance monitoring unit: tests/pmu-vm/test"]
    fn a_counter_that_is_shared_is_scaled_whichever_way_it_is_read() {
        const TURNS: u64 = 1_000_000;
        let others: Vec<Group> = (0..6).map(|_| group(CONFIG1)).collect();
        let group = group(CONFIG1);
        let read = || {
            group
                .read_in_user_space(USER)
                .map(|reading| (reading, true))
                .or_else(|| Some((group.read()?.of(USER)?, false)))
                .unwrap()
        };
        let (first, _) = read();
        let (mut last, mut in_user_space) = (first, 0);
        for _ in 0..200 {
            work(TURNS);
            let (now, by_register) = read();
            in_user_space += u32::from(by_register);
            assert!(
                (0..3).all(|number| now[number] >= last[number]),
                "{last:?} {now:?}"
            );
            let (enabled, running) = (now[1] - last[1], now[2] - last[2]);
            assert!(running <= enabled, "{last:?} {now:?}");
            last = now;
        }
        drop(others);
        assert!((1..200).contains(&in_user_space), "{in_user_space} of 200");
        let [count, enabled, running] = [0, 1, 2].map(|number| last[number] - first[number]);
        let scaled = count as f64 * enabled as f64 / running as f64;
        let wrong = scaled / (200 * 2 * TURNS) as f64 - 1.0;
        assert!(wrong.abs() < 0.1, "{scaled} is {wrong} off");
    }
}

/// As a user without capabilities, where `kernel.perf_event_paranoid` is 3.
mod refused {
    use super::*;

    #[test]
    #[ignore = "needs kernel.perf_event_paranoid=3 and no capabilities: tests/pmu-vm/test"]
    fn the_reason_names_the_setting() {
        let status = status_of_instructions();
        let why = status.absent_because.expect("no instructions");
        assert!(
            why.contains("kernel.perf_event_paranoid is 3, set it to 2"),
            "{why}"
        );
        assert_eq!(Counters::probe().read_more().instructions, None);
    }
}

/// On a machine without counters, such as most virtual ones.
mod without {
    use super::*;

    #[test]
    #[ignore = "needs a machine without a performance monitoring unit: tests/pmu-vm/test"]
    fn the_reason_is_the_machine() {
        let status = status_of_instructions();
        let why = status.absent_because.expect("no instructions");
        assert!(why.contains("no performance monitoring unit"), "{why}");
        assert_eq!(Counters::probe().read_more().instructions, None);
    }
}
