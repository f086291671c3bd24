//! The page of a task-clock perf event as a witness of switches.
//!
//! The kernel raises the page's `lock` whenever it puts the event, and so its thread, on a CPU or
//! takes it off (perf_event_open(2), "MMAP layout"). The event needs a descriptor in each thread
//! and adds about a microsecond to each switch.

#![expect(unsafe_code, reason = "the page is mapped from the kernel")]

use std::cell::Cell;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering, compiler_fence};

use perf_event::{Builder, Counter, events::Software};

use super::stretch::Stretch;
use super::{Arm, Witness};
use crate::sys;

/// `struct perf_event_mmap_page` up to the field in question.
#[repr(C)]
struct Head {
    version: u32,
    compat_version: u32,
    lock: AtomicU32,
}

/// A thread's event and its page.
pub(super) struct Page {
    head: NonNull<Head>,
    seen: Cell<Option<u32>>,
    bytes: usize,
    _event: Counter,
}

impl Page {
    /// # Errors
    /// Why there is none, as the kernel says it.
    pub(super) fn open() -> std::io::Result<Self> {
        let mut event = Builder::new().kind(Software::TASK_CLOCK).build()?;
        event.enable()?;
        let bytes = usize::try_from(sys::page_bytes()).unwrap_or(4096);
        // SAFETY: a new mapping of one page, at an address that the kernel chooses.
        let mapped = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ,
                libc::MAP_SHARED,
                event.as_raw_fd(),
                0,
            )
        };
        if mapped == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        let head = NonNull::new(mapped.cast())
            .ok_or_else(|| std::io::Error::other("the page is mapped at address 0"))?;
        Ok(Self {
            head,
            seen: Cell::new(None),
            bytes,
            _event: event,
        })
    }

    #[inline]
    fn lock(&self) -> u32 {
        compiler_fence(Ordering::SeqCst);
        // SAFETY: mapped until the drop; the kernel writes it while it runs for this thread.
        let lock = unsafe { &self.head.as_ref().lock }.load(Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        lock
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        if IN_CHILD.load(Ordering::Relaxed) {
            return;
        }
        // SAFETY: our mapping, of this length, that nobody else refers to.
        unsafe {
            libc::munmap(self.head.as_ptr().cast(), self.bytes);
        }
    }
}

impl Arm for Page {
    fn arm(&self) {
        self.seen.set(Some(self.lock()));
    }
}

impl Witness for Page {
    #[inline]
    fn is_armed(&self) -> bool {
        self.seen.get() == Some(self.lock())
    }
}

/// Pages are not copied to a child: whatever lies at their address there is not ours.
static IN_CHILD: AtomicBool = AtomicBool::new(false);

/// Called in the child of a fork, where pages must not be looked at any more.
pub(super) fn forget() {
    IN_CHILD.store(true, Ordering::Relaxed);
}

thread_local! {
    static THREAD: (Stretch, Option<Page>) = (Stretch::over(), Page::open().ok());
}

/// Works on the calling thread's stretch and page, if it has one.
pub(super) fn with_thread<T>(work: impl FnOnce(&Stretch, &Page) -> T) -> Option<T> {
    THREAD
        .try_with(|(stretch, page)| page.as_ref().map(|page| work(stretch, page)))
        .ok()
        .flatten()
}
