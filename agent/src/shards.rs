//! Every thread counts into a shard of its own, so that no request waits for another.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use fastrand::Rng;

use crate::chance::{self, Chance};
use crate::handover::{Handover, Owner, settle_fences};
use crate::measurement::Measurement;
use crate::names::{Endpoints, Numbers};
use crate::outside::{Measuring, Threads};
use crate::shard::{Drained, Shard, Spans, Tally};
use crate::stock::Stock;
use crate::thinning::Thinning;

/// The shards of one agent.
#[derive(Debug)]
pub(crate) struct Shards {
    /// Tells the agents of a process apart.
    agent: u64,
    all: Mutex<Vec<Arc<Handover<Shard>>>>,
    odds: Odds,
    threads: Arc<Threads>,
    /// For what a thread still does while it ends.
    last_resort: Mutex<Mine>,
}

/// What the calling thread has of one agent.
#[derive(Debug)]
struct Mine {
    agent: u64,
    shard: Owner<Shard>,
    numbers: Numbers,
    random: Rng,
    record: Chance,
    profile: Chance,
    stock: Stock,
    /// Absent if it is no thread's own.
    #[expect(dead_code, reason = "it tells something when it is dropped")]
    measuring: Option<Measuring>,
}

/// Of those that are counted, one in so many is recorded, and one in so many profiled; none for 0.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Odds {
    pub(crate) record_one_in: u64,
    pub(crate) profile_one_in: u64,
}

/// What chance has decided of a request that is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chosen {
    /// How many it stands for.
    pub(crate) weight: u32,
    pub(crate) is_recorded: bool,
    pub(crate) is_profiled: bool,
}

/// What the calling thread has for a request or task that begins.
#[derive(Debug)]
pub(crate) struct Begun {
    /// The endpoint's number.
    pub(crate) endpoint: u32,
    /// `None` if it is not counted.
    pub(crate) chosen: Option<Chosen>,
    /// Where it may lie.
    pub(crate) place: Option<Box<Measurement>>,
}

impl Mine {
    fn new(agent: u64, odds: Odds, measuring: Option<Measuring>) -> (Self, Arc<Handover<Shard>>) {
        let (shard, shared) = Handover::new();
        let mut random = chance::random();
        let mine = Self {
            agent,
            shard,
            numbers: Numbers::default(),
            record: Chance::one_in(odds.record_one_in, &mut random),
            profile: Chance::one_in(odds.profile_one_in, &mut random),
            random,
            stock: Stock::default(),
            measuring,
        };
        (mine, shared)
    }
}

thread_local! {
    /// By agent: nearly always one.
    static MINE: RefCell<Vec<Mine>> = const { RefCell::new(Vec::new()) };
}

impl Shards {
    pub(crate) fn new(odds: Odds) -> Self {
        static AGENTS: AtomicU64 = AtomicU64::new(0);
        settle_fences();
        let agent = AGENTS.fetch_add(1, Ordering::Relaxed);
        let (mine, shared) = Mine::new(agent, odds, None);
        Self {
            agent,
            all: Mutex::new(vec![shared]),
            odds,
            threads: Arc::new(Threads::new()),
            last_resort: Mutex::new(mine),
        }
    }

    /// Works on the calling thread's shard, without waiting for anybody.
    #[inline]
    pub(crate) fn with_mine<R>(&self, work: impl FnOnce(&mut Shard) -> R) -> R {
        self.mine(|mine| mine.shard.work(work))
    }

    /// The same, once it has ended what lay in that place.
    #[inline]
    pub(crate) fn end(&self, place: Box<Measurement>, work: impl FnOnce(&mut Shard, &Measurement)) {
        self.mine(|mine| {
            mine.shard.work(|shard| work(shard, &place));
            mine.stock.give_back(place);
        });
    }

    /// A place where something that begins may lie.
    pub(crate) fn place(&self) -> Option<Box<Measurement>> {
        self.mine(|mine| mine.stock.take())
    }

    /// Nobody needs what lies in that place any more.
    pub(crate) fn give_back(&self, place: Box<Measurement>) {
        self.mine(|mine| mine.stock.give_back(place));
    }

    /// What becomes of the next request or task of that name. Decided by the calling thread alone.
    #[inline]
    pub(crate) fn begin(
        &self,
        name: &str,
        endpoints: &Endpoints,
        thinning: &Thinning,
        put: impl FnOnce(Begun) -> Box<Measurement>,
    ) -> Box<Measurement> {
        // Put where it lies at once: what is given back in several parts is written and read again in others, for which
        // a CPU waits.
        self.mine(|mine| {
            let endpoint = mine.numbers.of(name, endpoints);
            let random = &mut mine.random;
            let chosen = thinning.choose(endpoint, random).map(|weight| Chosen {
                weight,
                is_recorded: mine.record.comes(random),
                is_profiled: mine.profile.comes(random),
            });
            put(Begun {
                endpoint,
                chosen,
                place: mine.stock.take(),
            })
        })
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
        let measuring = self.threads.begins_to_measure();
        let (own, shared) = Mine::new(self.agent, self.odds, Some(measuring));
        self.all
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(shared);
        mine.push(own);
        mine.len() - 1
    }

    /// Takes what is complete from all shards, and forgets those of threads that have ended.
    pub(crate) fn drain(
        &self,
        now_us: u64,
        spans: Spans,
        endpoints: &Endpoints,
        into: &mut Drained,
    ) {
        for shard in self.all() {
            shard.fetch(|shard| shard.drain(now_us, spans, endpoints, into));
            into.add_up(spans, endpoints);
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

    /// What was used outside since the last call by threads that do not measure and by those that have ended, ns.
    pub(crate) fn used_by_others(&self) -> u64 {
        self.threads.look()
    }

    /// Cells that are open, and what was tallied since the last flush.
    pub(crate) fn look(&self, spans: Spans, endpoints: &Endpoints) -> (u64, Tally) {
        let mut tally = Tally::default();
        let mut cells = 0;
        for shard in self.all() {
            shard.fetch(|shard| {
                shard.settle(&spans, endpoints);
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
            usage: Usage::new(),
            status: None,
            error: false,
            unfinished: false,
            is_recorded: false,
            age: Age::Warm,
            flags: Vec::new(),
            user: None,
        };
        shards.with_mine(|shard| shard.count(&SPANS, endpoints, |room| *room = ended));
    }

    #[test]
    fn what_ended_threads_counted_stays_until_its_time_is_over() {
        let (shards, endpoints) = (Shards::new(Odds::default()), Endpoints::new());
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
            shards.drain(now_us, SPANS, &endpoints, &mut drained);
            let span = drained.take_span(&endpoints);
            let requests = span.endpoints.get("/").map_or(0, |counts| counts.0);
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
        assert_eq!(shards.look(SPANS, &endpoints).0, 3);
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
