//! CPU time outside of all that is measured: accept loop, runtime, the agent's own threads.
//!
//! A thread that measures requests tells it itself: what its clock moved between the end of one
//! measured stretch and the start of the next, and from the last one to its end. The other threads
//! are looked up in the kernel's books (`/proc/self/task/<tid>/schedstat`, proc(5)) again and again,
//! and what those used that ended in between is what the process's clock has more than all that run.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

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
    books: Mutex<Books>,
    /// What measuring threads used in all until they ended: told by themselves.
    told_at_end_ns: AtomicU64,
    /// How much of it they used after what they measured last.
    outside_at_end_ns: AtomicU64,
}

#[derive(Debug, Default)]
struct Books {
    running: HashMap<u32, Known>,
    /// What is told of threads that have ended and did not measure.
    ended_ns: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Known {
    used_ns: u64,
    /// It measures, and tells for itself.
    measures: bool,
}

/// A thread that measures: tells, as it ends, what it used after it last measured.
#[derive(Debug)]
pub(crate) struct Measuring(Arc<Threads>);

impl Threads {
    /// Those that there are when the agent starts: what they used until now is none of its.
    pub(crate) fn new() -> Self {
        let threads = Self::default();
        threads.look();
        threads
    }

    /// The calling thread begins to measure: what it used before it was last looked at is told
    /// already.
    pub(crate) fn begins_to_measure(self: &Arc<Self>) -> Measuring {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let thread = books.running.entry(sys::thread_id()).or_default();
        if !mem::replace(&mut thread.measures, true) {
            THREAD.with(|own| own.left_ns.set(own.left_ns.get().max(thread.used_ns)));
        }
        Measuring(Arc::clone(self))
    }

    /// What was used outside since the last look by threads that do not measure and by those that have ended, ns.
    pub(crate) fn look(&self) -> u64 {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the threads: what they use meanwhile must not look like that of one that has ended.
        let process_ns = sys::process_cpu_ns();
        let mut outside = self.outside_at_end_ns.swap(0, Ordering::Relaxed);
        let mut running_ns = 0_u64;
        let mut running = HashMap::with_capacity(books.running.len());
        for (thread, used_ns) in threads() {
            running_ns = running_ns.saturating_add(used_ns);
            let before = match books.running.remove(&thread) {
                // A number that was given again.
                Some(ended) if ended.used_ns > used_ns => {
                    books.end(ended);
                    Known::default()
                }
                before => before.unwrap_or_default(),
            };
            if !before.measures {
                outside = outside.saturating_add(used_ns.saturating_sub(before.used_ns));
            }
            running.insert(thread, Known { used_ns, ..before });
        }
        for ended in mem::replace(&mut books.running, running).into_values() {
            books.end(ended);
        }
        let told_ns = books
            .ended_ns
            .saturating_add(self.told_at_end_ns.load(Ordering::Relaxed));
        let ended_ns = process_ns.map_or(0, |process| process.saturating_sub(running_ns));
        let untold = ended_ns.saturating_sub(told_ns);
        books.ended_ns = books.ended_ns.saturating_add(untold);
        outside.saturating_add(untold)
    }
}

impl Books {
    fn end(&mut self, thread: Known) {
        if !thread.measures {
            self.ended_ns = self.ended_ns.saturating_add(thread.used_ns);
        }
    }
}

impl Drop for Measuring {
    fn drop(&mut self) {
        let Some(used_ns) = sys::thread_cpu_ns() else {
            return;
        };
        let left_ns = THREAD.with(|thread| thread.left_ns.replace(used_ns));
        let outside_ns = used_ns.saturating_sub(left_ns) + take();
        let threads = &self.0;
        threads.told_at_end_ns.fetch_add(used_ns, Ordering::Relaxed);
        threads
            .outside_at_end_ns
            .fetch_add(outside_ns, Ordering::Relaxed);
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
        let threads = Arc::new(Threads::new());
        thread::scope(|scope| {
            let other = scope.spawn(|| {
                burn(Duration::from_millis(30));
                // The kernel brings its books up to date when a thread stops to run, else with its next tick.
                thread::sleep(Duration::from_millis(1));
                threads.look();
                let books = threads.books.lock().unwrap();
                let looked_up = books.running[&sys::thread_id()].used_ns;
                drop(books);
                // Telling for itself from now on.
                let measuring = threads.begins_to_measure();
                burn(Duration::from_millis(20));
                let now = sys::thread_cpu_ns().unwrap();
                leave(Some(now), sys::thread_cpu_ns());
                let told = (looked_up, take(), now);
                drop(measuring);
                told
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
