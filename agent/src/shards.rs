//! Every thread counts into a shard of its own, so that no request waits for another.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::shard::{Drained, Shard, Spans, Tally};

/// The shards of one agent.
#[derive(Debug)]
pub(crate) struct Shards {
    /// Tells the agents of a process apart.
    agent: u64,
    all: Mutex<Vec<Arc<Mutex<Shard>>>>,
    /// For what a thread still does while it ends.
    last_resort: Arc<Mutex<Shard>>,
}

thread_local! {
    /// The calling thread's shards by agent: nearly always one.
    static MINE: RefCell<Vec<(u64, Arc<Mutex<Shard>>)>> = const { RefCell::new(Vec::new()) };
}

impl Shards {
    pub(crate) fn new() -> Self {
        static AGENTS: AtomicU64 = AtomicU64::new(0);
        let last_resort = Arc::new(Mutex::default());
        Self {
            agent: AGENTS.fetch_add(1, Ordering::Relaxed),
            all: Mutex::new(vec![Arc::clone(&last_resort)]),
            last_resort,
        }
    }

    /// Works on the calling thread's shard. Its lock is free, except for the moment of a flush.
    pub(crate) fn with_mine(&self, work: impl FnOnce(&mut Shard)) {
        let shard = MINE
            .try_with(|mine| {
                let mut mine = mine.try_borrow_mut().ok()?;
                if let Some((_, shard)) = mine.iter().find(|(agent, _)| *agent == self.agent) {
                    return Some(Arc::clone(shard));
                }
                // Shards that only this thread still holds belonged to agents that are gone.
                mine.retain(|(_, shard)| Arc::strong_count(shard) > 1);
                let shard = Arc::new(Mutex::default());
                self.all
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(Arc::clone(&shard));
                mine.push((self.agent, Arc::clone(&shard)));
                Some(shard)
            })
            .ok()
            .flatten();
        let shard = shard.as_ref().unwrap_or(&self.last_resort);
        work(&mut shard.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Takes what is complete from all shards, and forgets those of threads that have ended.
    pub(crate) fn drain(&self, now_us: u64, spans: Spans, into: &mut Drained) {
        let shards = self
            .all
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for shard in shards {
            shard
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .drain(now_us, spans, into);
        }
        self.all
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|shard| {
                Arc::strong_count(shard) > 1
                    || !shard
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .is_empty()
            });
    }

    /// Cells that are open, and what was tallied since the last flush.
    pub(crate) fn look(&self) -> (u64, Tally) {
        let shards = self
            .all
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut tally = Tally::default();
        let mut cells = 0;
        for shard in shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            cells += shard.open_cells() as u64;
            tally.add(shard.tally());
        }
        (cells, tally)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use appweight_wire::{Age, InstructionSource, Kind};

    use super::*;
    use crate::names::Endpoints;
    use crate::shard::Ended;
    use crate::usage::Usage;

    const SPANS: Spans = Spans {
        cell_us: 1_000,
        process_us: 500,
        instruction_source: InstructionSource::None,
    };

    fn count(shards: &Shards, endpoints: &Endpoints, end_us: u64) {
        let ended = Ended {
            kind: Kind::Request,
            endpoint: "/",
            end_us,
            wall_ns: 1,
            usage: Usage::new(),
            error: false,
            age: Age::Warm,
            flags: &[],
            user: None,
        };
        shards.with_mine(|shard| shard.count(&ended, None, SPANS, endpoints));
    }

    #[test]
    fn what_ended_threads_counted_stays_until_its_time_is_over() {
        let (shards, endpoints) = (Shards::new(), Endpoints::new());
        let in_threads = |end_us| {
            for _ in 0..3 {
                thread::scope(|scope| {
                    // Joined by hand: a scope does not wait for the end of thread-locals.
                    scope
                        .spawn(|| count(&shards, &endpoints, end_us))
                        .join()
                        .unwrap();
                });
            }
        };
        let drain = |now_us| {
            let mut drained = Drained::default();
            shards.drain(now_us, SPANS, &mut drained);
            let requests = drained.span.endpoints.get("/").map_or(0, |counts| counts.0);
            let cells = drained.take_cells();
            let counted = cells
                .iter()
                .map(|cell| (cell.key.start_us, cell.n))
                .collect::<Vec<_>>();
            (counted, requests)
        };
        in_threads(1_999);
        in_threads(2_000);
        assert_eq!(drain(1_999), (vec![], 0), "nothing is over");
        assert_eq!(drain(2_000), (vec![(1_000, 3)], 3));
        assert_eq!(shards.look().0, 3);
        assert_eq!(
            drain(2_500),
            (vec![], 3),
            "a span of the process record is shorter"
        );
        assert_eq!(drain(u64::MAX), (vec![(2_000, 3)], 0));
        let left = shards.all.lock().unwrap().len();
        assert_eq!(left, 1, "the shards of ended threads are forgotten");
    }
}
