//! Tells a process from one that was forked off it, at the cost of one load.
//!
//! A child inherits counters that go on counting its parent's thread, and thread-locals that point
//! to pages that are not mapped in the child. So whatever must not outlive a fork keeps the
//! generation that it was made in. A page that the kernel wipes on fork holds it: this also works
//! for a fork that does not go through libc, and needs no handler.
#![expect(unsafe_code, reason = "mmap and madvise are C calls")]

use std::process;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::sys;

/// The last generation given out. Copied by a fork, unlike the page.
static LAST: AtomicU64 = AtomicU64::new(FIRST);
const FIRST: u64 = 1;
/// What a page holds that was wiped.
const WIPED: u64 = 0;

/// A number that is the same throughout a process, and another one in each process forked off it.
/// Never 0.
pub(crate) fn generation() -> u64 {
    static PAGE: OnceLock<Option<&'static AtomicU64>> = OnceLock::new();
    match PAGE.get_or_init(map_page) {
        Some(page) => match page.load(Ordering::Relaxed) {
            WIPED => after_fork(page),
            generation => generation,
        },
        // A system call, on kernels before 4.14.
        None => u64::from(process::id()),
    }
}

#[cold]
fn after_fork(page: &AtomicU64) -> u64 {
    let next = LAST.fetch_add(1, Ordering::Relaxed) + 1;
    match page.compare_exchange(WIPED, next, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => next,
        Err(of_another_thread) => of_another_thread,
    }
}

fn map_page() -> Option<&'static AtomicU64> {
    let bytes = usize::try_from(sys::page_bytes()).ok()?;
    // SAFETY: asks for fresh memory wherever there is room; nothing that exists is touched.
    let page = unsafe {
        libc::mmap(
            ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if page == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: the page was mapped just now, and nobody else knows it.
    if unsafe { libc::madvise(page, bytes, libc::MADV_WIPEONFORK) } != 0 {
        // SAFETY: as above; it is not used after this.
        unsafe { libc::munmap(page, bytes) };
        return None;
    }
    // SAFETY: a page is large and aligned enough, zeros are a valid value, and it stays mapped for
    // as long as the process lives.
    let page: &'static AtomicU64 = unsafe { &*page.cast::<AtomicU64>() };
    page.store(FIRST, Ordering::Relaxed);
    Some(page)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Does it in a forked child, and says whether it holds there.
    pub(crate) fn holds_in_a_child(check: impl FnOnce() -> bool) -> bool {
        // SAFETY: the child does nothing but the check, and leaves without unwinding into the
        // test's harness.
        let child = unsafe { libc::fork() };
        assert!(child >= 0, "no fork");
        if child == 0 {
            let holds = std::panic::catch_unwind(std::panic::AssertUnwindSafe(check));
            let status = i32::from(!holds.unwrap_or(false));
            // SAFETY: ends the process, which is what it is for.
            unsafe { libc::_exit(status) };
        }
        let mut status = 0;
        // SAFETY: `status` is valid for the answer.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
    }

    #[test]
    fn each_child_has_a_generation_of_its_own() {
        let parent = generation();
        assert_ne!(parent, WIPED);
        assert!(holds_in_a_child(|| {
            let child = generation();
            child != parent
                && child == generation()
                && holds_in_a_child(|| ![parent, child].contains(&generation()))
        }));
        assert_eq!(generation(), parent);
    }
}
