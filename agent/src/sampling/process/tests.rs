use std::hint::black_box;
use std::panic;

use super::*;
use crate::counters::holds_in_a_child;
use crate::sys;

/// Until so much time of a CPU was used.
fn busy_ms(milliseconds: u64, mut work: impl FnMut()) {
    let until = sys::thread_cpu_ns().unwrap() + milliseconds * 1_000_000;
    while sys::thread_cpu_ns().unwrap() < until {
        work();
    }
}

#[inline(never)]
fn panics_deep(depth: usize) -> usize {
    if depth == 0 {
        panic::panic_any(7_usize);
    }
    black_box(panics_deep(black_box(depth - 1))) + 1
}

/// Panics, unwinds, allocates and gives back in four threads under the fastest timer that there is: nothing may hang, crash or
/// be lost. In a child of its own, which is waited for.
#[test]
fn a_sampled_process_may_panic_and_allocate() {
    if crate::sampling::stacks_are_whole().is_err() {
        assert!(Process::begin(99).is_err_and(|why| why.contains("frame pointers")));
        return;
    }
    assert!(holds_in_a_child(|| {
        panic::set_hook(Box::new(|_| ()));
        let mut process = Process::begin(10_000).unwrap();
        assert!(Process::begin(99).is_err_and(|why| why.contains("another agent")));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    busy_ms(500, || {
                        let caught = panic::catch_unwind(|| panics_deep(20)).unwrap_err();
                        assert_eq!(caught.downcast_ref(), Some(&7_usize));
                        let many: Vec<Vec<u8>> = (1..200).map(|bytes| vec![1; bytes * 7]).collect();
                        black_box(many);
                    });
                });
            }
        });
        let seen = process.take();
        let samples: u64 = seen.iter().map(|seen| seen.samples).sum();
        let deep = seen.iter().filter(|seen| seen.frames.len() > 3).count();
        // What the first look itself is seen in.
        let again: u64 = process.take().iter().map(|seen| seen.samples).sum();
        // 2 s of CPU; the kernel's timer ticks a hundred times a second at least.
        samples >= 100 && deep > 0 && again < samples / 10
    }));
}

#[test]
fn a_handler_of_somebody_else_is_left_alone() {
    if crate::sampling::stacks_are_whole().is_err() {
        return;
    }
    assert!(holds_in_a_child(|| {
        super::handler::ignore_for_test();
        Process::begin(99).is_err_and(|why| why.contains("somebody else"))
            && super::handler::is_ignored_for_test()
    }));
}

#[test]
fn memory_that_is_not_there_is_no_crash() {
    assert!(memory::try_it().is_ok());
    assert_eq!(memory::two_words(8), None);
    assert_eq!(memory::two_words(usize::MAX - 16), None);
    let words = [3_usize, 4];
    assert_eq!(memory::two_words(words.as_ptr() as usize), Some(words));
}
