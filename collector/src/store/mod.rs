//! Where everything is kept. Only this folder knows SQL.

mod alerts;
mod cell_sums;
#[cfg(feature = "clickhouse")]
mod clickhouse;
mod code;
pub(crate) mod copy;
mod days;
mod profiles;
pub(crate) mod question;
mod reports;
mod retention;
mod rollouts;
mod span;
mod sqlite;
#[cfg(test)]
mod suite;
mod views;
mod windows;

pub(crate) use alerts::{AlertStatus, Called};
#[cfg(feature = "clickhouse")]
pub use clickhouse::{ClickhouseOptions, ClickhouseOptionsError};
#[cfg(feature = "clickhouse")]
pub(crate) use clickhouse::{ClickhouseStore, Tables};
pub(crate) use retention::{DiskUse, Forgotten, Horizons};
pub(crate) use sqlite::SqliteStore;
pub use sqlite::{BackupError, backup};

use std::sync::Arc;
use std::time::Duration;

use appweight::api::{
    DeployReport, DeploySummary, ProcessView, ProfileOf, ProfileSummary, RequestView,
    ServiceSummary,
};
use appweight::drift::Day;
use appweight::evidence::{PlacedCell, ProcessPoint};
use appweight::profile::Profile;
use appweight_wire::{Batch, Deploy, PackedRequests};
use async_trait::async_trait;
use utoipa::ToSchema;
use uuid::Uuid;

