use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use appweight_wire::Age;

use super::allocations::Allocated;
use super::process::Seen;
use super::stacks::Stacks;
use crate::scopes::ended::Of;

/// A request that was sampled and has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) stacks: Box<Stacks>,
    pub(crate) of: Of,
}

/// What was allocated in a span of time.
#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) allocated: Vec<Allocated>,
    /// Requests and tasks of each endpoint that ended in it, by its number.
    pub(crate) requests: HashMap<u32, u64>,
    pub(crate) age: Age,
    /// A moment in it, µs since the Unix epoch.
    pub(crate) at_us: u64,
}

/// What was seen of the whole process in a span of time.
#[derive(Debug)]
pub(crate) struct SeenSpan {
    pub(crate) seen: Vec<Seen>,
    /// What a sample stands for, ns of a CPU.
    pub(crate) period_ns: u64,
    pub(crate) age: Age,
    /// A moment in it, µs since the Unix epoch.
    pub(crate) at_us: u64,
}

/// What is to become a profile.
#[derive(Debug)]
pub(super) enum Taken {
    Request(Finished),
    Span(Span),
    Process(SeenSpan),
}

/// From requests to the thread that looks names up. Only what is profiled passes here, so that its lock is taken
/// seldom, and for a moment.
#[derive(Debug, Default)]
pub(super) struct HandOver {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    taken: VecDeque<Taken>,
    /// One was taken, and is not in its profile yet.
    one_in_hand: bool,
    /// In the trees of those that wait.
    nodes: usize,
    dropped: u64,
    /// Nothing comes any more.
    closed: bool,
}

/// What may wait: some 100 bytes for each node, and 2 kB for each request. A program's symbols are read when the first
/// name is looked up, and what ends until then is here.
const NODES: usize = 100_000;
const REQUESTS: usize = 4_096;
/// A shutdown does not wait longer: the symbols of a large program are read once, within a second or two.
const SETTLE: Duration = Duration::from_secs(3);
/// And leaves so much of its time to those that send: half.
const OF_TIME: u32 = 2;

impl HandOver {
    pub(super) fn put(&self, taken: Taken) {
        let mut waiting = self.lock();
        if let Taken::Request(finished) = &taken {
            let nodes = waiting.nodes + finished.stacks.nodes().len();
            if nodes > NODES || waiting.taken.len() >= REQUESTS {
                waiting.dropped += 1;
                return;
            }
            waiting.nodes = nodes;
        }
        waiting.taken.push_back(taken);
        drop(waiting);
        self.changed.notify_all();
    }

    /// The next, waiting for it that long at most. What was taken before is settled now.
    pub(super) fn take(&self, longest: Duration) -> Option<Taken> {
        let mut waiting = self.lock();
        waiting.one_in_hand = false;
        self.changed.notify_all();
        let (mut waiting, _) = self
            .changed
            .wait_timeout_while(waiting, longest, |waiting| waiting.taken.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        let next = waiting.taken.pop_front();
        waiting.one_in_hand = next.is_some();
        if let Some(Taken::Request(finished)) = &next {
            waiting.nodes -= finished.stacks.nodes().len();
        }
        next
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Nothing comes any more: waits until all is settled; of the time until then a part at most.
    pub(super) fn close(&self, until: Instant) {
        let left = until.saturating_duration_since(Instant::now()) / OF_TIME;
        let mut waiting = self.lock();
        waiting.closed = true;
        let _settled = self
            .changed
            .wait_timeout_while(waiting, left.min(SETTLE), |waiting| {
                waiting.one_in_hand || !waiting.taken.is_empty()
            })
            .unwrap_or_else(PoisonError::into_inner);
    }

    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
