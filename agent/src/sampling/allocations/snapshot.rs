use std::collections::HashMap;

use super::TABLES;
use super::table::{Sums, Table, Whose};

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
        let changed = self.since_last(&tables.stacks);
        changed
            .map(|(frames, whose, sums)| Allocated {
                frames,
                whose,
                samples: sums.samples,
                bytes: sums.allocated,
                live: sums.live,
            })
            .collect()
    }

    /// By how much each stack's sums have changed since the last time.
    pub(crate) fn since_last(
        &mut self,
        table: &Table,
    ) -> impl Iterator<Item = (Vec<u64>, Whose, Sums)> {
        table.look().filter_map(|(place, frames, whose, now)| {
            let before = self.0.insert(place, now).unwrap_or_default();
            let sums = Sums {
                samples: now.samples.saturating_sub(before.samples),
                allocated: now.allocated.saturating_sub(before.allocated),
                live: now.live - before.live,
            };
            (before != now).then_some((frames, whose, sums))
        })
    }
}