/// Keeps batches, deploys and reports, and answers questions about them.
///
/// What a write returned is durable. A write that failed left nothing behind, or is done to its end before any other:
/// whoever does it again finds it done, and never done twice.
#[async_trait]
pub(crate) trait Store: Send + Sync + 'static {
    /// What is best committed together.
    fn grouping(&self) -> Grouping;
    /// Keeps batches, each once, in as few commits as can be: their cells are added to those of the same
    /// key, their profiles to those of the same deploy, and a deploy id that was never seen becomes a
    /// roll-out. Answers in the order of the batches; each was kept whole or not at all.
    async fn put_batches(&self, batches: Vec<NewBatch>) -> Vec<Result<PutOutcome, StoreError>>;
    /// Whether it keeps these request records packed as they came. Then a batch need not hold them unpacked too.
    fn keeps_packed(&self, _packed: &PackedRequests) -> bool {
        false
    }
    /// Keeps one batch.
    #[cfg(test)]
    async fn put_batch(&self, batch: NewBatch) -> Result<PutOutcome, StoreError> {
        self.put_batches(vec![batch]).await.remove(0)
    }
    /// Starts, ends or describes a roll-out.
    async fn post_deploy(&self, deploy: Deploy, now_us: u64) -> Result<PostedDeploy, StoreError>;
    /// Keeps the final report of the roll-out that it names. `false` if that roll-out has one already,
    /// or began at another time, as a late record told meanwhile.
    async fn put_report(&self, report: DeployReport) -> Result<bool, StoreError>;
    /// Keeps what was done about an alert. `false` if its version is not the one after that which is kept: somebody
    /// else was first.
    async fn put_alert_status(&self, status: AlertStatus) -> Result<bool, StoreError>;
    /// Takes the watch, or keeps it, until then. `false` if another has it whose time has not run out: of all collectors on a store one at
    /// most has it.
    async fn hold_watch(&self, now_us: u64, until_us: u64) -> Result<bool, StoreError>;
    /// Gives the watch up, if this one has it.
    async fn let_watch_go(&self, now_us: u64) -> Result<(), StoreError>;
    /// Keeps what is left of a service's day. One that is there stays as it is.
    async fn put_day(&self, day: Day) -> Result<(), StoreError>;

    /// Every service with a cell, a record or a deploy, by name.
    async fn services(&self) -> Result<Vec<ServiceSummary>, StoreError>;
    /// Roll-outs, newest first; of those that started at once, by falling id.
    async fn deploys(&self, query: DeployQuery) -> Result<Vec<DeployEntry>, StoreError>;
    /// The same, with nothing of a report but its summary: the rest, most of it, is not read.
    async fn summaries(
        &self,
        query: DeployQuery,
    ) -> Result<Vec<DeployEntry<DeploySummary>>, StoreError>;
    /// What was done about alerts, of all services; of those that are missing nothing.
    async fn alert_statuses(&self) -> Result<Vec<AlertStatus>, StoreError>;
    /// Every roll-out of every service without a final report, oldest first.
    async fn unjudged(&self) -> Result<Vec<Deploy>, StoreError>;
    /// When the next roll-out of the service after `started_us` began.
    async fn next_start(&self, service: &str, started_us: u64) -> Result<Option<u64>, StoreError>;
    /// Cells of a service, without those kept per flag, by rising start: for what is made of whole cells.
    #[cfg(any(test, feature = "parquet"))]
    async fn cells(&self, query: CellQuery) -> Result<Vec<PlacedCell>, StoreError>;
    /// The same cells with what a judge needs of them: of their distributions numbers, sums and sums of squares, of values
    /// and of their logarithms, of instructions and CPU time, nothing else. They are many, and the rest is most of them. The
    /// first of them if they are more than `most`.
    async fn moments(
        &self,
        query: CellQuery,
        most: Option<usize>,
    ) -> Result<Vec<PlacedCell>, StoreError>;
    /// The cells of a service that are kept per flag, with what [`Store::moments`] has of the others, by rising start. The first of
    /// them if they are more than `most`.
    async fn flag_moments(
        &self,
        service: &str,
        time: TimeRange,
        most: usize,
    ) -> Result<Vec<PlacedCell>, StoreError>;
    /// When a deploy's first cell of that time begins and its last one ends.
    async fn cell_span(
        &self,
        service: &str,
        deploy: &str,
        time: TimeRange,
    ) -> Result<Option<TimeRange>, StoreError>;
    /// The narrowest and the widest of the service's newest cells, µs.
    async fn cell_widths(&self, service: &str) -> Result<Option<(u64, u64)>, StoreError>;
    /// Process records of a service, by rising start.
    async fn process_points(&self, query: ProcessQuery) -> Result<Vec<ProcessPoint>, StoreError>;
    /// A service's process records that begin in that time, added up by windows of `window_us`, by rising start. See
    /// [`Windows`](windows::Windows).
    async fn windows(
        &self,
        service: &str,
        time: TimeRange,
        window_us: u64,
    ) -> Result<Vec<ProcessPoint>, StoreError>;
    /// The newest record of each process that has one since `since_us`, by host.
    async fn process_views(
        &self,
        service: &str,
        since_us: u64,
    ) -> Result<Vec<ProcessView>, StoreError>;
    /// The endpoints of a service that were counted lately: since [`Horizons::minutes_us`], to the day. At most so many.
    async fn endpoints(&self, service: &str, limit: usize) -> Result<Vec<String>, StoreError>;
    /// What was kept of a service's days that begin in that time, in order.
    async fn days(&self, service: &str, time: TimeRange) -> Result<Vec<Day>, StoreError>;
    /// Recorded requests.
    async fn requests(&self, query: RequestQuery) -> Result<Vec<RequestView>, StoreError>;

    /// What profiles there are of a deploy, by endpoint and timer.
    async fn profiles(
        &self,
        service: &str,
        deploy: &str,
    ) -> Result<Vec<ProfileSummary>, StoreError>;
    /// The replicates of a profile; none if there is no such profile.
    async fn profile(&self, query: ProfileQuery) -> Result<Vec<Profile>, StoreError>;

    /// One short step towards keeping no more than the horizons say: no batch waits long behind it. Whoever
    /// calls it again until nothing is left to do finds every older cell folded and all else forgotten.
    /// A store that does so by itself has nothing to do.
    async fn forget_some(&self, horizons: Horizons) -> Result<Forgotten, StoreError>;
    /// Whether the store answers.
    async fn check(&self) -> Result<(), StoreError>;
    /// What it occupies.
    async fn disk_use(&self) -> Result<DiskUse, StoreError>;
    /// Leaves everything tidy before the process ends.
    async fn close(&self) -> Result<(), StoreError>;
}

/// How large groups of batches are that are committed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grouping {
    /// A group is closed at so many records, so that nobody waits long for its commit.
    pub(crate) most_records: usize,
    /// How long a group waits for as many batches as the last one had.
    pub(crate) patience: Duration,
}

