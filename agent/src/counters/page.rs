//! The page that the kernel shares for an event of a thread: with it the thread reads its counter
//! without a system call.
//!
//! The kernel may take the counter away between any two instructions, so that each read checks
//! anew that it is there, and that nothing was changed meanwhile.
#![expect(unsafe_code, reason = "the page is memory that the kernel writes to")]

use std::os::fd::RawFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::{Ordering, compiler_fence};

use super::fork;
use super::register::{Cpu, Registers};
use crate::sys;

/// The first fields of `struct perf_event_mmap_page`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Layout {
    version: u32,
    compatible_version: u32,
    /// Raised before and after each change.
    lock: u32,
    /// The counter's number plus one; 0 while it does not run.
    index: u32,
    /// What the counter has counted before it got to where it is.
    offset: i64,
    enabled_ns: u64,
    running_ns: u64,
    capabilities: u64,
    counter_bits: u16,
    time_shift: u16,
    time_mult: u32,
    time_offset: u64,
    time_zero: u64,
    size: u32,
    reserved: u32,
    time_cycles: u64,
    time_mask: u64,
}

/// The counter may be read by this thread (`cap_user_rdpmc`).
const USER_COUNTER: u64 = 1 << 2;
/// Its times can be brought up to now (`cap_user_time`).
const USER_TIME: u64 = 1 << 3;
/// The clock has fewer than 64 bits (`cap_user_time_short`).
const SHORT_CLOCK: u64 = 1 << 5;

/// A change of the page takes less than a microsecond. If it has changed so often, a system call
/// is quicker.
const ATTEMPTS: usize = 4;

/// A page of an event of the thread that mapped it, and of no other: it cannot be sent to one.
#[derive(Debug)]
pub(crate) struct Page {
    at: NonNull<Layout>,
    /// The kernel does not hand the page on to a forked child: nothing, or something else, is
    /// where it was.
    generation: u64,
}

impl Page {
    /// Maps the page of an event of the calling thread.
    pub(crate) fn map(event: RawFd) -> Option<Self> {
        let bytes = usize::try_from(sys::page_bytes()).ok()?;
        // SAFETY: asks for a mapping wherever there is room; nothing that exists is touched.
        let page = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ,
                libc::MAP_SHARED,
                event,
                0,
            )
        };
        if page == libc::MAP_FAILED {
            return None;
        }
        Some(Self {
            at: NonNull::new(page)?.cast(),
            generation: fork::generation(),
        })
    }

    /// Count, time enabled and time running; absent if the counter cannot be read at this moment.
    pub(crate) fn read(&self) -> Option<[u64; 3]> {
        if fork::generation() != self.generation {
            return None;
        }
        // SAFETY: it is mapped, as this is the process that did it, and large enough.
        unsafe { read_at(self.at, &Cpu) }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        if fork::generation() == self.generation
            && let Ok(bytes) = usize::try_from(sys::page_bytes())
        {
            // SAFETY: mapped by this process with that size, and not used any more.
            unsafe { libc::munmap(self.at.as_ptr().cast(), bytes) };
        }
    }
}

