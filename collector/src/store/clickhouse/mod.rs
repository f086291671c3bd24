//! The store in ClickHouse, for a fleet.
//!
//! Cells, and nodes of profiles, are rows that ClickHouse adds up when it merges and when it is asked. It has no
//! transactions: [`writer`] is how a batch counts once all the same.

mod alerts;
mod bounded;
mod cell_rows;
mod cells;
mod claims;
mod connection;
#[cfg(test)]
mod copy_tests;
mod costliest;
mod days;
mod ddl;
mod deploys;
mod endpoints;
mod fold;
mod forget;
#[cfg(test)]
mod forget_tests;
mod group_rows;
mod http;
mod journal;
mod kept;
mod merges;
mod missing;
#[cfg(test)]
mod missing_tests;
#[cfg(test)]
mod moved_tests;
mod numbers;
#[cfg(test)]
mod older_tests;
mod options;
mod processes;
mod profiles;
mod refill;
#[cfg(test)]
mod refill_tests;
mod requests;
mod schema;
mod seen;
mod services;
#[cfg(test)]
mod settings_tests;
#[cfg(test)]
mod tests;
mod transfer;
mod ttl;
mod watch;
mod windows;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use appweight::api::{
    DeployReport, DeploySummary, ProcessView, ProfileSummary, RequestView, ServiceSummary,
};
use appweight::drift::Day;
use appweight::evidence::{PlacedCell, ProcessPoint};
use appweight::profile::Profile;
use appweight_wire::Deploy;
use async_trait::async_trait;
use clickhouse::Client;
use tokio::sync::Mutex;
use uuid::Uuid;

pub use options::{ClickhouseOptions, ClickhouseOptionsError};

use self::ddl::Ddl;
use self::forget::Pass;
use self::journal::Journal;
use self::kept::Kept;
use self::writer::Writer;
use super::copy::refuse_half_copied;
use super::{
    AlertStatus, CellQuery, DeployEntry, DeployQuery, DiskUse, Forgotten, Grouping, Horizons,
    NewBatch, PostedDeploy, ProcessQuery, ProfileQuery, PutOutcome, RequestQuery, Store,
    StoreError, TimeRange, all_failed, question,
};

/// The tables of a database, brought up to date.
#[derive(Clone)]
pub(crate) struct Tables {
    client: Client,
    ddl: Ddl,
    /// The version of the schema that was found; 0 if there was none.
    pub(crate) found: i64,
}

impl Tables {
    /// Opens the database, or makes it, and brings its schema up to date.
    pub(crate) async fn open(options: &ClickhouseOptions) -> Result<Self, StoreError> {
        let client = connection::pinned(connection::client(options)).await?;
        let ddl = Ddl {
            database: options.database.clone(),
            cluster: options.cluster.clone(),
        };
        client.query(&ddl.make_database()).execute().await?;
        let client = client.with_database(&options.database);
        let found = schema::migrate(&client, &ddl).await?;
        merges::set(&client, &ddl).await?;
        Ok(Self { client, ddl, found })
    }

    /// The newest version of the schema.
    pub(crate) const KNOWN: i64 = schema::MIGRATIONS.len() as i64;
}

/// A store in a database of ClickHouse.
#[derive(Clone)]
pub(crate) struct ClickhouseStore {
    client: Client,
    /// For what nobody waits for who looks at a page.
    behind: Client,
    ddl: Ddl,
    /// This collector's id: the same after a restart, and of no other that runs.
    collector: Uuid,
    writer: Arc<Mutex<Writer>>,
    kept: Arc<Kept>,
    /// What the retention is about.
    pass: Arc<Mutex<Pass>>,
}

impl ClickhouseStore {
    /// Opens the database, or makes it, brings its schema up to date, and writes what the journal says was being written.
    /// ClickHouse forgets records by itself when they are older than `keep_records`.
    pub(crate) async fn open(
        options: &ClickhouseOptions,
        keep_records: Option<Duration>,
    ) -> Result<Self, StoreError> {
        let journal = Journal::open(&options.journal)?;
        let tables = Tables::open(options).await?;
        refuse_half_copied(&tables).await?;
        let Tables { client, ddl, .. } = tables;
        if let Some(keep) = keep_records {
            ttl::set(&client, &ddl, keep).await?;
        }
        let collector = journal.collector;
        let behind = connection::if_allowed(&client, connection::BEHIND).await?;
        let writer = Writer::open(behind.clone(), journal).await?;
        Ok(Self {
            client,
            behind,
            ddl,
            collector,
            writer: Arc::new(Mutex::new(writer)),
            kept: Arc::default(),
            pass: Arc::default(),
        })
    }

    /// For a question: what nobody waits for comes behind what somebody does.
    fn asking(&self) -> &Client {
        match question::began() {
            Some(_) => &self.client,
            None => &self.behind,
        }
    }
}

#[async_trait]
impl Store for ClickhouseStore {
    fn grouping(&self) -> Grouping {
        Grouping {
            // A group is a dozen inserts, each synced, however few rows are in it.
            most_records: 200_000,
            patience: Duration::from_millis(25),
        }
    }

    async fn put_batches(&self, batches: Vec<NewBatch>) -> Vec<Result<PutOutcome, StoreError>> {
        let (count, writer) = (batches.len(), Arc::clone(&self.writer));
        // Whoever does not wait for it leaves no group half-way.
        let put = tokio::spawn(async move { writer.lock().await.put(batches).await });
        put.await
            .unwrap_or_else(|error| all_failed(count, StoreError::Cut(error.to_string())))
    }

