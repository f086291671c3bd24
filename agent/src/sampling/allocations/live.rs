//! Which sampled allocations were not given back: a table without locks, of a size that never changes.
//!
//! An address is put in, and taken out, by whoever owns the allocation; nobody else can be at the same one.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Sampled allocations that can be live at once: 32 GiB at the usual 512 KiB each, in 1.6 MB.
const ROWS: usize = 8_192;
const ROW: usize = 8;

/// A row is a line of the cache: whoever frees looks at one.
#[derive(Debug)]
pub(super) struct Live {
    rows: Box<[Row]>,
    details: Box<[Detail]>,
}

#[derive(Debug)]
#[repr(align(64))]
struct Row([AtomicUsize; ROW]);

#[derive(Debug)]
struct Detail {
    place: AtomicU32,
    bytes: AtomicU64,
}

/// A slot that somebody is writing to.
const TAKEN: usize = 1;
const FREE: usize = 0;

/// What a sampled allocation stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sampled {
    /// The place of its stack.
    pub(super) place: u32,
    pub(super) bytes: u64,
}

impl Live {
    pub(super) fn new() -> Self {
        Self {
            rows: (0..ROWS)
                .map(|_| Row([const { AtomicUsize::new(FREE) }; ROW]))
                .collect(),
            details: (0..ROWS * ROW)
                .map(|_| Detail {
                    place: AtomicU32::new(0),
                    bytes: AtomicU64::new(0),
                })
                .collect(),
        }
    }

    /// Puts one in, unless its row is full. What an allocation stands for in one stack is one.
    pub(super) fn put(&self, address: usize, sampled: Sampled) -> bool {
        let row = row(address);
        for (number, slot) in self.rows[row].0.iter().enumerate() {
            let detail = &self.details[row * ROW + number];
            if slot.load(Ordering::Relaxed) == address
                && detail.place.load(Ordering::Relaxed) == sampled.place
            {
                detail.bytes.fetch_add(sampled.bytes, Ordering::Relaxed);
                return true;
            }
        }
        for (number, slot) in self.rows[row].0.iter().enumerate() {
            let free = slot.load(Ordering::Relaxed) == FREE
                && slot
                    .compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok();
            if free {
                let detail = &self.details[row * ROW + number];
                detail.place.store(sampled.place, Ordering::Relaxed);
                detail.bytes.store(sampled.bytes, Ordering::Relaxed);
                slot.store(address, Ordering::Release);
                return true;
            }
        }
        false
    }

    /// Takes all that is known of that address: an allocation that grew may have been sampled in more than one stack.
    #[inline]
    pub(super) fn take(&self, address: usize, mut each: impl FnMut(Sampled)) {
        let row = row(address);
        for (number, slot) in self.rows[row].0.iter().enumerate() {
            if slot.load(Ordering::Acquire) == address {
                let detail = &self.details[row * ROW + number];
                let sampled = Sampled {
                    place: detail.place.load(Ordering::Relaxed),
                    bytes: detail.bytes.load(Ordering::Relaxed),
                };
                slot.store(FREE, Ordering::Release);
                each(sampled);
            }
        }
    }
}

#[inline]
fn row(address: usize) -> usize {
    // Addresses are multiples of 16 at least; large ones, of pages.
    let mixed = (address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    (mixed >> (u64::BITS - ROWS.ilog2())) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(live: &Live, address: usize) -> Vec<Sampled> {
        let mut all = Vec::new();
        live.take(address, |sampled| all.push(sampled));
        all
    }

    #[test]
    fn what_is_put_in_is_taken_out_once() {
        let live = Live::new();
        let sampled = |bytes| Sampled { place: 7, bytes };
        let elsewhere = Sampled { place: 8, bytes: 5 };
        assert!(live.put(0x1000, sampled(1)) && live.put(0x1000, elsewhere));
        assert!(live.put(0x1000, sampled(2)) && live.put(0x2000, sampled(3)));
        assert_eq!(taken(&live, 0x1000), [sampled(3), elsewhere]);
        assert_eq!(taken(&live, 0x1000), []);
        assert_eq!(taken(&live, 0x2000), [sampled(3)]);
    }

    #[test]
    fn a_full_row_takes_no_more_and_rows_fill_evenly() {
        let live = Live::new();
        let at = |place| Sampled { place, bytes: 1 };
        for place in 0..ROW as u32 {
            assert!(live.put(0x1000, at(place)));
        }
        assert!(!live.put(0x1000, at(99)));
        assert_eq!(taken(&live, 0x1000).len(), ROW);
        // A quarter full, addresses as allocators give them find room.
        let put = (1..=ROWS * ROW / 4).filter(|number| live.put(number * 48, at(1)));
        assert!(put.count() * 1_000 > ROWS * ROW / 4 * 995);
    }
}
