//! What was allocated in which chain of calls: a table without locks, of a size that never changes.

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

use appweight_wire::Kind;

/// Frames of a stack that are kept, the innermost ones.
pub(crate) const FRAMES: usize = 64;
/// Chains of calls, of all endpoints: some 4.5 MB once all are taken. Of a service a few hundred allocate enough to be seen.
const STACKS: usize = 8_192;
/// How far from its place a stack is looked for.
const PROBES: usize = 32;
/// The first is of what found no place.
const NO_ROOM: u32 = 0;

/// Whose an allocation is: a request's or task's endpoint, or nobody's.
pub(crate) type Whose = Option<(Kind, u32)>;

#[derive(Debug)]
pub(crate) struct Table {
    entries: Box<[Entry]>,
}

#[derive(Debug)]
struct Entry {
    /// Of the stack and of whose it is; 0 while nobody has taken the place.
    hash: AtomicU64,
    /// How many frames there are, once they are written; [`NOT_WRITTEN`] before.
    frames: AtomicU32,
    whose: AtomicU64,
    samples: AtomicU64,
    /// Bytes that the samples stand for.
    allocated: AtomicU64,
    /// Those of them that were not given back.
    live: AtomicI64,
    addresses: [AtomicU64; FRAMES],
}

const NOT_WRITTEN: u32 = 0;

/// An entry as it is at some moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) samples: u64,
    pub(crate) allocated: u64,
    pub(crate) live: i64,
}

impl Table {
    pub(crate) fn new() -> Self {
        let entry = || Entry {
            hash: AtomicU64::new(0),
            frames: AtomicU32::new(NOT_WRITTEN),
            whose: AtomicU64::new(0),
            samples: AtomicU64::new(0),
            allocated: AtomicU64::new(0),
            live: AtomicI64::new(0),
            addresses: [const { AtomicU64::new(0) }; FRAMES],
        };
        Self {
            entries: (0..STACKS).map(|_| entry()).collect(),
        }
    }

    /// Where that stack's sums are. Neither waits nor allocates.
    pub(crate) fn place(&self, frames: &[u64], whose: Whose) -> u32 {
        let frames = &frames[..frames.len().min(FRAMES)];
        let whose = packed(whose);
        let hash = hash(frames, whose);
        for probe in 0..PROBES {
            let at = 1 + (hash as usize).wrapping_add(probe) % (STACKS - 1);
            let entry = &self.entries[at];
            let place = at as u32;
            match entry.hash.load(Ordering::Acquire) {
                0 => {}
                taken if taken == hash => return place,
                _ => continue,
            }
            match entry
                .hash
                .compare_exchange(0, hash, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => {
                    for (address, frame) in entry.addresses.iter().zip(frames) {
                        address.store(*frame, Ordering::Relaxed);
                    }
                    entry.whose.store(whose, Ordering::Relaxed);
                    let count = frames.len() as u32;
                    entry.frames.store(count + 1, Ordering::Release);
                    return place;
                }
                Err(taken) if taken == hash => return place,
                Err(_) => {}
            }
        }
        NO_ROOM
    }

    /// Adds a sampled allocation.
    pub(crate) fn add(&self, place: u32, bytes: u64) {
        let Some(entry) = self.entries.get(place as usize) else {
            return;
        };
        entry.samples.fetch_add(1, Ordering::Relaxed);
        entry.allocated.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So much more, or less, of what was allocated there is not given back.
    pub(super) fn add_live(&self, place: u32, bytes: i64) {
        if let Some(entry) = self.entries.get(place as usize) {
            entry.live.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Each stack that is there: its place, the frames (none for what found no place), whose it is, and its sums.
    pub(super) fn look(&self) -> impl Iterator<Item = (usize, Vec<u64>, Whose, Sums)> {
        self.entries.iter().enumerate().filter_map(|(at, entry)| {
            let sums = Sums {
                samples: entry.samples.load(Ordering::Relaxed),
                allocated: entry.allocated.load(Ordering::Relaxed),
                live: entry.live.load(Ordering::Relaxed),
            };
            let frames = match entry.frames.load(Ordering::Acquire) {
                NOT_WRITTEN if at == NO_ROOM as usize => 0,
                NOT_WRITTEN => return None,
                more => more as usize - 1,
            };
            let addresses = entry.addresses.iter().take(frames);
            let addresses = addresses.map(|address| address.load(Ordering::Relaxed));
            let whose = unpacked(entry.whose.load(Ordering::Relaxed));
            Some((at, addresses.collect(), whose, sums))
        })
    }
}

fn packed(whose: Whose) -> u64 {
    match whose {
        None => 0,
        Some((Kind::Request, endpoint)) => (1 << 32) | u64::from(endpoint),
        Some((Kind::Task, endpoint)) => (2 << 32) | u64::from(endpoint),
    }
}

fn unpacked(whose: u64) -> Whose {
    let endpoint = whose as u32;
    match whose >> 32 {
        1 => Some((Kind::Request, endpoint)),
        2 => Some((Kind::Task, endpoint)),
        _ => None,
    }
}

/// Never 0. Two stacks of one hash would be one: of 8,192 with 64 bits each that does not happen.
fn hash(frames: &[u64], whose: u64) -> u64 {
    let mix = |hash: u64, word: u64| {
        let product = u128::from(hash ^ word) * 0x9e37_79b9_7f4a_7c15_u128;
        (product as u64) ^ ((product >> 64) as u64)
    };
    let hash = frames
        .iter()
        .fold(mix(0x51, whose), |hash, frame| mix(hash, *frame));
    hash.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_of_each_endpoint_have_a_place_of_their_own() {
        let table = Table::new();
        let of = |endpoint| Some((Kind::Request, endpoint));
        let places = [
            table.place(&[1, 2, 3], None),
            table.place(&[1, 2, 3], of(0)),
            table.place(&[1, 2, 3], Some((Kind::Task, 0))),
            table.place(&[1, 2], of(0)),
            table.place(&[], of(0)),
        ];
        assert!((1..5).all(|at| !places[..at].contains(&places[at])));
        assert_eq!(table.place(&[1, 2, 3], of(0)), places[1]);
        table.add(places[1], 500);
        table.add_live(places[1], 500);
        table.add_live(places[1], -200);
        let found = table.look().find(|(at, ..)| *at == places[1] as usize);
        let sums = Sums {
            samples: 1,
            allocated: 500,
            live: 300,
        };
        assert_eq!(
            found.unwrap(),
            (places[1] as usize, vec![1, 2, 3], of(0), sums)
        );
        assert_eq!(table.look().count(), places.len() + 1);
        assert_eq!(
            table.place(&[9; 100], None),
            table.place(&[9; FRAMES], None)
        );
    }

    #[test]
    fn threads_that_meet_at_a_place_agree() {
        let table = Table::new();
        let places = || {
            let place = |stack| table.place(&[stack, 7], None);
            (0..2_000_u64).map(place).collect::<Vec<_>>()
        };
        let both = std::thread::scope(|scope| {
            [scope.spawn(places), scope.spawn(places)].map(|thread| thread.join().unwrap())
        });
        assert_eq!(both[0], both[1]);
    }

    #[test]
    fn what_finds_no_place_is_counted_together() {
        let table = Table::new();
        for stack in 1..2 * STACKS as u64 {
            table.add(table.place(&[stack], None), 1);
        }
        let all: u64 = table.look().map(|(.., sums)| sums.allocated).sum();
        assert_eq!(all, 2 * STACKS as u64 - 1);
        assert!(table.look().next().unwrap().3.allocated > 0);
    }
}
