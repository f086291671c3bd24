//! Roll-outs and their reports as they were read last. Pages ask for the same ones all the time, and to find the newest row of
//! each takes ClickHouse several times as long as to say that nothing was changed.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use appweight::api::{DeployReport, DeploySummary};
use appweight_wire::Deploy;
use clickhouse::{Client, Row};
use serde::Deserialize;

use super::bounded::Bounded;
use super::connection::alone;
use super::deploys::{self, Known, newest};
use crate::lock::lock;
use crate::store::reports::OfReport;
use crate::store::{StoreError, question};

/// Of all services together. A roll-out takes some hundred bytes.
const MOST_ROLL_OUTS: usize = 32 << 20;
/// A report of 35 kB takes about a tenth of that.
const MOST_REPORTS: usize = 16 << 20;
/// One without findings takes less than a kilobyte.
const MOST_SUMMARIES: usize = 8 << 20;
/// zstd's fastest.
const LEVEL: i32 = 1;

/// What need not be read again.
pub(super) struct Kept {
    rollouts: Bounded<String, (State, Arc<Known>)>,
    /// By service and key. A row never changes.
    reports: Bounded<(String, RowKey), Arc<[u8]>>,
    /// What lists have of them: to read a hundred reports takes longer than any question here.
    summaries: Bounded<(String, RowKey), Arc<DeploySummary>>,
    newest: Mutex<Option<(States, NewestDeploys)>>,
    /// The states that were looked up last, and when that began.
    looked: Mutex<Option<(Instant, States)>>,
}

/// Which row of a service: of which roll-out, and by which change.
pub(super) type RowKey = (i64, u64);

/// The newest version of a service's rows, and how many there are. None comes again: what is added has a higher version, and
/// what is forgotten leaves fewer.
pub(super) type State = (u64, u64);

/// By service, of those that have rows.
pub(super) type States = Arc<BTreeMap<String, State>>;

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
            summaries: Bounded::new(MOST_SUMMARIES),
            newest: Mutex::default(),
            looked: Mutex::default(),
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
        let state = match self.state_in_question(service) {
            Some(state) => state,
            None => {
                let state = "SELECT max(version), count() FROM deploys WHERE service = ?";
                let state = alone(client.query(state)).bind(service);
                state.fetch_one::<State>().await?
            }
        };
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

    /// What was looked up since the question came that is being answered.
    fn state_in_question(&self, service: &str) -> Option<State> {
        let came = question::began()?;
        let looked = lock(&self.looked);
        let (began, states) = looked.as_ref()?;
        (*began >= came).then(|| states.get(service).copied().unwrap_or_default())
    }

    /// Keeps the states of all services, which were looked up from `began` on.
    pub(super) fn look(&self, began: Instant, states: States) {
        let mut looked = lock(&self.looked);
        if looked.as_ref().is_none_or(|(before, _)| *before < began) {
            *looked = Some((began, states));
        }
    }

    /// What there is to read of the reports of those rows, which are of these roll-outs. One that was forgotten meanwhile is
    /// not there.
    pub(super) async fn reports<R: Keepable>(
        &self,
        client: &Client,
        service: &str,
        rows: &[(RowKey, Deploy)],
    ) -> Result<HashMap<RowKey, R>, StoreError> {
        let mut reports = HashMap::new();
        let mut others = HashMap::new();
        for (row, deploy) in rows {
            let key = (service.to_owned(), *row);
            if let Some(report) = R::kept(self, &key) {
                reports.insert(*row, report);
            } else if let Some(packed) = self.reports.get(&key) {
                let json = zstd::decode_all(&*packed).map_err(unreadable)?;
                reports.insert(*row, self.read(key, &json, deploy)?);
            } else {
                others.insert(*row, deploy);
            }
        }
        if others.is_empty() {
            return Ok(reports);
        }
        let listed = others.keys().map(|row| format!("({}, {})", row.0, row.1));
        let sql = format!(
            "SELECT deploy_row, version, report FROM deploys WHERE service = ? AND (deploy_row, version) IN ({})",
            listed.collect::<Vec<_>>().join(", ")
        );
        let asked = client.query(&sql).bind(service);
        let mut found = asked.fetch::<(i64, u64, String)>()?;
        while let Some((deploy_row, version, report)) = found.next().await? {
            let row = (deploy_row, version);
            let Some(deploy) = others.get(&row) else {
                continue;
            };
            let packed = zstd::encode_all(report.as_bytes(), LEVEL).map_err(unreadable)?;
            let key = (service.to_owned(), row);
            let bytes = packed.len() + bytes_of(&key);
            self.reports.put(key.clone(), packed.into(), bytes);
            reports.insert(row, self.read(key, report.as_bytes(), deploy)?);
        }
        Ok(reports)
    }

    fn read<R: Keepable>(
        &self,
        key: (String, RowKey),
        json: &[u8],
        deploy: &Deploy,
    ) -> Result<R, StoreError> {
        let report = R::read(json, deploy)?;
        report.keep(self, key);
        Ok(report)
    }

    /// The newest roll-out of each service, of rows in these states.
    pub(super) async fn newest(
        &self,
        client: &Client,
        states: States,
    ) -> Result<NewestDeploys, StoreError> {
        if let Some((known, deploys)) = &*lock(&self.newest)
            && *known == states
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
        *lock(&self.newest) = Some((states, Arc::clone(&deploys)));
        Ok(deploys)
    }
}

