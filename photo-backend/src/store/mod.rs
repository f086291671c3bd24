//! The embedded store: one SQLite file that several processes share.
//!
//! This is a reference application: `synchronous` is off, so a power cut may lose or break the file.

mod connection;
mod pages;
mod rows;
mod seed;
mod writes;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;

pub(crate) use rows::{CommentRow, MediaRow, MessageRow, StoryRow, UserRow};
pub(crate) use seed::{MEDIA_PER_USER, STORIES_PER_USER};
pub use seed::{SeedReport, seed};
pub(crate) use writes::NewMedia;

/// Why the store could not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite refused.
    #[error("SQLite: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A stored document does not parse.
    #[error("the stored ranking model: {0}")]
    Model(#[from] serde_json::Error),
    /// There is no such file, or it was not made by `photo-backend seed`.
    #[error("{} is not a photo database: run `photo-backend seed` first", .0.display())]
    NotSeeded(PathBuf),
}

/// The database. Each thread has a connection of its own, opened at its first call.
#[derive(Debug, Clone)]
pub struct Store {
    id: u64,
    path: Arc<Path>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static CONNECTIONS: RefCell<Vec<(u64, Connection)>> = const { RefCell::new(Vec::new()) };
}

impl Store {
    /// Opens a database that [`seed`] has made.
    ///
    /// # Errors
    /// If the file is missing, unreadable or holds something else.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if !path.is_file() {
            return Err(StoreError::NotSeeded(path.to_path_buf()));
        }
        let store = Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            path: path.into(),
        };
        match store.ranking_model(crate::ranking::Model::NAME) {
            Ok(_) => Ok(store),
            Err(StoreError::Sqlite(rusqlite::Error::SqliteFailure(error, _)))
                if error.code == rusqlite::ErrorCode::CannotOpen =>
            {
                Err(rusqlite::Error::SqliteFailure(error, None).into())
            }
            Err(_) => Err(StoreError::NotSeeded(path.to_path_buf())),
        }
    }

    /// How many users there are.
    ///
    /// # Errors
    /// If SQLite fails.
    pub fn users(&self) -> Result<u32, StoreError> {
        self.read(|connection| {
            connection.query_row("SELECT count(*) FROM users", [], |row| row.get(0))
        })
    }

    fn read<T>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        CONNECTIONS.with_borrow_mut(|connections| {
            let index = match connections.iter().position(|(id, _)| *id == self.id) {
                Some(index) => index,
                None => {
                    connections.push((self.id, connection::open(&self.path)?));
                    connections.len() - 1
                }
            };
            Ok(query(&connections[index].1)?)
        })
    }

    /// Runs all of `change` or nothing of it. The write lock is taken at once: a transaction that
    /// begins by reading could not be retried when another process writes in between.
    fn write<T>(
        &self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.read(|connection| {
            connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            let result = change(connection);
            let end = if result.is_ok() { "COMMIT" } else { "ROLLBACK" };
            connection.prepare_cached(end)?.execute([])?;
            result
        })
    }
}