/// A batch that was checked, with what identifies it.
#[derive(Debug, Clone)]
pub(crate) struct NewBatch {
    /// Its id.
    pub(crate) uuid: Uuid,
    /// The SHA-256 of its body.
    pub(crate) digest: [u8; 32],
    /// When it came, µs.
    pub(crate) received_us: u64,
    /// How far the clock of whoever sent it is ahead of ours, µs, if it can be told from it.
    pub(crate) clock_ahead_us: Option<i64>,
    /// What it holds.
    pub(crate) batch: Batch,
    /// All its request records as they came, if they came packed. What the batch holds are the same ones; it holds none
    /// where the store [keeps them packed](Store::keeps_packed).
    pub(crate) packed: Option<PackedRequests>,
}

impl NewBatch {
    /// How many records it holds.
    pub(crate) fn records(&self) -> usize {
        let unpacked = self.batch.requests.len();
        let packed = self.packed.as_ref().map_or(0, PackedRequests::len);
        self.batch.len() - unpacked + unpacked.max(packed)
    }
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PutOutcome {
    /// It was new.
    Stored,
    /// The same bytes came before.
    Duplicate,
    /// Other bytes came before under that id; nothing was changed.
    Conflict,
}

/// What became of a posted deploy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PostedDeploy {
    /// A roll-out began.
    Created(Deploy),
    /// One that was known was ended or described.
    Updated(Deploy),
    /// It says that a roll-out ended, but there is none of that id.
    NothingToEnd,
}

/// A span of time: from its start up to, but not including, its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeRange {
    /// The start, µs.
    pub(crate) from_us: u64,
    /// The end, µs.
    pub(crate) until_us: u64,
}

impl TimeRange {
    /// All time.
    pub(crate) const ALL: Self = Self {
        from_us: 0,
        until_us: i64::MAX as u64,
    };

    /// That µs alone.
    pub(crate) fn at(us: u64) -> Self {
        Self {
            from_us: us,
            until_us: us.saturating_add(1),
        }
    }
}

/// Which roll-outs.
#[derive(Debug, Clone)]
pub(crate) struct DeployQuery {
    /// Of which service.
    pub(crate) service: String,
    /// Only those of that id.
    pub(crate) id: Option<String>,
    /// Those that started in that time.
    pub(crate) started: TimeRange,
    /// Only those that come after the one of this start and id.
    pub(crate) after: Option<(u64, String)>,
    /// At most so many.
    pub(crate) limit: u32,
}

/// A roll-out and what was said of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DeployEntry<R = DeployReport> {
    /// The roll-out.
    pub(crate) deploy: Deploy,
    /// The final report, or what is wanted of it, if it was judged.
    pub(crate) report: Option<R>,
}

/// Which cells.
#[derive(Debug, Clone)]
pub(crate) struct CellQuery {
    /// Of which service.
    pub(crate) service: String,
    /// Only those of these deploys; all if empty.
    pub(crate) deploys: Vec<String>,
    /// Those that begin in that time.
    pub(crate) time: TimeRange,
}

/// Which process records.
#[derive(Debug, Clone)]
pub(crate) struct ProcessQuery {
    /// Of which service.
    pub(crate) service: String,
    /// Only those of that deploy.
    pub(crate) deploy: Option<String>,
    /// Those that begin in that time.
    pub(crate) time: TimeRange,
    /// Only those of processes that were no older then, µs.
    pub(crate) oldest_us: u64,
}

impl ProcessQuery {
    /// All of that time.
    pub(crate) fn all(service: &str, time: TimeRange) -> Self {
        Self {
            service: service.to_owned(),
            deploy: None,
            time,
            oldest_us: u64::MAX,
        }
    }
}

/// Which recorded requests.
#[derive(Debug, Clone)]
pub(crate) struct RequestQuery {
    /// Of which service.
    pub(crate) service: String,
    /// Only those of that endpoint.
    pub(crate) endpoint: Option<String>,
    /// Only those of that deploy.
    pub(crate) deploy: Option<String>,
    /// Those that began in that time.
    pub(crate) time: TimeRange,
    /// What comes first.
    pub(crate) order: RequestOrder,
    /// Without the first so many.
    pub(crate) skip: u32,
    /// At most so many.
    pub(crate) limit: u32,
}

