//! The store in one SQLite file.
//!
//! Write-ahead log with `synchronous=FULL`: a commit is on the disk when it returns, so what was
//! acknowledged survives a crash of the machine too. One connection writes; readers have their own
//! and never wait for it.

mod alerts;
mod backup;
mod blocks;
mod cells;
mod code;
mod days;
mod deploys;
mod endpoints;
mod fold;
mod forget;
mod profiles;
mod read;
mod records;
mod schema;
#[cfg(test)]
mod tests;
mod transfer;
mod watch;
mod write;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use appweight::api::{
    DeployReport, DeploySummary, ProcessView, ProfileSummary, RequestView, ServiceSummary,
};
use appweight::drift::Day;
use appweight::evidence::{PlacedCell, ProcessPoint};
use appweight::profile::Profile;
use appweight_wire::{Deploy, PackedRequests};
use async_trait::async_trait;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use self::watch::Watch;
use super::windows::halves;
use super::{
    AlertStatus, CellQuery, DeployEntry, DeployQuery, DiskUse, Forgotten, Grouping, Horizons,
    NewBatch, PostedDeploy, ProcessQuery, ProfileQuery, PutOutcome, RequestQuery, Store,
    StoreError, TimeRange, all_failed,
};
use crate::lock::lock;
use crate::off_the_runtime::off_the_runtime;

pub use backup::{BackupError, backup};

/// How many idle readers are kept.
const IDLE_READERS: usize = 4;

/// Pages of the write-ahead log after which they are copied into the file: 16 MiB. The cells of the current minute are
/// written again with each commit, and copied once.
const LOG_PAGES: i64 = 4_096;

/// Pages that the writer keeps in memory: the current cells, and the ways to them through the trees.
const WRITER_CACHE_KIB: i64 = 16 * 1_024;

/// A store in one SQLite file.
#[derive(Clone)]
pub(crate) struct SqliteStore(Arc<Inner>);

struct Inner {
    /// The version of the schema that the file had; 0 if it had none.
    found: i64,
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
    watch: Watch,
}

impl SqliteStore {
    /// Opens the file, or makes it, and brings its schema up to date.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            return Err(StoreError::NoFolder(folder.to_owned()));
        }
        if path.is_dir() {
            return Err(StoreError::Folder);
        }
        Self::open_file(path).map_err(|error| match error {
            StoreError::Database(error) if is_not_writable(&error) => {
                StoreError::NotWritable(error)
            }
            other => other,
        })
    }

    fn open_file(path: &Path) -> Result<Self, StoreError> {
        let mut writer = Connection::open(path)?;
        set_up(&writer)?;
        schema::refuse_others(&writer)?;
        // Before anything is written, or it is too late: so that what is forgotten can be given back.
        writer.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        writer.pragma_update(None, "journal_mode", "WAL")?;
        writer.pragma_update(None, "synchronous", "FULL")?;
        writer.pragma_update(None, "foreign_keys", true)?;
        writer.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
        writer.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
        let found = schema::migrate(&mut writer)?;
        Ok(Self(Arc::new(Inner {
            found,
            path: path.to_owned(),
            writer: Mutex::new(writer),
            readers: Mutex::new(Vec::new()),
            watch: Watch::default(),
        })))
    }

    /// The newest version of the schema.
    pub(crate) const KNOWN: i64 = schema::MIGRATIONS.len() as i64;

    /// The version of the schema that was found; 0 if there was none.
    pub(crate) fn found(&self) -> i64 {
        self.0.found
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = Arc::clone(&self.0);
        off_the_runtime(move || work(&mut lock(&inner.writer)))
            .await
            .flatten()
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = Arc::clone(&self.0);
        off_the_runtime(move || {
            let idle = lock(&inner.readers).pop();
            let reader = match idle {
                Some(reader) => reader,
                None => inner.open_reader()?,
            };
            let result = work(&reader);
            let mut readers = lock(&inner.readers);
            if readers.len() < IDLE_READERS {
                readers.push(reader);
            }
            result
        })
        .await
        .flatten()
    }
}

impl Inner {
    fn open_reader(&self) -> Result<Connection, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let reader = Connection::open_with_flags(&self.path, flags)?;
        reader.pragma_update(None, "query_only", true)?;
        set_up(&reader)?;
        Ok(reader)
    }
}

/// Whether a file can perhaps be read, but not written, or not made.
fn is_not_writable(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(code, Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen))
}

/// The file that SQLite keeps beside its own under that ending.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

