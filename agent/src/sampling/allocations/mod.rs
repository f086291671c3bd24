//! Which functions allocate, and what of it is still there: one allocation each so many bytes is looked at.
//!
//! Looking happens within the allocator, wherever the program is: it takes no lock, allocates nothing and panics never.
//! What is found is in tables that are made once and never grow; the agent's threads look at them when a span is over.

mod gap;
mod live;
mod snapshot;
mod table;

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use self::snapshot::{Allocated, Snapshots};
pub(crate) use self::table::{FRAMES, Table};

use self::live::{Live, Sampled};
use crate::facts;
use crate::frames::own_stack;

/// Bytes from one sample to the next, on average; 0 while none are taken.
static MEAN: AtomicU64 = AtomicU64::new(OFF);
const OFF: u64 = 0;

/// Made when samples are first taken, and kept: an allocator belongs to the process, not to an agent.
static TABLES: OnceLock<Tables> = OnceLock::new();

#[derive(Debug)]
struct Tables {
    stacks: Table,
    live: Live,
    /// Samples that are not in `live`, as it had no room.
    untracked: AtomicU64,
}

thread_local! {
    /// How much the thread has allocated when the next sample is due. Nobody knows at first.
    static DUE: Cell<u64> = const { Cell::new(0) };
    /// It is due by chance, and not for a look whether samples are taken.
    static IS_DRAWN: Cell<bool> = const { Cell::new(false) };
    /// A sample is being taken.
    static IS_SAMPLING: Cell<bool> = const { Cell::new(false) };
}

/// Where none are taken, a thread looks so often whether that has changed.
const LOOK_AGAIN: u64 = 1 << 20;

/// Begins to take samples.
pub(crate) fn begin(mean: u64) {
    TABLES.get_or_init(|| Tables {
        stacks: Table::new(),
        live: Live::new(),
        untracked: AtomicU64::new(0),
    });
    MEAN.store(mean, Ordering::Release);
}

/// The calling thread has allocated something, `total` bytes since its start.
#[inline]
pub(crate) fn allocated(address: *mut u8, bytes: usize, total: u64) {
    if total >= DUE.get() {
        look(address as usize, bytes as u64, total);
    }
}

/// It is about to give something back.
#[inline]
pub(crate) fn freed(address: *mut u8) {
    if MEAN.load(Ordering::Relaxed) != OFF
        && let Some(tables) = TABLES.get()
    {
        tables
            .live
            .take(address as usize, |sampled| tables.forget(sampled));
    }
}

/// Something is about to get another size, and maybe another address: what is known of it is to be given to
/// [`Moving::to`].
#[inline]
pub(crate) fn moving(address: *mut u8) -> Moving {
    if MEAN.load(Ordering::Relaxed) != OFF
        && let Some(tables) = TABLES.get()
    {
        tables.moving(address as usize)
    } else {
        Moving::Unknown
    }
}

/// What is known of an allocation that changes its size.
#[derive(Debug)]
pub(crate) enum Moving {
    Unknown,
    /// By the stacks in which it grew: few, as what grows does so in one place.
    Known([Option<Sampled>; STACKS]),
}

const STACKS: usize = 4;

impl Moving {
    /// It is there now. What became smaller stands for less.
    #[inline]
    pub(crate) fn to(self, address: *mut u8, before: usize, now: usize) {
        if let Self::Known(all) = self
            && let Some(tables) = TABLES.get()
        {
            tables.put(address as usize, all, before as u64, now as u64);
        }
    }
}

fn scaled(bytes: u64, now: u64, before: u64) -> u64 {
    let scaled = u128::from(bytes) * u128::from(now) / u128::from(before);
    u64::try_from(scaled).unwrap_or(bytes)
}

impl Tables {
    fn moving(&self, address: usize) -> Moving {
        let mut moving = Moving::Unknown;
        self.live.take(address, |sampled| match &mut moving {
            Moving::Unknown => moving = Moving::Known([Some(sampled), None, None, None]),
            Moving::Known(all) => match all.iter_mut().find(|place| place.is_none()) {
                Some(place) => *place = Some(sampled),
                None => self.forget(sampled),
            },
        });
        moving
    }

    #[cold]
    fn put(&self, address: usize, all: [Option<Sampled>; STACKS], before: u64, now: u64) {
        for sampled in all.into_iter().flatten() {
            let kept = Sampled {
                bytes: match before {
                    0 => sampled.bytes,
                    _ => scaled(sampled.bytes, now.min(before), before),
                },
                ..sampled
            };
            if self.live.put(address, kept) {
                self.add_live(kept.place, kept.bytes, sampled.bytes);
            } else {
                self.forget(sampled);
            }
        }
    }

    fn forget(&self, sampled: Sampled) {
        self.add_live(sampled.place, 0, sampled.bytes);
    }

    fn add_live(&self, place: u32, now: u64, before: u64) {
        let signed = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.stacks.add_live(place, signed(now) - signed(before));
    }
}

#[cold]
#[inline(never)]
fn look(address: usize, bytes: u64, total: u64) {
    let mean = MEAN.load(Ordering::Acquire);
    let (Some(tables), false) = (TABLES.get(), mean == OFF) else {
        DUE.set(total.saturating_add(LOOK_AGAIN));
        return;
    };
    DUE.set(total.saturating_add(gap::gap(mean).max(1)));
    // A thread's first look only draws when its first sample is due.
    if !IS_DRAWN.replace(true) || address == 0 || IS_SAMPLING.replace(true) {
        return;
    }
    let mut addresses = [0; FRAMES];
    let found = own_stack(&mut addresses);
    let bytes = gap::weight(bytes, mean);
    let place = tables.stacks.place(&addresses[..found], facts::whose());
    tables.stacks.add(place, bytes);
    if tables.live.put(address, Sampled { place, bytes }) {
        tables.add_live(place, bytes, 0);
    } else {
        tables.untracked.fetch_add(1, Ordering::Relaxed);
    }
    IS_SAMPLING.set(false);
}

/// Samples of which nobody knows whether they were given back.
pub(crate) fn untracked() -> u64 {
    TABLES
        .get()
        .map_or(0, |tables| tables.untracked.load(Ordering::Relaxed))
}