/// # Safety
///
/// The page is valid for reads; it may change at any time.
unsafe fn read_at(page: NonNull<Layout>, registers: &impl Registers) -> Option<[u64; 3]> {
    let page = page.as_ptr();
    macro_rules! field {
        ($name:ident) => {
            // SAFETY: the caller says that the page can be read; volatile, as it changes.
            unsafe { (&raw const (*page).$name).read_volatile() }
        };
    }
    for _ in 0..ATTEMPTS {
        let lock = field!(lock);
        // Against the compiler only: the page changes on the CPU that the thread runs on.
        compiler_fence(Ordering::SeqCst);
        let index = field!(index);
        let capabilities = field!(capabilities);
        if index == 0 || capabilities & USER_COUNTER == 0 || capabilities & USER_TIME == 0 {
            return None;
        }
        let bits = field!(counter_bits);
        let offset = field!(offset);
        let (enabled_ns, running_ns) = (field!(enabled_ns), field!(running_ns));
        let clock = Clock {
            shift: field!(time_shift),
            mult: field!(time_mult),
            offset: field!(time_offset),
            short: (capabilities & SHORT_CLOCK != 0)
                .then(|| (field!(time_cycles), field!(time_mask))),
        };
        let counter = registers.counter(index - 1)?;
        let ticks = registers.ticks()?;
        compiler_fence(Ordering::SeqCst);
        if field!(lock) != lock || lock % 2 != 0 {
            continue;
        }
        let count = offset.checked_add(sign_extended(counter, bits)?)?;
        let since_ns = clock.ns(ticks)?;
        return Some([
            // Less than nothing is impossible: the system call knows better.
            u64::try_from(count).ok()?,
            enabled_ns.wrapping_add(since_ns),
            running_ns.wrapping_add(since_ns),
        ]);
    }
    None
}

/// A counter's lowest bits as a number with a sign: the kernel starts it below zero, so that it
/// overflows in time.
fn sign_extended(counter: u64, bits: u16) -> Option<i64> {
    let unused = 64_u32.checked_sub(u32::from(bits))?;
    Some((counter.checked_shl(unused)? as i64) >> unused)
}

/// How ticks become nanoseconds since the page's times were written.
struct Clock {
    shift: u16,
    mult: u32,
    offset: u64,
    /// Ticks at some moment, and which bits of the difference to it count.
    short: Option<(u64, u64)>,
}

