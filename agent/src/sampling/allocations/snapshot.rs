use std::collections::HashMap;

use super::TABLES;
use super::table::{Sums, Whose};

/// What was allocated in one chain of calls since the last time.
#[derive(Debug)]
pub(crate) struct Allocated {
    /// Where each caller goes on, innermost first.
    pub(crate) frames: Vec<u64>,
    pub(crate) whose: Whose,
    pub(crate) samples: u64,
    /// Bytes that the samples stand for.
    pub(crate) bytes: u64,
    /// How many more of them there are that were not given back.
    pub(crate) live: i64,
}

/// Tells what has changed since the last time.
#[derive(Debug, Default)]
pub(crate) struct Snapshots(HashMap<usize, Sums>);

impl Snapshots {
    /// What was allocated, or given back, since the last time.
    pub(crate) fn take(&mut self) -> Vec<Allocated> {
        let Some(tables) = TABLES.get() else {
            return Vec::new();
        };
        let mut all = Vec::new();
        for (place, frames, whose, now) in tables.stacks.look() {
            let before = self.0.insert(place, now).unwrap_or_default();
            if before != now {
                all.push(Allocated {
                    frames,
                    whose,
                    samples: now.samples.saturating_sub(before.samples),
                    bytes: now.allocated.saturating_sub(before.allocated),
                    live: now.live - before.live,
                });
            }
        }
        all
    }
}
