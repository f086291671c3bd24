use appweight_wire::{InstructionSource, RequestRecord};

use super::Outcome;
use crate::core::Core;
use crate::facts::Gathered;
use crate::names::clean;
use crate::shard::Ended;

/// What is gathered only for the one request in N that is recorded.
#[derive(Debug)]
pub(super) struct Recorded {
    method: Option<http::Method>,
    rss_start_bytes: Option<u64>,
    polls: u64,
    thread_hops: u64,
    thread: Option<u64>,
}

impl Recorded {
    #[cold]
    pub(super) fn new(core: &Core, method: Option<&http::Method>) -> Box<Self> {
        Box::new(Self {
            method: method.cloned(),
            rss_start_bytes: core.counters().rss_bytes(),
            polls: 0,
            thread_hops: 0,
            thread: None,
        })
    }

    #[cold]
    pub(super) fn poll(&mut self) {
        let thread = current_thread();
        self.polls += 1;
        if self.thread.is_some_and(|before| before != thread) {
            self.thread_hops += 1;
        }
        self.thread = Some(thread);
    }

    /// What was told belongs to a part that is over.
    pub(super) fn begin_anew(&mut self, core: &Core) {
        self.rss_start_bytes = core.counters().rss_bytes();
        self.polls = 0;
        self.thread_hops = 0;
    }

    #[cold]
    pub(super) fn record(
        &self,
        core: &Core,
        start_us: u64,
        ended: &Ended,
        outcome: Outcome,
        gathered: Option<&Gathered>,
    ) -> Box<RequestRecord> {
        let instructions = ended.usage.instructions();
        let allocated = ended.usage.allocated();
        let mut record = Box::new(RequestRecord {
            kind: ended.kind,
            endpoint: core.endpoint_name(ended.endpoint),
            start_us,
            method: self
                .method
                .as_ref()
                .map(|method| clean(method.as_str()).into_owned()),
            status: outcome.status,
            error: outcome.error,
            unfinished: ended.unfinished,
            weight: core.record_weight(ended.weight),
            age: ended.age,
            instructions,
            instruction_source: match instructions {
                Some(_) => core.counters().instruction_source(),
                None => InstructionSource::None,
            },
            scaled: ended.usage.scaled(),
            cpu_ns: ended.usage.cpu_ns(),
            allocated_bytes: allocated.map(|allocated| allocated.bytes),
            allocations: allocated.map(|allocated| allocated.allocations),
            wall_ns: ended.wall_ns,
            rss_start_bytes: self.rss_start_bytes,
            rss_end_bytes: core.counters().rss_bytes(),
            polls: self.polls,
            thread_hops: self.thread_hops,
            ..RequestRecord::default()
        });
        if let Some(gathered) = gathered {
            record.flags.clone_from(&gathered.flags);
            record.downstream.clone_from(&gathered.downstream);
        }
        record
    }
}

/// A number of the calling thread that no other thread of the process ever has.
fn current_thread() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static THREADS: AtomicU64 = AtomicU64::new(1);
    thread_local! {
        static ID: u64 = THREADS.fetch_add(1, Ordering::Relaxed);
    }
    ID.try_with(|id| *id).unwrap_or(0)
}
