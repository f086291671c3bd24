use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::contents::Contents;
use crate::own_threads::OwnThreads;
use crate::shard::Tally;

/// What an agent did since its start, counted by its own threads.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    /// Held while what threads tallied is on its way from them to here.
    on_its_way: Mutex<()>,
    pub(crate) own_threads: OwnThreads,
    pub(crate) requests: AtomicU64,
    pub(crate) tasks: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) dropped_requests: AtomicU64,
    pub(crate) other_endpoint: AtomicU64,
    pub(crate) uncounted_flags: AtomicU64,
    pub(crate) sent_records: AtomicU64,
    pub(crate) sent_batches: AtomicU64,
    pub(crate) sent_bytes: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) spool_unreadable: AtomicU64,
    /// What lies in the spool now.
    pub(crate) spooled_batches: AtomicU64,
    pub(crate) spooled_bytes: AtomicU64,
}

impl Totals {
    /// Adds what was given up.
    pub(crate) fn lose(&self, contents: Contents) {
        add(&self.dropped, contents.records);
        add(&self.dropped_requests, contents.requests);
    }

    /// While it is held, what threads tallied is either still with them or here.
    pub(crate) fn hold(&self) -> MutexGuard<'_, ()> {
        self.on_its_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what threads tallied, as it is fetched from them.
    pub(crate) fn take_over(&self, fetch: impl FnOnce() -> Tally) -> Tally {
        let _held = self.hold();
        let tally = fetch();
        self.add_tally(tally);
        tally
    }

    fn add_tally(&self, tally: Tally) {
        add(&self.requests, tally.requests);
        add(&self.tasks, tally.tasks);
        add(&self.dropped, tally.dropped);
        add(&self.other_endpoint, tally.other_endpoint);
        add(&self.uncounted_flags, tally.uncounted_flags);
    }
}

pub(crate) fn add(total: &AtomicU64, more: u64) {
    total.fetch_add(more, Ordering::Relaxed);
}

pub(crate) fn get(total: &AtomicU64) -> u64 {
    total.load(Ordering::Relaxed)
}