/// What is read of reports, and may be kept as it was read: neither the report nor the roll-out of a row ever changes.
pub(super) trait Keepable: OfReport {
    fn kept(kept: &Kept, key: &(String, RowKey)) -> Option<Self>;
    fn keep(&self, kept: &Kept, key: (String, RowKey));
}

/// It takes ten times as much as packed JSON.
impl Keepable for DeployReport {
    fn kept(_: &Kept, _: &(String, RowKey)) -> Option<Self> {
        None
    }

    fn keep(&self, _: &Kept, _: (String, RowKey)) {}
}

impl Keepable for DeploySummary {
    fn kept(kept: &Kept, key: &(String, RowKey)) -> Option<Self> {
        (kept.summaries.get(key)).map(|summary| (*summary).clone())
    }

    fn keep(&self, kept: &Kept, key: (String, RowKey)) {
        // What it occupies is about twice its JSON.
        let json = serde_json::to_vec(self).map_or(0, |json| json.len());
        let bytes = size_of::<Self>() + 2 * json + bytes_of(&key);
        kept.summaries.put(key, Arc::new(self.clone()), bytes);
    }
}

fn bytes_of(key: &(String, RowKey)) -> usize {
    size_of::<(String, RowKey)>() + key.0.len()
}

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
    use crate::store::{DeployQuery, Horizons, Store, TimeRange, question, suite};
    use crate::testing::{NOON, SECOND};

    async fn post(store: &ClickhouseStore, id: &str, now_us: u64) {
        let posted = Deploy {
            service: "photo".into(),
            id: id.into(),
            started_us: now_us,
            ..Deploy::default()
        };
        store.post_deploy(posted, now_us).await.unwrap();
    }

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
            post(&other, id, now_us).await;
            assert_eq!(ids(&one).await.len(), at as usize + 1);
            assert_eq!(question::awaited(ids(&one)).await, ids(&other).await);
        }
        let horizons = Horizons {
            deploys_us: NOON + 150 * SECOND,
            ..Horizons::NONE
        };
        let forgotten = suite::forget(&other, horizons).await;
        assert_eq!(forgotten.deploys, 2, "no record is newer");
        assert_eq!(ids(&one).await, ["c"]);
    }

    #[tokio::test]
    async fn a_summary_that_another_collector_changes_is_seen_at_once() {
        let place = Place::new();
        let one = ClickhouseStore::open(&place.options, None).await.unwrap();
        let other = place.another_journal("other");
        let other = ClickhouseStore::open(&other, None).await.unwrap();
        let query = DeployQuery {
            service: "photo".into(),
            id: Some("a".into()),
            started: TimeRange::ALL,
            after: None,
            limit: 10,
        };
        let summary = async |store: &ClickhouseStore| {
            let mut entries = store.summaries(query.clone()).await.unwrap();
            assert_eq!(store.summaries(query.clone()).await.unwrap(), entries);
            let entry = entries.pop()?;
            assert_eq!(entries, []);
            let told = entry.report.as_ref().map(|report| &report.deploy);
            assert!(told.is_none_or(|deploy| *deploy == entry.deploy));
            Some(entry)
        };
        let judge = async |store: &ClickhouseStore, number| {
            let deploy = summary(store).await.unwrap().deploy;
            let report = suite::report(deploy, number);
            assert!(store.put_report(report.clone()).await.unwrap());
            report.summary.headline
        };
        let headline = async || {
            let told = summary(&one).await.unwrap().report;
            told.map(|report| report.headline)
        };
        assert_eq!(summary(&one).await, None);
        post(&other, "a", NOON).await;
        assert_eq!(headline().await, None, "it goes on");
        let first = judge(&other, 1.0).await;
        assert_eq!(headline().await, Some(first.clone()));
        let described = Deploy {
            service: "photo".into(),
            id: "a".into(),
            title: Some("Faster feed".into()),
            ..Deploy::default()
        };
        other.post_deploy(described, NOON + SECOND).await.unwrap();
        let told = summary(&one).await.unwrap();
        assert_eq!(told.deploy.title.as_deref(), Some("Faster feed"));
        assert_eq!(headline().await, Some(first.clone()));
        // Of the same id and start as one that was forgotten.
        let horizons = Horizons {
            deploys_us: NOON + 150 * SECOND,
            ..Horizons::NONE
        };
        assert_eq!(suite::forget(&other, horizons).await.deploys, 1);
        assert_eq!(summary(&one).await, None);
        post(&other, "a", NOON).await;
        assert_eq!(headline().await, None);
        let second = judge(&other, 2.0).await;
        assert_ne!(first, second);
        assert_eq!(headline().await, Some(second));
    }

    #[tokio::test]
    async fn one_question_looks_once_and_the_next_one_anew() {
        let place = Place::new();
        let store = ClickhouseStore::open(&place.options, None).await.unwrap();
        post(&store, "a", NOON).await;
        assert_eq!(ids(&store).await, ["a"]);
        let started_us = NOON + 100 * SECOND;
        let next = async || store.next_start("photo", NOON).await.unwrap();
        question::awaited(async {
            store.services().await.unwrap();
            post(&store, "b", started_us).await;
            assert_eq!(next().await, None, "it came while it was asked");
        })
        .await;
        assert_eq!(question::awaited(next()).await, Some(started_us));
        question::awaited(async {
            store.services().await.unwrap();
            assert_eq!(next().await, Some(started_us));
            let unknown = store.next_start("unknown", NOON).await.unwrap();
            assert_eq!(unknown, None);
        })
        .await;
    }
}
