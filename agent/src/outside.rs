//! CPU time outside of all that is measured: accept loop, runtime, the agent's own threads.
//!
//! A thread that measures requests tells it itself: what its clock moved between the end of one
//! measured stretch and the start of the next. The other threads are looked up in the kernel's
//! books (`/proc/self/task/<tid>/schedstat`, proc(5)) when a process record is made.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs;
use std::mem;
use std::sync::{Mutex, PoisonError};

use crate::sys;

thread_local! {
    static THREAD: Thread = const {
        Thread {
            left_ns: Cell::new(0),
            outside_ns: Cell::new(0),
        }
    };
}

/// Where the calling thread is.
struct Thread {
    /// When it left the last stretch, by its CPU clock.
    left_ns: Cell<u64>,
    /// What it used between stretches, not fetched yet.
    outside_ns: Cell<u64>,
}

/// The calling thread leaves a measured stretch that lies in no other, since `entered_ns`: both by its CPU clock.
#[inline]
pub(crate) fn leave(entered_ns: Option<u64>, left_ns: Option<u64>) {
    THREAD.with(|thread| {
        let used = entered_ns.unwrap_or(0).saturating_sub(thread.left_ns.get());
        thread.outside_ns.set(thread.outside_ns.get() + used);
        thread.left_ns.set(left_ns.unwrap_or(0));
    });
}

/// Takes what the calling thread has used outside so far.
#[inline]
pub(crate) fn take() -> u64 {
    THREAD.with(|thread| thread.outside_ns.take())
}

/// What all threads had used when they were last looked at.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    known: Mutex<HashMap<u32, Known>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Known {
    used_ns: u64,
    /// It measures, and tells for itself.
    measures: bool,
}

impl Threads {
    /// Those that there are when the agent starts: what they used until now is none of its.
    pub(crate) fn new() -> Self {
        let threads = Self::default();
        threads.look();
        threads
    }

    /// The calling thread begins to measure: what it used before it was last looked at is told
    /// already.
    pub(crate) fn begins_to_measure(&self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let thread = known.entry(sys::thread_id()).or_default();
        if !mem::replace(&mut thread.measures, true) {
            THREAD.with(|own| own.left_ns.set(own.left_ns.get().max(thread.used_ns)));
        }
    }

    /// What the threads that do not measure have used since the last look, ns.
    pub(crate) fn look(&self) -> u64 {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut outside = 0_u64;
        let mut alive = HashMap::with_capacity(known.len());
        for (thread, used_ns) in threads() {
            let before = known.get(&thread).copied().unwrap_or_default();
            if !before.measures {
                outside = outside.saturating_add(used_ns.saturating_sub(before.used_ns));
            }
            alive.insert(thread, Known { used_ns, ..before });
        }
        *known = alive;
        outside
    }
}

/// The process's threads and the CPU time that each has used.
fn threads() -> impl Iterator<Item = (u32, u64)> {
    fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let thread = entry.file_name().to_str()?.parse().ok()?;
            let text = fs::read_to_string(entry.path().join("schedstat")).ok()?;
            Some((thread, text.split(' ').next()?.parse().ok()?))
        })
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    fn burn(time: Duration) {
        let end = sys::thread_cpu_ns().unwrap() + u64::try_from(time.as_nanos()).unwrap();
        while sys::thread_cpu_ns().unwrap() < end {}
    }

    #[test]
    fn a_thread_tells_what_it_used_between_two_stretches() {
        thread::spawn(|| {
            let stretch = |time| {
                let entered = sys::thread_cpu_ns();
                burn(time);
                leave(entered, sys::thread_cpu_ns());
            };
            stretch(Duration::from_millis(1));
            take();
            burn(Duration::from_millis(5));
            stretch(Duration::from_millis(10));
            let outside = take();
            assert!((5_000_000..6_000_000).contains(&outside), "{outside}");
            assert_eq!(take(), 0);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn threads_that_do_not_measure_are_looked_up_and_none_is_told_twice() {
        let threads = Threads::new();
        thread::scope(|scope| {
            let other = scope.spawn(|| {
                burn(Duration::from_millis(30));
                // The kernel brings its books up to date when a thread stops to run, else with its next tick.
                thread::sleep(Duration::from_millis(1));
                threads.look();
                let known = threads.known.lock().unwrap();
                let looked_up = known[&sys::thread_id()].used_ns;
                drop(known);
                // Telling for itself from now on.
                threads.begins_to_measure();
                burn(Duration::from_millis(20));
                let now = sys::thread_cpu_ns().unwrap();
                leave(Some(now), sys::thread_cpu_ns());
                (looked_up, take(), now)
            });
            let (looked_up, told, used) = other.join().unwrap();
            assert!(looked_up >= 30_000_000, "{looked_up}");
            assert_eq!(looked_up + told, used, "all of it, and nothing twice");
        });
        // Other tests run at the same time: this is a floor only.
        let barrier = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                burn(Duration::from_millis(20));
                barrier.wait();
                barrier.wait();
            });
            barrier.wait();
            // Until it stands and waits, which the books tell.
            let begun = Instant::now();
            let mut looked_up = threads.look();
            while looked_up < 20_000_000 && begun.elapsed() < Duration::from_secs(10) {
                thread::sleep(Duration::from_millis(1));
                looked_up += threads.look();
            }
            barrier.wait();
            assert!(looked_up >= 20_000_000, "{looked_up}");
        });
    }
}