impl Clock {
    fn ns(&self, ticks: u64) -> Option<u64> {
        let ticks = match self.short {
            Some((cycles, mask)) => cycles.wrapping_add(ticks.wrapping_sub(cycles) & mask),
            None => ticks,
        };
        let mult = u64::from(self.mult);
        let whole = ticks.checked_shr(u32::from(self.shift))?;
        let rest = ticks & ((1 << self.shift) - 1);
        Some(
            self.offset
                .wrapping_add(whole.wrapping_mul(mult))
                .wrapping_add(rest.wrapping_mul(mult) >> self.shift),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    /// Registers and a page that change as told, between one access and the next.
    struct Faked {
        page: RefCell<Layout>,
        counter: u64,
        ticks: u64,
        reads: Cell<u32>,
        /// What happens at the n-th read of the counter.
        during: fn(&mut Layout, u32),
    }

    impl Registers for &Faked {
        fn counter(&self, number: u32) -> Option<u64> {
            let reads = self.reads.get() + 1;
            self.reads.set(reads);
            assert_eq!(number + 1, self.page.borrow().index);
            (self.during)(&mut self.page.borrow_mut(), reads);
            Some(self.counter)
        }

        fn ticks(&self) -> Option<u64> {
            Some(self.ticks)
        }
    }

    impl Faked {
        fn new(change: impl FnOnce(&mut Layout)) -> Self {
            let mut page = Layout {
                index: 3,
                offset: 1_000,
                enabled_ns: 500,
                running_ns: 400,
                capabilities: USER_COUNTER | USER_TIME,
                counter_bits: 48,
                time_mult: 1,
                ..Layout::default()
            };
            change(&mut page);
            Self {
                page: RefCell::new(page),
                counter: 7,
                ticks: 10,
                reads: Cell::new(0),
                during: |_, _| (),
            }
        }

        fn read(&self) -> Option<[u64; 3]> {
            let page = NonNull::new(self.page.as_ptr()).unwrap();
            // SAFETY: it points to a page that lives longer than the read.
            unsafe { read_at(page, &self) }
        }
    }

    #[test]
    fn the_fields_are_where_the_kernel_puts_them() {
        assert_eq!(std::mem::offset_of!(Layout, capabilities), 40);
        assert_eq!(std::mem::offset_of!(Layout, counter_bits), 48);
        assert_eq!(std::mem::offset_of!(Layout, time_offset), 56);
        assert_eq!(std::mem::offset_of!(Layout, time_mask), 88);
    }

    #[test]
    fn adds_what_was_counted_before_and_brings_the_times_up_to_now() {
        assert_eq!(Faked::new(|_| ()).read(), Some([1_007, 510, 410]));
        let shifted = Faked::new(|page| {
            (page.time_shift, page.time_mult) = (1, 3);
            page.time_offset = 5_u64.wrapping_neg();
        });
        assert_eq!(shifted.read(), Some([1_007, 510, 410]));
        let wrapped = Faked::new(|page| {
            page.capabilities |= SHORT_CLOCK;
            (page.time_cycles, page.time_mask) = (0xfff8, 0xffff);
            page.time_offset = 0xfff8_u64.wrapping_neg();
        });
        assert_eq!(wrapped.read(), Some([1_007, 518, 418]));
    }

    #[test]
    fn is_absent_unless_the_page_allows_it_and_the_counter_runs() {
        for change in [
            (|page| page.index = 0) as fn(&mut Layout),
            |page| page.capabilities &= !USER_COUNTER,
            |page| page.capabilities &= !USER_TIME,
            |page| page.capabilities = 0b10,
        ] {
            let faked = Faked::new(change);
            assert_eq!((faked.read(), faked.reads.get()), (None, 0));
        }
        for nonsense in [
            (|page| page.counter_bits = 65) as fn(&mut Layout),
            |page| page.counter_bits = 0,
            |page| page.time_shift = 64,
            |page| page.offset = -8,
            |page| page.offset = i64::MAX,
        ] {
            assert_eq!(Faked::new(nonsense).read(), None);
        }
    }

    #[test]
    fn a_read_that_was_disturbed_is_done_again_and_given_up_in_the_end() {
        let mut once = Faked::new(|_| ());
        once.during = |page, read| {
            if read == 1 {
                page.lock += 2;
                page.offset = 2_000;
            }
        };
        assert_eq!(
            (once.read(), once.reads.get()),
            (Some([2_007, 510, 410]), 2)
        );
        let mut taken_away = Faked::new(|_| ());
        taken_away.during = |page, _| {
            page.lock += 2;
            page.index = 0;
        };
        assert_eq!((taken_away.read(), taken_away.reads.get()), (None, 1));
        let mut always = Faked::new(|_| ());
        always.during = |page, _| page.lock += 2;
        assert_eq!(always.read(), None);
        assert_eq!(
            Faked::new(|page| page.lock = 1).read(),
            None,
            "half written"
        );
    }

    #[test]
    fn a_counter_below_zero_is_extended_from_its_own_width() {
        assert_eq!(sign_extended(0xffff_ffff_fffe, 48), Some(-2));
        assert_eq!(sign_extended(0x7fff_ffff_ffff, 48), Some((1 << 47) - 1));
        assert_eq!(sign_extended(0x8000_0000, 32), Some(-(1 << 31)));
        assert_eq!(sign_extended(u64::MAX, 64), Some(-1));
        // What is above the width is noise: a jump by 2^48 if it were believed.
        assert_eq!(sign_extended(0xabcd_0000_0000_0005, 48), Some(5));
        let mut faked = Faked::new(|page| page.offset = 1 << 47);
        faked.counter = 1 << 47;
        assert_eq!(faked.read().unwrap()[0], 0);
        faked.counter += 9;
        assert_eq!(faked.read().unwrap()[0], 9);
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri opens no events")]
    fn an_event_of_the_kernel_s_own_has_a_page_but_no_counter() {
        let kind = perf_event::events::Software::TASK_CLOCK;
        let Ok(event) = perf_event::Builder::new().kind(kind).build() else {
            return; // No perf events here, which the status of the counters tells.
        };
        let page = Page::map(std::os::fd::AsRawFd::as_raw_fd(&event)).unwrap();
        assert_eq!(page.read(), None);
        assert!(fork::tests::holds_in_a_child(|| page.read().is_none()));
        assert!(Page::map(-1).is_none());
    }
}
