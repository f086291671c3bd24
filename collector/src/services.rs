//! How many services there may be.
//!
//! Each has its own pages, cells and deploys. A client that makes names up, or a fleet that names a service after each
//! of its hosts, would make them without end: those beyond the limit are refused, and their agents say so in their logs.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use http::StatusCode;

use crate::problem::Refusal;
use crate::store::Store;

/// The store is asked again no sooner than after so long, µs: what was forgotten makes room.
const FRESH_US: u64 = 60_000_000;

/// The services that are known.
pub(crate) struct Services {
    limit: usize,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    names: HashSet<String>,
    asked_us: Option<u64>,
}

impl Services {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            known: Mutex::default(),
        }
    }

    /// Whether something of that service may be kept: it is known, or there is room for it.
    pub(crate) async fn admit(
        &self,
        service: &str,
        field: &str,
        store: &dyn Store,
        now_us: u64,
    ) -> Result<(), Refusal> {
        if self.is_known(service) {
            return Ok(());
        }
        let asked_us = self.lock().asked_us;
        if asked_us.is_none_or(|asked_us| now_us.saturating_sub(asked_us) >= FRESH_US) {
            let there = store.services().await?;
            let mut known = self.lock();
            known.names = there.into_iter().map(|summary| summary.service).collect();
            known.asked_us = Some(now_us);
        }
        let mut known = self.lock();
        if known.names.contains(service) {
            return Ok(());
        }
        if known.names.len() < self.limit {
            known.names.insert(service.to_owned());
            return Ok(());
        }
        Err(Refusal::of(
            StatusCode::UNPROCESSABLE_ENTITY,
            field,
            format!(
                "There are {} services already, and no more are taken (--max-services): what is one service sends one name.",
                known.names.len()
            ),
        ))
    }

    fn is_known(&self, service: &str) -> bool {
        self.lock().names.contains(service)
    }

    /// Names are added one by one: nothing is half-done under this lock.
    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{Bench, NOON, SECOND, batch, cell};

    fn of(service: &str, sequence: u64) -> appweight_wire::Batch {
        let mut batch = batch(1, sequence, "a");
        batch.origin.service = service.into();
        batch.cells = vec![cell(NOON + sequence * SECOND, &[5])];
        batch
    }

    #[tokio::test]
    async fn those_beyond_the_limit_are_refused() {
        let few = |options: &mut crate::CollectorOptions| options.max_services = 2;
        let bench = Bench::with(few);
        for (sequence, service) in [(0, "a"), (1, "b"), (2, "a")] {
            assert_eq!(bench.put_batch(&of(service, sequence)).await.status, 201);
        }
        let refused = bench.put_batch(&of("c", 3)).await;
        refused.assert_problem(422, Some("origin.service"));
        let deploy = json!({"service": "c", "id": "1"});
        let refused = bench.post_deploy(deploy).await;
        refused.assert_problem(422, Some("service"));
        // A new collector finds in the store which there are.
        let bench = bench.restarted(few);
        let refused = bench.put_batch(&of("c", 4)).await;
        refused.assert_problem(422, Some("origin.service"));
        assert_eq!(bench.put_batch(&of("b", 5)).await.status, 201);
        let names = bench.get("/v1/services").await.body;
        assert_eq!(names.as_array().unwrap().len(), 2);
    }

    #[tokio::test]
    async fn those_that_are_gone_make_room() {
        const DAY: u64 = 86_400 * SECOND;
        let bench = Bench::with(|options| options.max_services = 1);
        assert_eq!(bench.put_batch(&of("a", 0)).await.status, 201);
        bench.at(NOON + 700 * DAY);
        assert_eq!(bench.put_batch(&of("c", 1)).await.status, 422);
        bench.at(NOON + 800 * DAY);
        let forgotten = crate::retention::forget(bench.collector.app()).await;
        let forgotten = forgotten.unwrap();
        assert_eq!((forgotten.deploys, forgotten.services), (1, 1));
        assert_eq!(bench.put_batch(&of("c", 2)).await.status, 201);
    }
}
