//! Counting what a thread allocates.

#![expect(unsafe_code, reason = "an allocator is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sampling::allocations;

/// A global allocator that counts bytes and number of allocations per thread and lets another
/// allocator do the work.
///
/// With it, cells and records tell what each request allocated: every byte that was asked for,
/// whether it was given back or not. It costs about a nanosecond an allocation.
///
/// ```
/// use appweight_agent::AppweightAlloc;
///
/// #[global_allocator]
/// static ALLOCATOR: AppweightAlloc = AppweightAlloc::system();
/// # fn main() {}
/// ```
///
/// Any other allocator can be wrapped with [`AppweightAlloc::new`].
#[derive(Debug, Clone, Copy, Default)]
pub struct AppweightAlloc<A = System>(A);

impl AppweightAlloc<System> {
    /// Counts round the system's allocator.
    #[must_use]
    pub const fn system() -> Self {
        Self(System)
    }
}

impl<A> AppweightAlloc<A> {
    /// Counts round that allocator.
    pub const fn new(inner: A) -> Self {
        Self(inner)
    }
}

/// What a thread has allocated since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Allocated {
    pub(crate) bytes: u64,
    pub(crate) allocations: u64,
}

impl Allocated {
    pub(crate) const NONE: Self = Self {
        bytes: 0,
        allocations: 0,
    };

    /// What was allocated between two looks of one thread.
    #[inline]
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            bytes: self.bytes.wrapping_sub(before.bytes),
            allocations: self.allocations.wrapping_sub(before.allocations),
        }
    }

    /// Both.
    #[inline]
    pub(crate) fn and(self, more: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(more.bytes),
            allocations: self.allocations.saturating_add(more.allocations),
        }
    }
}

thread_local! {
    // Neither lazy nor dropped: allocators run before and after everything else in a thread.
    static BYTES: Cell<u64> = const { Cell::new(0) };
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// Whether the process's allocator counts.
static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Whether the process's allocator counts.
#[inline]
pub(crate) fn allocations_are_counted() -> bool {
    INSTALLED.load(Ordering::Relaxed)
}

/// What the calling thread has allocated; `None` if the process's allocator does not count.
#[inline]
pub(crate) fn allocated() -> Option<Allocated> {
    allocations_are_counted().then(|| Allocated {
        bytes: BYTES.get(),
        allocations: ALLOCATIONS.get(),
    })
}

/// Counts that many bytes, and says how many there were since the thread's start.
#[inline]
fn count(bytes: usize) -> u64 {
    // A write to a line that all threads read happens once only.
    if !INSTALLED.load(Ordering::Relaxed) {
        INSTALLED.store(true, Ordering::Relaxed);
    }
    let total = BYTES.get().wrapping_add(bytes as u64);
    BYTES.set(total);
    ALLOCATIONS.set(ALLOCATIONS.get().wrapping_add(1));
    total
}

// SAFETY: every call is passed on as it came; counting and sampling neither allocate nor panic, and touch no memory
// that is handed out.
unsafe impl<A: GlobalAlloc> GlobalAlloc for AppweightAlloc<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let total = count(layout.size());
        // SAFETY: the caller keeps the contract, which is the same.
        let pointer = unsafe { self.0.alloc(layout) };
        allocations::allocated(pointer, layout.size(), total);
        pointer
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let total = count(layout.size());
        // SAFETY: as above.
        let pointer = unsafe { self.0.alloc_zeroed(layout) };
        allocations::allocated(pointer, layout.size(), total);
        pointer
    }

    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // What is added was asked for; the rest was counted before.
        let added = size.saturating_sub(layout.size());
        let total = count(added);
        // Before: as soon as it is given back, another thread may get it.
        let moving = allocations::moving(pointer);
        // SAFETY: as above.
        let moved = unsafe { self.0.realloc(pointer, layout, size) };
        if moved.is_null() {
            moving.to(pointer, layout.size(), layout.size());
        } else {
            moving.to(moved, layout.size(), size);
            allocations::allocated(moved, added, total);
        }
        moved
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        allocations::freed(pointer);
        // SAFETY: as above.
        unsafe { self.0.dealloc(pointer, layout) }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::ptr;

    use super::*;

    /// Tells what it was asked, and gives what it is told to give.
    struct Told {
        calls: RefCell<Vec<(&'static str, usize, Layout, usize)>>,
        gives: Cell<*mut u8>,
    }

    impl Told {
        fn asked(
            &self,
            what: &'static str,
            pointer: *mut u8,
            layout: Layout,
            size: usize,
        ) -> *mut u8 {
            self.calls
                .borrow_mut()
                .push((what, pointer as usize, layout, size));
            self.gives.get()
        }
    }

    // SAFETY: no memory that it gives is used.
    unsafe impl GlobalAlloc for &Told {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            self.asked("alloc", ptr::null_mut(), layout, 0)
        }

        unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
            self.asked("alloc_zeroed", ptr::null_mut(), layout, 0)
        }

        unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            self.asked("realloc", pointer, layout, size)
        }

        unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
            self.asked("dealloc", pointer, layout, 0);
        }
    }

    /// One that were built from the others would be right too, but not what the allocator is good at.
    #[test]
    fn each_call_reaches_the_inner_allocator_as_it_came_and_its_answer_the_caller() {
        let told = Told {
            calls: RefCell::default(),
            gives: Cell::new(ptr::null_mut()),
        };
        let allocator = AppweightAlloc::new(&told);
        let layout = Layout::from_size_align(96, 32).unwrap();
        let mut memory = [0_u8; 2];
        let [first, second] = &mut memory;
        let (first, second): (*mut u8, *mut u8) = (first, second);
        // Also if there is no memory.
        for gives in [second, ptr::null_mut()] {
            told.gives.set(gives);
            // SAFETY: what is passed on is used by nobody.
            unsafe {
                assert_eq!(allocator.alloc(layout), gives);
                assert_eq!(allocator.alloc_zeroed(layout), gives);
                assert_eq!(allocator.realloc(first, layout, 7_000), gives);
                allocator.dealloc(first, layout);
            }
            let first = first as usize;
            let calls = [
                ("alloc", 0, layout, 0),
                ("alloc_zeroed", 0, layout, 0),
                ("realloc", first, layout, 7_000),
                ("dealloc", first, layout, 0),
            ];
            assert_eq!(told.calls.take(), calls);
        }
    }

    #[test]
    fn every_byte_asked_for_is_counted_in_the_thread_that_asked() {
        let allocator = AppweightAlloc::system();
        let layout = |size| Layout::from_size_align(size, 8).unwrap();
        let before = || (BYTES.get(), ALLOCATIONS.get());
        let start = before();
        // SAFETY: each pointer comes from the call before and is given back once, with its layout.
        unsafe {
            let first = allocator.alloc(layout(100));
            let grown = allocator.realloc(first, layout(100), 250);
            let shrunk = allocator.realloc(grown, layout(250), 50);
            allocator.dealloc(shrunk, layout(50));
            let zeroed = allocator.alloc_zeroed(layout(7));
            assert_eq!(*zeroed, 0);
            allocator.dealloc(zeroed, layout(7));
        }
        assert_eq!(before(), (start.0 + 257, start.1 + 4));
        assert!(allocated().is_some());
        std::thread::scope(|scope| {
            scope.spawn(|| assert_eq!((BYTES.get(), ALLOCATIONS.get()), (0, 0)));
        });
    }
}
