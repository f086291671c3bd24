//! A value that one thread works on and another fetches from, without a lock for the first.
//!
//! The owner says that it works and looks whether the value is wanted; the fetcher says that it
//! wants it and looks whether the owner works (Dekker's algorithm). Between saying and looking a
//! fence is needed on both sides; membarrier(2) lets the fetcher pay for both, so that the owner,
//! who works at every request while the fetcher comes once a second, pays nothing.

#![expect(
    unsafe_code,
    reason = "the algorithm, not the compiler, sees to it that one thread at a time works"
)]

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering, compiler_fence, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// What owner and fetchers share.
#[derive(Debug)]
pub(crate) struct Handover<T> {
    /// Written by the owner alone.
    in_use: AtomicBool,
    /// Written by fetchers alone, one at a time.
    wanted: AtomicBool,
    value: UnsafeCell<T>,
    /// What the owner works on while the value is wanted, so that it never waits for a fetcher's
    /// work.
    aside: Mutex<T>,
}

// SAFETY: `value` is touched by the owner while `in_use` is set and it has seen `wanted` unset, or by
// the one fetcher that has set `wanted` and then seen `in_use` unset; the fences make it impossible
// that both happen at once.
unsafe impl<T: Send> Sync for Handover<T> {}

/// The one who works on the value: whoever holds it, mutably.
#[derive(Debug)]
pub(crate) struct Owner<T>(Arc<Handover<T>>);

impl<T: Default> Handover<T> {
    /// A value with its only owner.
    pub(crate) fn new() -> (Owner<T>, Arc<Self>) {
        let shared = Arc::new(Self {
            in_use: AtomicBool::new(false),
            wanted: AtomicBool::new(false),
            value: UnsafeCell::default(),
            aside: Mutex::default(),
        });
        (Owner(Arc::clone(&shared)), shared)
    }
}

impl<T> Handover<T> {
    /// Works on what the owner has left, in two parts: what it worked on, and what it did aside.
    /// Waits while the owner is at work.
    pub(crate) fn fetch(&self, mut work: impl FnMut(&mut T)) {
        let mut aside = self.aside.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut aside);
        drop(aside);
        let fetching = Fetching::begin(self);
        // SAFETY: `wanted` is set and `in_use` was seen unset after the fence: the owner keeps away
        // until `fetching` is dropped, and no other fetcher begins until then.
        work(unsafe { &mut *self.value.get() });
        drop(fetching);
    }

    /// Whether the owner is gone.
    pub(crate) fn is_orphan(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) == 1
    }
}

struct Fetching<'a, T>(&'a Handover<T>);

impl<'a, T> Fetching<'a, T> {
    fn begin(shared: &'a Handover<T>) -> Self {
        const PAUSE: Duration = Duration::from_micros(20);
        while shared.wanted.swap(true, Ordering::SeqCst) {
            thread::sleep(PAUSE);
        }
        heavy_fence();
        // An owner that was preempted in the middle of its work takes a while.
        while shared.in_use.load(Ordering::Acquire) {
            thread::sleep(PAUSE);
        }
        Self(shared)
    }
}

impl<T> Drop for Fetching<'_, T> {
    fn drop(&mut self) {
        self.0.wanted.store(false, Ordering::Release);
    }
}

impl<T> Owner<T> {
    /// Whether nobody can fetch any more.
    pub(crate) fn is_alone(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// Works on the value, at once.
    #[inline]
    pub(crate) fn work<R>(&mut self, work: impl FnOnce(&mut T) -> R) -> R {
        let shared = &*self.0;
        let using = Using::begin(&shared.in_use);
        if shared.wanted.load(Ordering::Acquire) {
            drop(using);
            return work(&mut shared.aside.lock().unwrap_or_else(PoisonError::into_inner));
        }
        // SAFETY: there is one owner, and it is borrowed mutably; `in_use` is set, and `wanted` was
        // seen unset after the fence: a fetcher waits until `using` is dropped.
        let result = work(unsafe { &mut *shared.value.get() });
        drop(using);
        result
    }
}

/// Dropped by a panic too.
struct Using<'a>(&'a AtomicBool);

impl<'a> Using<'a> {
    #[inline]
    fn begin(in_use: &'a AtomicBool) -> Self {
        in_use.store(true, Ordering::Relaxed);
        light_fence();
        Self(in_use)
    }
}

impl Drop for Using<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

const UNKNOWN: u8 = 0;
const BY_FETCHER: u8 = 1;
const BY_BOTH: u8 = 2;
/// Who fences. It is settled before the first handover and never changes.
static FENCES: AtomicU8 = AtomicU8::new(UNKNOWN);

#[inline]
fn light_fence() {
    if FENCES.load(Ordering::Relaxed) == BY_FETCHER {
        compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
    }
}

fn heavy_fence() {
    fence(Ordering::SeqCst);
    if FENCES.load(Ordering::Relaxed) == BY_FETCHER {
        membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
    }
}

const MEMBARRIER_CMD_PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
const MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;

/// Asks the kernel (Linux 4.14 and later) to fence for the owners. Called before there are any.
pub(crate) fn settle_fences() {
    if FENCES.load(Ordering::Relaxed) == UNKNOWN {
        let fences = if membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) {
            BY_FETCHER
        } else {
            BY_BOTH
        };
        // Two at once come to the same answer.
        FENCES.store(fences, Ordering::SeqCst);
    }
}

#[cfg(not(miri))]
fn membarrier(command: libc::c_int) -> bool {
    // SAFETY: the call takes numbers and touches no memory.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}

/// Miri knows no such call: it tries the fences of both.
#[cfg(miri)]
fn membarrier(_: libc::c_int) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUNDS: u64 = if cfg!(miri) { 50 } else { 200_000 };

    #[test]
    fn nothing_is_lost_and_nothing_is_counted_twice() {
        settle_fences();
        let (mut owner, shared) = Handover::<Vec<u64>>::new();
        let fetched = thread::scope(|scope| {
            let working = scope.spawn(move || {
                for number in 0..ROUNDS {
                    owner.work(|value| value.push(number));
                }
            });
            let mut fetched = Vec::new();
            while !working.is_finished() {
                shared.fetch(|value| fetched.append(value));
            }
            working.join().unwrap();
            shared.fetch(|value| fetched.append(value));
            fetched
        });
        let mut sorted = fetched;
        sorted.sort_unstable();
        assert!(sorted.iter().copied().eq(0..ROUNDS));
        assert!(shared.is_orphan());
    }

    #[test]
    fn a_panic_of_the_owner_leaves_the_value_to_the_fetcher() {
        settle_fences();
        let (mut owner, shared) = Handover::<Vec<u64>>::new();
        let panicked = thread::scope(|scope| {
            scope
                .spawn(move || {
                    owner.work(|value| {
                        value.push(1);
                        panic!("in the middle");
                    })
                })
                .join()
                .is_err()
        });
        assert!(panicked);
        let mut fetched = Vec::new();
        shared.fetch(|value| fetched.append(value));
        assert_eq!(fetched, [1]);
    }

    #[test]
    fn while_it_is_wanted_the_owner_works_aside() {
        settle_fences();
        let (mut owner, shared) = Handover::<Vec<u64>>::new();
        let fetching = Fetching::begin(&*shared);
        owner.work(|value| value.push(7));
        drop(fetching);
        owner.work(|value| value.push(8));
        let mut fetched = Vec::new();
        shared.fetch(|value| fetched.append(value));
        assert_eq!(fetched, [7, 8]);
    }
}