#[cfg(test)]
impl SqliteStore {
    /// Leaves room for so many pages more, as a full disk would; `None` for as many as there can be.
    pub(crate) async fn leave_room_for(&self, pages: Option<i64>) {
        let limited = self.write(move |connection| {
            let used: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
            let most = pages.map_or(i64::from(u32::MAX) - 1, |pages| used + pages);
            connection.pragma_update_and_check(None, "max_page_count", most, |_| Ok(()))?;
            Ok(())
        });
        limited.await.unwrap();
    }

    /// Loses all tables, so that nothing can be asked or written any more.
    pub(crate) async fn lose_all(&self) {
        let lost = self.write(|connection| {
            connection.pragma_update(None, "foreign_keys", false)?;
            let tables = connection
                .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'")?
                .query_map([], |row| row.get::<_, String>(0))?
                .collect::<Result<Vec<_>, _>>()?;
            for table in tables {
                connection.execute_batch(&format!("DROP TABLE {table}"))?;
            }
            Ok(())
        });
        lost.await.unwrap();
    }

    /// Takes no status of an alert until it is told otherwise, while all else is kept.
    pub(crate) async fn refuse_alerts(&self, refuse: bool) {
        let told = self.write(move |connection| {
            let on = |verb: &str| {
                if refuse {
                    format!(
                        "CREATE TRIGGER refuse_{verb} BEFORE {verb} ON alerts
                            BEGIN SELECT RAISE(ABORT, 'refused'); END;"
                    )
                } else {
                    format!("DROP TRIGGER refuse_{verb};")
                }
            };
            Ok(connection.execute_batch(&(on("INSERT") + &on("UPDATE")))?)
        });
        told.await.unwrap();
    }
}

