//! Roll-outs and their reports as they were read last. Pages ask for the same ones all the time, and to find the newest row of
//! each takes ClickHouse several times as long as to say that nothing was changed.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use clickhouse::{Client, Row};
use serde::Deserialize;

use super::bounded::Bounded;
use super::deploys::{self, Known, newest};
use crate::store::StoreError;

/// Of all services together. A roll-out takes some hundred bytes.
const MOST_ROLL_OUTS: usize = 32 << 20;
/// A report of 35 kB takes about a tenth of that.
const MOST_REPORTS: usize = 16 << 20;
/// zstd's fastest.
const LEVEL: i32 = 1;

/// What need not be read again.
pub(super) struct Kept {
    rollouts: Bounded<String, (State, Arc<Known>)>,
    /// By service and key. A row never changes.
    reports: Bounded<(String, RowKey), Arc<[u8]>>,
    newest: Mutex<Option<(u64, NewestDeploys)>>,
}

/// Which row of a service: of which roll-out, and by which change.
pub(super) type RowKey = (i64, u64);

/// The newest version of a service's rows, and how many there are. None comes again: what is added has a higher version, and
/// what is forgotten leaves fewer.
type State = (u64, u64);

/// By service.
pub(super) type NewestDeploys = Arc<BTreeMap<String, NewestDeploy>>;

/// Of a service's roll-outs.
#[derive(Row, Deserialize)]
pub(super) struct NewestDeploy {
    service: String,
    /// The id of the newest.
    pub(super) id: String,
    /// The start of the first.
    pub(super) first_us: u64,
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            rollouts: Bounded::new(MOST_ROLL_OUTS),
            reports: Bounded::new(MOST_REPORTS),
            newest: Mutex::default(),
        }
    }
}

impl Kept {
    /// The roll-outs of a service as they are now.
    pub(super) async fn rollouts(
        &self,
        client: &Client,
        service: &str,
    ) -> Result<Arc<Known>, StoreError> {
        // Asked before they are read: what changes in between makes another state than the one that they are kept under.
        let state = "SELECT max(version), count() FROM deploys WHERE service = ?";
        let state = client.query(state).bind(service).fetch_one::<State>();
        let state = state.await?;
        if let Some((kept, known)) = self.rollouts.get(service)
            && kept == state
        {
            return Ok(known);
        }
        let known = Arc::new(deploys::load(client, service).await?);
        let kept = (state, Arc::clone(&known));
        self.rollouts.put(service.to_owned(), kept, known.bytes());
        Ok(known)
    }

    /// The reports of those rows, as JSON. One that was forgotten meanwhile is not there.
    pub(super) async fn reports(
        &self,
        client: &Client,
        service: &str,
        rows: &[RowKey],
    ) -> Result<HashMap<RowKey, Vec<u8>>, StoreError> {
        let mut reports = HashMap::new();
        let mut others = Vec::new();
        for &row in rows {
            match self.reports.get(&(service.to_owned(), row)) {
                Some(packed) => {
                    reports.insert(row, zstd::decode_all(&*packed).map_err(unreadable)?);
                }
                None => others.push(format!("({}, {})", row.0, row.1)),
            }
        }
        if others.is_empty() {
            return Ok(reports);
        }
        let sql = format!(
            "SELECT deploy_row, version, report FROM deploys WHERE service = ? AND (deploy_row, version) IN ({})",
            others.join(", ")
        );
        let asked = client.query(&sql).bind(service);
        let mut found = asked.fetch::<(i64, u64, String)>()?;
        while let Some((deploy_row, version, report)) = found.next().await? {
            let row = (deploy_row, version);
            let packed = zstd::encode_all(report.as_bytes(), LEVEL).map_err(unreadable)?;
            let bytes = packed.len() + service.len() + size_of::<(String, RowKey)>();
            let key = (service.to_owned(), row);
            self.reports.put(key, packed.into(), bytes);
            reports.insert(row, report.into_bytes());
        }
        Ok(reports)
    }

    /// The newest roll-out of each service, of rows that add up to `state`.
    pub(super) async fn newest(
        &self,
        client: &Client,
        state: u64,
    ) -> Result<NewestDeploys, StoreError> {
        let kept = || self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, deploys)) = &*kept()
            && *known == state
        {
            return Ok(Arc::clone(deploys));
        }
        let sql = format!(
            "SELECT toString(service) AS service, argMax(id, (started_us, deploy_row)) AS id, min(started_us) AS first_us
            FROM {} GROUP BY service",
            newest("")
        );
        let found = client.query(&sql).fetch_all::<NewestDeploy>().await?;
        let by_service = found
            .into_iter()
            .map(|found| (found.service.clone(), found));
        let deploys = Arc::new(by_service.collect());
        *kept() = Some((state, Arc::clone(&deploys)));
        Ok(deploys)
    }
}

/// A number for all rows of roll-outs: another one whenever one is added or forgotten.
pub(super) const STATE_OF_ALL: &str = "sum(cityHash64(service, deploy_row, version))";

fn unreadable(error: std::io::Error) -> StoreError {
    StoreError::Corrupt {
        what: "report",
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use appweight_wire::Deploy;

    use super::super::ClickhouseStore;
    use super::super::tests::Place;
    use crate::store::{DeployQuery, Horizons, Store, TimeRange, suite};
    use crate::testing::{NOON, SECOND};

    async fn ids(store: &ClickhouseStore) -> Vec<String> {
        let query = DeployQuery {
            service: "photo".into(),
            id: None,
            started: TimeRange::ALL,
            after: None,
            limit: 10,
        };
        let entries = store.deploys(query).await.unwrap();
        let services = store.services().await.unwrap();
        let newest = services.into_iter().find_map(|service| service.deploy);
        let ids: Vec<String> = (entries.into_iter().map(|entry| entry.deploy.id)).collect();
        assert_eq!(newest.as_ref(), ids.first(), "both were changed");
        ids
    }

    #[tokio::test]
    async fn what_another_collector_changes_is_seen_at_once() {
        let place = Place::new();
        let one = ClickhouseStore::open(&place.options, None).await.unwrap();
        let other = place.another_journal("other");
        let other = ClickhouseStore::open(&other, None).await.unwrap();
        assert!(ids(&one).await.is_empty());
        for (at, id) in (0..).zip(["a", "b", "c"]) {
            let now_us = NOON + at * 100 * SECOND;
            let posted = Deploy {
                service: "photo".into(),
                id: id.into(),
                started_us: now_us,
                ..Deploy::default()
            };
            other.post_deploy(posted, now_us).await.unwrap();
            assert_eq!(ids(&one).await.len(), at as usize + 1);
            assert_eq!(ids(&one).await, ids(&other).await);
        }
        let horizons = Horizons {
            deploys_us: NOON + 150 * SECOND,
            ..Horizons::NONE
        };
        let forgotten = suite::forget(&other, horizons).await;
        assert_eq!(forgotten.deploys, 2, "no record is newer");
        assert_eq!(ids(&one).await, ["c"]);
    }
}