/// Which request comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum RequestOrder {
    /// The one with the most instructions, or the most CPU time where those are absent.
    #[default]
    Cost,
    /// The newest.
    Time,
}

/// Which profile.
#[derive(Debug, Clone)]
pub(crate) struct ProfileQuery {
    /// Of which service.
    pub(crate) service: String,
    /// Of which deploy.
    pub(crate) deploy: String,
    /// Of what.
    pub(crate) of: ProfileOf,
}

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused.
    #[error("the database: {0}")]
    Database(#[from] rusqlite::Error),
    /// There is nothing to make the file in.
    #[error("there is no folder {}: make it first", .0.display())]
    NoFolder(std::path::PathBuf),
    /// The file is not one.
    #[error("it is a folder: name a file in it")]
    Folder,
    /// The file, or what SQLite keeps beside it, cannot be made or written.
    #[error(
        "it cannot be written ({0}): let this user write the file and its folder, on a disk that is mounted for writing, or name another file"
    )]
    NotWritable(rusqlite::Error),
    /// Another program's tables are in the file.
    #[error(
        "it holds tables of another program (\"{table}\"): name an AppWeight store, or a file that is not there yet"
    )]
    Foreign {
        /// One of them.
        table: String,
    },
    /// A newer program made the file.
    #[error("the database has schema {found}, this program knows up to {known}: use a newer one")]
    Newer {
        /// The file's schema.
        found: i64,
        /// The newest one known here.
        known: i64,
    },
    /// What was read cannot be understood.
    #[error("a stored {what} cannot be read: {reason}")]
    Corrupt {
        /// What it should be.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// The commit failed that this batch was in, with others.
    #[error("{0}")]
    Group(Arc<StoreError>),
    /// Others changed it each time it was tried.
    #[error("{0}: others change it all the time, try again")]
    Contended(String),
    /// A copy into the store was cut off.
    #[error(
        "the store holds a part of a history alone: do `appweight collector copy` to its end, or begin with an empty one"
    )]
    HalfCopied,
    /// The work was cut off, since the program ends or a bug made it panic.
    #[error("the database's thread was cut off: {0}")]
    Cut(String),
    /// ClickHouse refused, or does not answer.
    #[cfg(feature = "clickhouse")]
    #[error("ClickHouse: {0}")]
    Clickhouse(#[from] ::clickhouse::error::Error),
    /// The journal cannot be written or read.
    #[cfg(feature = "clickhouse")]
    #[error("the journal: {}: {error}", .path.display())]
    Journal {
        /// Which file.
        path: std::path::PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// Two processes would write the same groups.
    #[cfg(feature = "clickhouse")]
    #[error("another process uses the journal {}: give each collector its own with --journal", .0.display())]
    JournalInUse(std::path::PathBuf),
    /// What is in the journal can no longer be told from what is in ClickHouse.
    #[cfg(feature = "clickhouse")]
    #[error(
        "the journal holds a group that was being written {groups} groups ago: too many to know what of it is in \
         (docs/clickhouse.md tells what to do)"
    )]
    JournalTooOld {
        /// How many were written since.
        groups: u64,
    },
    /// Another collector began to keep this batch and has not said that it did.
    #[cfg(feature = "clickhouse")]
    #[error(
        "collector {collector} was writing this batch and has not finished: it does when it is started again \
         (docs/clickhouse.md tells what to do if it never is)"
    )]
    Elsewhere {
        /// The other collector's id.
        collector: uuid::Uuid,
    },
    /// The tables cannot be brought up to date while a group is unfinished: which of its rows are in is told by the tables
    /// as they are.
    #[cfg(feature = "clickhouse")]
    #[error(
        "collector {collector} has not finished what it was writing: end all collectors, start that one once as the version \
         that it was, and then this one (docs/clickhouse.md)"
    )]
    Unfinished {
        /// The collector's id.
        collector: uuid::Uuid,
    },
}

/// The same answer for each of a group.
fn all_failed(count: usize, error: StoreError) -> Vec<Result<PutOutcome, StoreError>> {
    if count == 1 {
        return vec![Err(error)];
    }
    let error = Arc::new(error);
    (0..count)
        .map(|_| Err(StoreError::Group(Arc::clone(&error))))
        .collect()
}
