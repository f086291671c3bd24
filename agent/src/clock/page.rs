//! The page of a task-clock perf event as a witness of switches.
//!
//! The kernel raises the page's `lock` whenever it puts the event, and so its thread, on a CPU or
//! takes it off (perf_event_open(2), "MMAP layout"). The event needs a descriptor in each thread
//! and adds about a microsecond to each switch.

#![expect(unsafe_code, reason = "the page is mapped from the kernel")]

use std::cell::Cell;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, compiler_fence};

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
    mapped: Cell<Option<Mapped>>,
    seen: Cell<Option<u32>>,
    event: Cell<Option<Counter>>,
}

/// The kernel does not hand pages on to a child: whatever lies at their address there is not ours.
#[derive(Clone, Copy)]
struct Mapped {
    head: NonNull<Head>,
    bytes: usize,
    /// Of the process that mapped it.
    forks: u64,
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
        let mapped = Mapped {
            head,
            bytes,
            forks: FORKS.load(Ordering::Relaxed),
        };
        Ok(Self {
            mapped: Cell::new(Some(mapped)),
            seen: Cell::new(None),
            event: Cell::new(Some(event)),
        })
    }

    #[inline]
    fn is_inherited(&self) -> bool {
        let mapped = self.mapped.get();
        mapped.is_some_and(|mapped| mapped.forks != FORKS.load(Ordering::Relaxed))
    }

    /// In a child: an event and a page of its own, or none.
    #[cold]
    fn open_anew(&self) {
        self.mapped.set(None);
        self.seen.set(None);
        self.event.set(None);
        if let Ok(own) = Self::open() {
            self.mapped.set(own.mapped.take());
            self.event.set(own.event.take());
        }
    }

    #[inline]
    fn lock(&self) -> Option<u32> {
        let mapped = self.mapped.get()?;
        compiler_fence(Ordering::SeqCst);
        // SAFETY: mapped until the drop, in this process, as `with_thread` looks; the kernel writes it while it runs for
        // this thread.
        let lock = unsafe { &mapped.head.as_ref().lock }.load(Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        Some(lock)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        if self.is_inherited() {
            return;
        }
        if let Some(Mapped { head, bytes, .. }) = self.mapped.get() {
            // SAFETY: our mapping, of this length, that nobody else refers to.
            unsafe {
                libc::munmap(head.as_ptr().cast(), bytes);
            }
        }
    }
}

impl Arm for Page {
    fn arm(&self) {
        self.seen.set(self.lock());
    }
}

impl Witness for Page {
    #[inline]
    fn is_armed(&self) -> bool {
        let seen = self.seen.get();
        seen.is_some() && seen == self.lock()
    }
}

/// How often this process and those before it were forked.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// Called in the child of a fork: its threads open pages of their own.
pub(super) fn forget() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

thread_local! {
    static THREAD: (Stretch, Option<Page>) = (Stretch::over(), Page::open().ok());
}

/// Works on the calling thread's stretch and page, if it has one.
pub(super) fn with_thread<T>(work: impl FnOnce(&Stretch, &Page) -> T) -> Option<T> {
    THREAD
        .try_with(|(stretch, page)| {
            let page = page.as_ref()?;
            if page.is_inherited() {
                page.open_anew();
                stretch.forget();
            }
            page.mapped.get()?;
            Some(work(stretch, page))
        })
        .ok()
        .flatten()
}
