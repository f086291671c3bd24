//! The memory that the kernel writes the samples of one event to.
#![expect(
    unsafe_code,
    reason = "the ring is memory that the kernel writes to while it is read"
)]

use std::io;
use std::os::fd::RawFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

use super::record::{self, Record};
use crate::fork;
use crate::sys;

/// Bytes for records, a power of two: 120 stacks of the greatest depth, 230 of 64 frames. It is locked memory, of
/// which a user has 516 KiB for each CPU (`kernel.perf_event_mlock_kb`) and what `ulimit -l` allows.
pub(super) const DATA_BYTES: usize = 128 << 10;
/// Words of the largest record that an event of ours writes, and some.
const RECORD_WORDS: usize = 256;

/// Where in its first page the kernel says how far it has written, and is told how far was read.
const HEAD_AT: usize = 1_024;
const TAIL_AT: usize = 1_032;

/// The ring of one event. Whoever holds it may read it, in whatever thread.
#[derive(Debug)]
pub(super) struct Ring {
    at: NonNull<u8>,
    /// One page for what is said about the ring, before the ring itself.
    page_bytes: usize,
    /// The kernel does not hand it on to a forked child.
    generation: u64,
}

// SAFETY: the mapping belongs to the process, not to a thread, and only the holder reads it.
unsafe impl Send for Ring {}

impl Ring {
    /// Maps the ring of an event.
    pub(super) fn map(event: RawFd) -> io::Result<Self> {
        let page_bytes = usize::try_from(sys::page_bytes()).map_err(io::Error::other)?;
        // SAFETY: asks for a mapping wherever there is room; nothing that exists is touched.
        let at = unsafe {
            libc::mmap(
                ptr::null_mut(),
                page_bytes + DATA_BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                event,
                0,
            )
        };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            at: NonNull::new(at)
                .ok_or_else(|| io::Error::other("mapped at address 0"))?
                .cast(),
            page_bytes,
            generation: fork::generation(),
        })
    }

    /// Reads what was written since the last time, and makes room.
    pub(super) fn drain(&mut self, mut each: impl FnMut(Record<'_>)) {
        if fork::generation() != self.generation {
            return;
        }
        let head = self.position(HEAD_AT).load(Ordering::Acquire);
        let tail_at = self.position(TAIL_AT);
        let mut tail = tail_at.load(Ordering::Relaxed);
        let mut record = [0_u64; RECORD_WORDS];
        while tail < head {
            let words = record::words(self.word(tail));
            if words == 0 {
                // Not what the kernel writes: nothing behind it can be told apart.
                tail = head;
                break;
            }
            if let Some(record) = record.get_mut(..words) {
                for (number, word) in record.iter_mut().enumerate() {
                    *word = self.word(tail + (number * size_of::<u64>()) as u64);
                }
                if let Some(record) = record::parse(record) {
                    each(record);
                }
            }
            tail += (words * size_of::<u64>()) as u64;
        }
        self.position(TAIL_AT).store(tail, Ordering::Release);
    }

    fn position(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: within the first page, aligned, mapped as long as `self` is there; the kernel accesses it as one
        // word too.
        unsafe { &*self.at.as_ptr().add(offset).cast::<AtomicU64>() }
    }

    /// The word at that position, which counts on from lap to lap.
    fn word(&self, position: u64) -> u64 {
        let offset = position as usize & (DATA_BYTES - size_of::<u64>());
        // SAFETY: within the ring and aligned. The kernel has written it, as it lies before the head, and does not
        // write it again before the tail has passed it.
        unsafe {
            self.at
                .as_ptr()
                .add(self.page_bytes + offset)
                .cast::<u64>()
                .read()
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if fork::generation() == self.generation {
            // SAFETY: mapped by this process with that size, and not used any more.
            unsafe { libc::munmap(self.at.as_ptr().cast(), self.page_bytes + DATA_BYTES) };
        }
    }
}