fn set_up(connection: &Connection) -> Result<(), StoreError> {
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

#[async_trait]
impl Store for SqliteStore {
    fn grouping(&self) -> Grouping {
        Grouping {
            // Half a second at most on a slow core.
            most_records: 50_000,
            patience: Duration::ZERO,
        }
    }

    async fn put_batches(&self, batches: Vec<NewBatch>) -> Vec<Result<PutOutcome, StoreError>> {
        let count = batches.len();
        let written = self
            .write(move |connection| Ok(write::put_group(connection, &batches)))
            .await;
        written.unwrap_or_else(|error| all_failed(count, error))
    }

    fn keeps_packed(&self, packed: &PackedRequests) -> bool {
        blocks::is_block(packed)
    }

    async fn post_deploy(&self, deploy: Deploy, now_us: u64) -> Result<PostedDeploy, StoreError> {
        self.write(move |connection| deploys::post(connection, deploy, now_us))
            .await
    }

    async fn put_report(&self, report: DeployReport) -> Result<bool, StoreError> {
        self.write(move |connection| deploys::put_report(connection, &report))
            .await
    }

    async fn put_alert_status(&self, status: AlertStatus) -> Result<bool, StoreError> {
        self.write(move |connection| alerts::put(connection, &status))
            .await
    }

    async fn hold_watch(&self, _now_us: u64, _until_us: u64) -> Result<bool, StoreError> {
        let inner = Arc::clone(&self.0);
        off_the_runtime(move || inner.watch.hold(&inner.path))
            .await
            .flatten()
    }

    async fn let_watch_go(&self, _now_us: u64) -> Result<(), StoreError> {
        self.0.watch.let_go();
        Ok(())
    }

    async fn put_day(&self, day: Day) -> Result<(), StoreError> {
        self.write(move |connection| days::put(connection, &day))
            .await
    }

    async fn services(&self) -> Result<Vec<ServiceSummary>, StoreError> {
        self.read(read::services).await
    }

    async fn alert_statuses(&self) -> Result<Vec<AlertStatus>, StoreError> {
        self.read(alerts::list).await
    }

    async fn deploys(&self, query: DeployQuery) -> Result<Vec<DeployEntry>, StoreError> {
        self.read(move |connection| deploys::list(connection, &query))
            .await
    }

    async fn summaries(
        &self,
        query: DeployQuery,
    ) -> Result<Vec<DeployEntry<DeploySummary>>, StoreError> {
        self.read(move |connection| deploys::list(connection, &query))
            .await
    }

    async fn unjudged(&self) -> Result<Vec<Deploy>, StoreError> {
        self.read(deploys::unjudged).await
    }

    async fn next_start(&self, service: &str, started_us: u64) -> Result<Option<u64>, StoreError> {
        let service = service.to_owned();
        self.read(move |connection| deploys::next_start(connection, &service, started_us))
            .await
    }

    #[cfg(any(test, feature = "parquet"))]
    async fn cells(&self, query: CellQuery) -> Result<Vec<PlacedCell>, StoreError> {
        self.read(move |connection| read::cells(connection, &query, code::unpack_metrics, None))
            .await
    }

    async fn moments(
        &self,
        query: CellQuery,
        most: Option<usize>,
    ) -> Result<Vec<PlacedCell>, StoreError> {
        self.read(move |connection| read::cells(connection, &query, code::unpack_moments, most))
            .await
    }

    async fn flag_moments(
        &self,
        service: &str,
        time: TimeRange,
        most: usize,
    ) -> Result<Vec<PlacedCell>, StoreError> {
        let service = service.to_owned();
        self.read(move |connection| read::flag_moments(connection, &service, time, most))
            .await
    }

    async fn cell_span(
        &self,
        service: &str,
        deploy: &str,
        time: TimeRange,
    ) -> Result<Option<TimeRange>, StoreError> {
        let (service, deploy) = (service.to_owned(), deploy.to_owned());
        self.read(move |connection| read::cell_span(connection, &service, &deploy, time))
            .await
    }

    async fn cell_widths(&self, service: &str) -> Result<Option<(u64, u64)>, StoreError> {
        let service = service.to_owned();
        self.read(move |connection| read::cell_widths(connection, &service))
            .await
    }

    async fn process_points(&self, query: ProcessQuery) -> Result<Vec<ProcessPoint>, StoreError> {
        self.read(move |connection| records::process_points(connection, &query))
            .await
    }

    async fn windows(
        &self,
        service: &str,
        time: TimeRange,
        window_us: u64,
    ) -> Result<Vec<ProcessPoint>, StoreError> {
        let half = |time| {
            let service = service.to_owned();
            self.read(move |connection| records::windows(connection, &service, time, window_us))
        };
        let [first, second] = halves(time, window_us);
        let (mut points, later) = tokio::try_join!(half(first), half(second))?;
        points.extend(later);
        Ok(points)
    }

    async fn process_views(
        &self,
        service: &str,
        since_us: u64,
    ) -> Result<Vec<ProcessView>, StoreError> {
        let service = service.to_owned();
        self.read(move |connection| records::process_views(connection, &service, since_us))
            .await
    }

    async fn endpoints(&self, service: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        let service = service.to_owned();
        self.read(move |connection| endpoints::list(connection, &service, limit))
            .await
    }

    async fn days(&self, service: &str, time: TimeRange) -> Result<Vec<Day>, StoreError> {
        let service = service.to_owned();
        self.read(move |connection| days::list(connection, &service, time))
            .await
    }

    async fn requests(&self, query: RequestQuery) -> Result<Vec<RequestView>, StoreError> {
        self.read(move |connection| blocks::requests(connection, &query))
            .await
    }

    async fn profiles(
        &self,
        service: &str,
        deploy: &str,
    ) -> Result<Vec<ProfileSummary>, StoreError> {
        let (service, deploy) = (service.to_owned(), deploy.to_owned());
        self.read(move |connection| profiles::list(connection, &service, &deploy))
            .await
    }

    async fn profile(&self, query: ProfileQuery) -> Result<Vec<Profile>, StoreError> {
        self.read(move |connection| profiles::replicates(connection, &query))
            .await
    }

    async fn forget_some(&self, horizons: Horizons) -> Result<Forgotten, StoreError> {
        self.write(move |connection| forget::forget_some(connection, horizons))
            .await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.read(|connection| {
            Ok(connection.query_row("SELECT count(*) FROM services", [], |_| Ok(()))?)
        })
        .await
    }

    async fn disk_use(&self) -> Result<DiskUse, StoreError> {
        let log = beside(&self.0.path, "-wal");
        self.read(move |connection| {
            let sql = "SELECT page_count * page_size, freelist_count * page_size
                FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()";
            let (file, free) = connection.query_row(sql, [], |row| {
                Ok((code::time_of(row, 0)?, code::time_of(row, 1)?))
            })?;
            // Not there before the first write, nor after the last one.
            let log = std::fs::metadata(&log).map_or(0, |log| log.len());
            Ok(DiskUse {
                bytes: file + log,
                reusable_bytes: free,
            })
        })
        .await
    }

    async fn close(&self) -> Result<(), StoreError> {
        lock(&self.0.readers).clear();
        self.write(|connection| {
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            Ok(())
        })
        .await
    }
}
