//! Every thread counts into a shard of its own, so that no request waits for another.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::handover::{Handover, Owner, settle_fences};
use crate::names::Numbers;
use crate::outside::Threads;
use crate::shard::{Drained, Shard, Spans, Tally};

/// The shards of one agent.
#[derive(Debug)]
pub(crate) struct Shards {
    /// Tells the agents of a process apart.
    agent: u64,
    all: Mutex<Vec<Arc<Handover<Shard>>>>,
    threads: Threads,
    /// For what a thread still does while it ends.
    last_resort: Mutex<Mine>,
}

/// What the calling thread has of one agent.
#[derive(Debug)]
struct Mine {
    agent: u64,
    shard: Owner<Shard>,
    numbers: Numbers,
}

thread_local! {
    /// By agent: nearly always one.
    static MINE: RefCell<Vec<Mine>> = const { RefCell::new(Vec::new()) };
}

impl Shards {
    pub(crate) fn new() -> Self {
        static AGENTS: AtomicU64 = AtomicU64::new(0);
        settle_fences();
        let agent = AGENTS.fetch_add(1, Ordering::Relaxed);
        let (shard, shared) = Handover::new();
        Self {
            agent,
            all: Mutex::new(vec![shared]),
            threads: Threads::new(),
            last_resort: Mutex::new(Mine {
                agent,
                shard,
                numbers: Numbers::default(),
            }),
        }
    }

    /// Works on the calling thread's shard, without waiting for anybody.
    #[inline]
    pub(crate) fn with_mine<R>(&self, work: impl FnOnce(&mut Shard) -> R) -> R {
        self.mine(|mine| mine.shard.work(work))
    }

    /// Works on what the calling thread remembers of names.
    #[inline]
    pub(crate) fn with_numbers<R>(&self, work: impl FnOnce(&mut Numbers) -> R) -> R {
        self.mine(|mine| work(&mut mine.numbers))
    }

    #[inline]
    fn mine<R>(&self, work: impl FnOnce(&mut Mine) -> R) -> R {
        let mut work = Some(work);
        let done = MINE.try_with(|mine| {
            let mut mine = mine.try_borrow_mut().ok()?;
            // Nearly always the first, so that looking for it is one comparison.
            if let Some(first) = mine.first_mut()
                && first.agent == self.agent
            {
                return Some(work.take()?(first));
            }
            let at = self.find(&mut mine);
            Some(work.take()?(mine.get_mut(at)?))
        });
        match (done, work) {
            (Ok(Some(result)), _) => result,
            (_, Some(work)) => {
                let mut last = self
                    .last_resort
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                work(&mut last)
            }
            (_, None) => unreachable!("work that was done has a result"),
        }
    }

    /// Where the calling thread's shard lies among its others.
    #[cold]
    fn find(&self, mine: &mut Vec<Mine>) -> usize {
        let known = mine.iter().position(|mine| mine.agent == self.agent);
        known.unwrap_or_else(|| self.join(mine))
    }

    /// Gives the calling thread a shard; its place among the thread's.
    #[cold]
    fn join(&self, mine: &mut Vec<Mine>) -> usize {
        // Shards that only this thread still holds belonged to agents that are gone.
        mine.retain(|mine| !mine.shard.is_alone());
        self.threads.begins_to_measure();
        let (shard, shared) = Handover::new();
        self.all
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(shared);
        mine.push(Mine {
            agent: self.agent,
            shard,
            numbers: Numbers::default(),
        });
        mine.len() - 1
    }

    /// Takes what is complete from all shards, and forgets those of threads that have ended.
    pub(crate) fn drain(&self, now_us: u64, spans: Spans, into: &mut Drained) {
        for shard in self.all() {
            shard.fetch(|shard| shard.drain(now_us, spans, into));
        }
        self.all
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|shard| {
                let mut is_empty = true;
                if shard.is_orphan() {
                    shard.fetch(|shard| is_empty &= shard.is_empty());
                } else {
                    is_empty = false;
                }
                !is_empty
            });
    }

    /// What threads that do not measure have used since the last call, ns.
    pub(crate) fn used_by_others(&self) -> u64 {
        self.threads.look()
    }

    /// Cells that are open, and what was tallied since the last flush.
    pub(crate) fn look(&self) -> (u64, Tally) {
        let mut tally = Tally::default();
        let mut cells = 0;
        for shard in self.all() {
            shard.fetch(|shard| {
                cells += shard.open_cells() as u64;
                tally.add(shard.tallied());
            });
        }
        (cells, tally)
    }

    fn all(&self) -> Vec<Arc<Handover<Shard>>> {
        self.all
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
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
        cost: None,
    };

    fn count(shards: &Shards, endpoints: &Endpoints, end_us: u64) {
        let ended = Ended {
            kind: Kind::Request,
            endpoint: endpoints.number("/"),
            weight: 1,
            end_us,
            wall_ns: 1,
            usage: &Usage::new(),
            status: None,
            error: false,
            unfinished: false,
            age: Age::Warm,
            flags: &[],
            user: None,
        };
        shards.with_mine(|shard| shard.count(&ended, None, &SPANS, endpoints));
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
            let span = drained.take_span(&endpoints);
            let requests = span.endpoints.get("/").map_or(0, |counts| counts.0);
            let cells = drained.take_cells(SPANS, &endpoints);
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
