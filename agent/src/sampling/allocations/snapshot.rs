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
    /// Of a table into which another agent of this process, that has ended, may have had something counted: it has told that.
    /// Of memory, all that still lives is told anew.
    pub(crate) fn from_now(table: &Table) -> Self {
        let told = table.look().map(|(place, _, _, now)| {
            let told = Sums { live: 0, ..now };
            (place, told)
        });
        Self(told.collect())
    }

    /// The same of what is allocated.
    pub(crate) fn of_allocations() -> Self {
        let tables = TABLES.get();
        tables.map_or_else(Self::default, |tables| Self::from_now(&tables.stacks))
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_agent_before_has_told_is_not_told_again_but_for_what_lives() {
        let table = Table::new();
        let place = table.place(&[1, 2, 3], None);
        let allocate = |bytes: u32| {
            table.add(place, bytes.into());
            table.add_live(place, bytes.into());
        };
        let told = |snapshots: &mut Snapshots| {
            let changed: Vec<_> = snapshots.since_last(&table).collect();
            let sums = |sums: Sums| (sums.samples, sums.allocated, sums.live);
            changed
                .into_iter()
                .map(|(_, _, now)| sums(now))
                .collect::<Vec<_>>()
        };
        let mut before = Snapshots::from_now(&table);
        allocate(500);
        assert_eq!(told(&mut before), [(1, 500, 500)]);
        let mut after = Snapshots::from_now(&table);
        allocate(70);
        assert_eq!(told(&mut after), [(1, 70, 570)]);
        assert_eq!(told(&mut after), []);
    }
}
