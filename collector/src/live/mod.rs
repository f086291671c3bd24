//! The detector of each service that rolls something out, fed minute by minute.
//!
//! What it says depends on what the store holds alone: the cells from the midnight before the last one up to the newest complete
//! minute. So nothing of it is kept, and a restart reads them again. One service is read at a time, in short steps
//! off the runtime, and whoever asks what it says is given what it said last.

mod reading;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use appweight::api::Detected;
use appweight::live::{Live, minute_of};
use appweight_wire::{Batch, Deploy};

pub(crate) use reading::catch_up;

/// Services that are read at once. What others roll out is compared.
const MOST_SERVICES: usize = 32;
/// A service whose roll-outs are all judged is forgotten after so long.
const IDLE_US: u64 = 3_600_000_000;

/// The detectors, by service.
#[derive(Default)]
pub(crate) struct Detectors {
    services: Mutex<BTreeMap<String, Service>>,
    is_behind: AtomicBool,
}

/// One service's.
#[derive(Default)]
struct Service {
    /// Not here while it is fed.
    live: Option<Box<Live>>,
    /// The minute from which it reads.
    from: i64,
    /// The minute up to which cells were asked for: what comes for an earlier one is late.
    closed_until: i64,
    /// The minute that it had seen when it last spoke.
    seen: i64,
    /// Whether it has read up to the newest complete minute once.
    is_ready: bool,
    /// When it last had something new to see, µs of the collector's clock.
    moved_us: u64,
    /// When something was last rolled out, µs of the collector's clock.
    needed_us: u64,
    late_requests: u64,
    /// What was said of roll-outs without a final report, by id and start.
    said: BTreeMap<(String, u64), Detected>,
}

/// What there is to know of a roll-out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Said {
    /// Nothing yet: the cells are still read.
    Reading,
    /// Nothing was asked, since there is nothing to compare.
    Nothing,
    /// This, after cells that came so long ago, µs.
    This(Box<Detected>, u64),
}

impl Detectors {
    /// What the detector said last of a roll-out.
    pub(crate) fn said(&self, deploy: &Deploy, now_us: u64) -> Said {
        let services = self.lock();
        let known = services.get(&deploy.service);
        let Some(service) = known.filter(|_| deploy.replaced.is_some()) else {
            return Said::Nothing;
        };
        let key = (deploy.id.clone(), deploy.started_us);
        let said = service.said.get(&key);
        let Some(detected) = said.filter(|_| service.is_ready) else {
            return Said::Reading;
        };
        let mut detected = detected.clone();
        detected.late_requests = service.late_requests;
        let idle_us = now_us.saturating_sub(service.moved_us);
        Said::This(Box::new(detected), idle_us)
    }

    /// How many requests of each minute a batch counts, if its service is looked at.
    pub(crate) fn minutes_of(&self, batch: &Batch) -> Option<BTreeMap<i64, u64>> {
        if !self.lock().contains_key(&batch.origin.service) {
            return None;
        }
        let mut minutes = BTreeMap::new();
        let whole = batch.cells.iter().filter(|cell| cell.key.flag.is_none());
        for cell in whole {
            let requests: &mut u64 = minutes.entry(minute_of(cell.key.start_us)).or_default();
            *requests = requests.saturating_add(cell.n);
        }
        Some(minutes)
    }

    /// A batch with those requests was stored. How many of them are of minutes that were judged before.
    pub(crate) fn note_stored(&self, service: &str, minutes: &BTreeMap<i64, u64>) -> u64 {
        let mut services = self.lock();
        let Some(service) = services.get_mut(service) else {
            return 0;
        };
        let late = minutes.range(service.from..service.closed_until.max(service.from));
        let late: u64 = late.fold(0, |all, (_, requests)| all.saturating_add(*requests));
        service.late_requests = service.late_requests.saturating_add(late);
        late
    }

    /// Whether there are cells left to read.
    pub(crate) fn is_behind(&self) -> bool {
        self.is_behind.load(Ordering::Relaxed)
    }

    /// Nothing is left half-done under this lock, and nothing waits under it.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Service>> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod flag_tests;
#[cfg(test)]
mod tests;
