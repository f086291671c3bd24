//! How many endpoints a service is counted by.
//!
//! Each is a row of every page and a series of cells. A service that names its endpoints by raw paths, or a
//! client that makes them up, would make them without end: those beyond the limit are counted together.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use appweight_wire::{Batch, DecodeError, EndpointCount, PackedRequests};

use crate::lock::lock;
use crate::problem::Refusal;
use crate::store::Store;

/// Where those beyond the limit are counted, as agents call it, too.
const OTHER: &str = "other";

/// The store is asked again after so long, µs: endpoints that are gone make room.
const FRESH_US: u64 = 86_400_000_000;

/// So many services are remembered. What is forgotten is asked of the store again.
const SERVICES: usize = 1_000;

/// The endpoints that each service is known by.
pub(crate) struct Endpoints {
    limit: usize,
    services: Mutex<HashMap<String, Arc<Mutex<Known>>>>,
}

/// The endpoints of a service.
struct Known {
    names: HashSet<String>,
    asked_us: u64,
    told: bool,
}

impl Endpoints {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            services: Mutex::default(),
        }
    }

    /// Renames the endpoints of a batch that are beyond the limit. Returns how many records that were. Request records
    /// that came packed are put into the batch if any of them has to be renamed.
    pub(crate) async fn bound(
        &self,
        batch: &mut Batch,
        packed: Option<&PackedRequests>,
        store: &dyn Store,
        now_us: u64,
    ) -> Result<u64, Refusal> {
        let service = &batch.origin.service;
        let known = match self.fresh(service, now_us) {
            Some(known) => known,
            None => {
                let names = store.endpoints(service, self.limit).await?;
                self.remember(service, names, now_us)
            }
        };
        let mut known = lock(&known);
        let renamed = known.bound(batch, packed, self.limit)?;
        if renamed > 0 && !known.told {
            known.told = true;
            tracing::warn!(
                service = batch.origin.service,
                limit = self.limit,
                "more endpoints than are counted apart; the others are counted as {OTHER:?}: send route templates, or raise --max-endpoints"
            );
        }
        Ok(renamed)
    }

    fn fresh(&self, service: &str, now_us: u64) -> Option<Arc<Mutex<Known>>> {
        let known = Arc::clone(lock(&self.services).get(service)?);
        let fresh = now_us.saturating_sub(lock(&known).asked_us) < FRESH_US;
        fresh.then_some(known)
    }

    fn remember(&self, service: &str, names: Vec<String>, now_us: u64) -> Arc<Mutex<Known>> {
        let mut services = lock(&self.services);
        if services.len() >= SERVICES && !services.contains_key(service) {
            services.clear();
        }
        // Batches that came at the same time asked too: whoever was first counts.
        let known = services.entry(service.to_owned()).or_insert_with(|| {
            Arc::new(Mutex::new(Known {
                names: HashSet::new(),
                asked_us: 0,
                told: false,
            }))
        });
        let mut inner = lock(known);
        if now_us.saturating_sub(inner.asked_us) >= FRESH_US {
            *inner = Known {
                names: names.into_iter().collect(),
                asked_us: now_us,
                told: false,
            };
        }
        drop(inner);
        Arc::clone(known)
    }
}

impl Known {
    fn bound(
        &mut self,
        batch: &mut Batch,
        packed: Option<&PackedRequests>,
        limit: usize,
    ) -> Result<u64, DecodeError> {
        let mut renamed = 0;
        for cell in &mut batch.cells {
            renamed += u64::from(self.rename(&mut cell.key.endpoint, limit));
        }
        if let Some(packed) = packed
            && batch.requests.is_empty()
            && !packed.endpoints().all(|name| self.counts(name, limit))
        {
            batch.requests = packed.unpack()?;
        }
        let requests = batch.requests.iter_mut();
        let profiles = batch.profiles.iter_mut();
        let names = (requests.map(|request| &mut request.endpoint))
            .chain(profiles.map(|profile| &mut profile.endpoint));
        for name in names {
            renamed += u64::from(self.rename(name, limit));
        }
        for process in &mut batch.processes {
            let mut renamed_here = false;
            for count in &mut process.endpoints {
                renamed_here |= self.rename(&mut count.endpoint, limit);
            }
            if renamed_here {
                add_up_others(&mut process.endpoints);
            }
            renamed += u64::from(renamed_here);
        }
        Ok(renamed)
    }

    /// Whether it had to be.
    fn rename(&mut self, name: &mut String, limit: usize) -> bool {
        let counted = self.counts(name, limit);
        if !counted {
            OTHER.clone_into(name);
        }
        !counted
    }

    /// Whether it keeps its name. One that is new and has room is known from now on.
    fn counts(&mut self, name: &str, limit: usize) -> bool {
        if name == OTHER || self.names.contains(name) {
            return true;
        }
        let room = self.names.len() < limit;
        if room {
            self.names.insert(name.to_owned());
        }
        room
    }
}

/// A process says each endpoint once.
fn add_up_others(counts: &mut Vec<EndpointCount>) {
    let mut others = EndpointCount {
        endpoint: OTHER.to_owned(),
        ..EndpointCount::default()
    };
    counts.retain(|count| {
        if count.endpoint != OTHER {
            return true;
        }
        others.requests = others.requests.saturating_add(count.requests);
        others.errors = others.errors.saturating_add(count.errors);
        false
    });
    counts.push(others);
}

#[cfg(test)]
mod tests;
