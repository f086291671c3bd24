//! What is done with stores while no collector runs on them.

use std::path::PathBuf;

use crate::off_the_runtime::off_the_runtime;
use crate::store::copy::{self, CopyError, CopyProgress, Transfer};
#[cfg(feature = "clickhouse")]
use crate::store::{ClickhouseOptions, Tables};
use crate::store::{SqliteStore, StoreError};

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreAt {
    /// An SQLite file; made if it is not there.
    Sqlite(PathBuf),
    /// A database in ClickHouse; made if it is not there. No journal is needed.
    #[cfg(feature = "clickhouse")]
    Clickhouse(ClickhouseOptions),
}

/// What became of a store's schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// The version that was found; 0 if the store is new.
    pub found: i64,
    /// The version that it has now.
    pub now: i64,
}

/// Brings a store to the current schema, as a collector does when it starts.
///
/// # Errors
/// If the store cannot be used, or a newer program made it.
pub async fn migrate(at: &StoreAt) -> Result<Migrated, StoreError> {
    match at {
        StoreAt::Sqlite(path) => {
            let found = open_file(path.clone()).await?.found();
            let now = SqliteStore::KNOWN;
            Ok(Migrated { found, now })
        }
        #[cfg(feature = "clickhouse")]
        StoreAt::Clickhouse(options) => {
            let found = Tables::open(options).await?.found;
            let now = Tables::KNOWN;
            Ok(Migrated { found, now })
        }
    }
}

/// Copies a whole history from one store to another, which is empty, or holds a part of the same copy: then it goes on
/// where that ended. Nothing may write to either meanwhile. A file is copied to a file by [`backup`](crate::backup).
///
/// # Errors
/// If a store cannot be used, the target holds something else, or the source changed.
pub async fn copy_store(
    from: &StoreAt,
    to: &StoreAt,
    progress: impl FnMut(CopyProgress),
) -> Result<CopyProgress, CopyError> {
    let failed = |which| move |error| CopyError::Store { which, error };
    let from = open(from).await.map_err(failed("the source"))?;
    let to = open(to).await.map_err(failed("the target"))?;
    copy::copy(&*from, &*to, progress).await
}

async fn open(at: &StoreAt) -> Result<Box<dyn Transfer>, StoreError> {
    Ok(match at {
        StoreAt::Sqlite(path) => Box::new(open_file(path.clone()).await?),
        #[cfg(feature = "clickhouse")]
        StoreAt::Clickhouse(options) => Box::new(Tables::open(options).await?),
    })
}

async fn open_file(path: PathBuf) -> Result<SqliteStore, StoreError> {
    off_the_runtime(move || SqliteStore::open(&path))
        .await
        .flatten()
}