    async fn post_deploy(&self, deploy: Deploy, now_us: u64) -> Result<PostedDeploy, StoreError> {
        deploys::post(&self.client, deploy, now_us).await
    }

    async fn put_report(&self, report: DeployReport) -> Result<bool, StoreError> {
        deploys::put_report(&self.client, &report).await
    }

    async fn put_alert_status(&self, status: AlertStatus) -> Result<bool, StoreError> {
        alerts::put(&self.client, &status).await
    }

    async fn hold_watch(&self, now_us: u64, until_us: u64) -> Result<bool, StoreError> {
        watch::hold(&self.client, &self.ddl, self.collector, (now_us, until_us)).await
    }

    async fn let_watch_go(&self, now_us: u64) -> Result<(), StoreError> {
        watch::let_go(&self.client, &self.ddl, self.collector, now_us).await
    }

    async fn put_day(&self, day: Day) -> Result<(), StoreError> {
        days::put(&self.client, &day).await
    }

    async fn alert_statuses(&self) -> Result<Vec<AlertStatus>, StoreError> {
        alerts::list(self.asking()).await
    }

    async fn services(&self) -> Result<Vec<ServiceSummary>, StoreError> {
        services::services(self.asking(), &self.kept).await
    }

    async fn endpoints(&self, service: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        endpoints::list(self.asking(), service, limit).await
    }

    async fn deploys(&self, query: DeployQuery) -> Result<Vec<DeployEntry>, StoreError> {
        deploys::list(self.asking(), &self.kept, &query).await
    }

    async fn summaries(
        &self,
        query: DeployQuery,
    ) -> Result<Vec<DeployEntry<DeploySummary>>, StoreError> {
        deploys::list(self.asking(), &self.kept, &query).await
    }

    async fn unjudged(&self) -> Result<Vec<Deploy>, StoreError> {
        deploys::unjudged(self.asking()).await
    }

    async fn next_start(&self, service: &str, started_us: u64) -> Result<Option<u64>, StoreError> {
        deploys::next_start(self.asking(), &self.kept, service, started_us).await
    }

    #[cfg(any(test, feature = "parquet"))]
    async fn cells(&self, query: CellQuery) -> Result<Vec<PlacedCell>, StoreError> {
        cells::cells(self.asking(), &query).await
    }

    async fn moments(
        &self,
        query: CellQuery,
        most: Option<usize>,
    ) -> Result<Vec<PlacedCell>, StoreError> {
        cells::moments(self.asking(), &query, most).await
    }

    async fn flag_moments(
        &self,
        service: &str,
        time: TimeRange,
        most: usize,
    ) -> Result<Vec<PlacedCell>, StoreError> {
        cells::flag_moments(self.asking(), service, time, most).await
    }

    async fn cell_span(
        &self,
        service: &str,
        deploy: &str,
        time: TimeRange,
    ) -> Result<Option<TimeRange>, StoreError> {
        cells::cell_span(self.asking(), service, deploy, time).await
    }

    async fn cell_widths(&self, service: &str) -> Result<Option<(u64, u64)>, StoreError> {
        cells::cell_widths(self.asking(), service).await
    }

    async fn process_points(&self, query: ProcessQuery) -> Result<Vec<ProcessPoint>, StoreError> {
        processes::points(self.asking(), &query).await
    }

    async fn windows(
        &self,
        service: &str,
        time: TimeRange,
        window_us: u64,
    ) -> Result<Vec<ProcessPoint>, StoreError> {
        windows::windows(self.asking(), service, time, window_us).await
    }

    async fn process_views(
        &self,
        service: &str,
        since_us: u64,
    ) -> Result<Vec<ProcessView>, StoreError> {
        processes::views(self.asking(), service, since_us).await
    }

    async fn days(&self, service: &str, time: TimeRange) -> Result<Vec<Day>, StoreError> {
        days::list(self.asking(), service, time).await
    }

    async fn requests(&self, query: RequestQuery) -> Result<Vec<RequestView>, StoreError> {
        requests::requests(self.asking(), &query).await
    }

    async fn profiles(
        &self,
        service: &str,
        deploy: &str,
    ) -> Result<Vec<ProfileSummary>, StoreError> {
        profiles::list(self.asking(), service, deploy).await
    }

    async fn profile(&self, query: ProfileQuery) -> Result<Vec<Profile>, StoreError> {
        profiles::replicates(self.asking(), &query).await
    }

    async fn forget_some(&self, horizons: Horizons) -> Result<Forgotten, StoreError> {
        let mut pass = self.pass.lock().await;
        let forgotten = pass.step(&self.behind, &self.ddl, horizons).await?;
        if forgotten.deploys + forgotten.endpoints + forgotten.services > 0 {
            self.writer.lock().await.forget_what_is_known();
        }
        Ok(forgotten)
    }

    async fn check(&self) -> Result<(), StoreError> {
        let one = self.client.query("SELECT count() FROM services");
        one.fetch_one::<u64>().await?;
        Ok(())
    }

    async fn disk_use(&self) -> Result<DiskUse, StoreError> {
        let sql = "SELECT sum(bytes_on_disk), sumIf(bytes_on_disk, NOT active) FROM system.parts
            WHERE database = currentDatabase()";
        let (bytes, reusable_bytes) = self.client.query(sql).fetch_one::<(u64, u64)>().await?;
        Ok(DiskUse {
            bytes,
            reusable_bytes,
        })
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.writer.lock().await.tell().await
    }
}
