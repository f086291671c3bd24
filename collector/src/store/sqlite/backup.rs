//! Copying a store that is in use, by SQLite's own way of doing so.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::beside;

/// Pages that are copied between two words about how far it is: 16 MiB.
const PAGES_AT_ONCE: i32 = 4_096;

/// How long the store's writer is waited for, should it hold the whole file.
const BUSY: Duration = Duration::from_secs(10);

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Nothing is written over.
    #[error("{0} is there already: name a file that is not")]
    Exists(PathBuf),
    /// The source is none.
    #[error("{0} is no store of a collector")]
    NoStore(PathBuf),
    /// The source cannot be read.
    #[error("{path}: {error}")]
    Source {
        /// The source.
        path: PathBuf,
        /// Why not.
        error: rusqlite::Error,
    },
    /// The copy cannot be written.
    #[error("{path}: {error}")]
    Copy {
        /// The copy, as far as it goes.
        path: PathBuf,
        /// Why not.
        error: rusqlite::Error,
    },
    /// The copy does not hold together.
    #[error("the copy {path} is damaged: {reason}")]
    Damaged {
        /// The copy.
        path: PathBuf,
        /// What SQLite says.
        reason: String,
    },
    /// The copy cannot be put in its place.
    #[error("{path}: {error}")]
    File {
        /// The copy.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

/// Copies the store in a SQLite file that may be in use, as it is at one moment. What is committed while it is
/// copied is not in it, and waits for nothing. `progress` is told the share that is done.
///
/// The copy has another name until it is whole, was looked through and lies on the disk.
///
/// # Errors
/// If the file is no store or cannot be read, or the copy is there already or cannot be written.
pub fn backup(
    store: &Path,
    copy: &Path,
    mut progress: impl FnMut(f64),
) -> Result<u64, BackupError> {
    if copy.try_exists().map_err(|error| file(copy, error))? {
        return Err(BackupError::Exists(copy.to_owned()));
    }
    let source = open_source(store)?;
    let partial = beside(copy, ".partial");
    remove(&partial)?;
    let copied = write(&source, &partial, &mut progress);
    if copied.is_err() {
        // What failed is told; that the rest of it stays as well helps nobody.
        let _ = remove(&partial);
    }
    let bytes = copied?;
    std::fs::rename(&partial, copy).map_err(|error| file(copy, error))?;
    sync_folder(copy)?;
    Ok(bytes)
}

fn open_source(store: &Path) -> Result<Connection, BackupError> {
    let unreadable = |error| BackupError::Source {
        path: store.to_owned(),
        error,
    };
    // Not made if it is not there. Readers of a write-ahead log write to the index beside it.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(store, flags).map_err(unreadable)?;
    source.busy_timeout(BUSY).map_err(unreadable)?;
    source
        .pragma_update(None, "query_only", true)
        .map_err(unreadable)?;
    // Holds on to this moment: a copy of a file that others change would begin anew at each change.
    source.execute_batch("BEGIN").map_err(unreadable)?;
    let tables: i64 = source
        .query_row(
            "SELECT count(*) FROM sqlite_schema WHERE name IN ('batches', 'cells', 'deploys')",
            [],
            |row| row.get(0),
        )
        .map_err(unreadable)?;
    if tables == 3 {
        Ok(source)
    } else {
        Err(BackupError::NoStore(store.to_owned()))
    }
}

/// Returns how long the copy is, bytes.
fn write(
    source: &Connection,
    partial: &Path,
    progress: &mut dyn FnMut(f64),
) -> Result<u64, BackupError> {
    let failed = |error| BackupError::Copy {
        path: partial.to_owned(),
        error,
    };
    let mut target = Connection::open(partial).map_err(failed)?;
    let steps = Backup::new(source, &mut target).map_err(failed)?;
    loop {
        let step = steps.step(PAGES_AT_ONCE).map_err(failed)?;
        let pages = steps.progress();
        let left = f64::from(pages.remaining) / f64::from(pages.pagecount.max(1));
        progress(1.0 - left);
        match step {
            StepResult::Done => break,
            StepResult::More => {}
            // Somebody holds the whole file, as the last one to close it does.
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    }
    drop(steps);
    let said: String = target
        .pragma_query_value(None, "quick_check", |row| row.get(0))
        .map_err(failed)?;
    if said != "ok" {
        return Err(BackupError::Damaged {
            path: partial.to_owned(),
            reason: said,
        });
    }
    // Takes along what lies in files beside it.
    target.close().map_err(|(_, error)| failed(error))?;
    let copy = File::open(partial).map_err(|error| file(partial, error))?;
    copy.sync_all().map_err(|error| file(partial, error))?;
    let length = copy.metadata().map_err(|error| file(partial, error))?.len();
    Ok(length)
}

/// What an earlier try that was cut off has left.
fn remove(partial: &Path) -> Result<(), BackupError> {
    for path in [
        partial.to_owned(),
        beside(partial, "-wal"),
        beside(partial, "-shm"),
        beside(partial, "-journal"),
    ] {
        match std::fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(file(&path, error)),
        }
    }
    Ok(())
}

/// A new name is on the disk when its folder is.
fn sync_folder(copy: &Path) -> Result<(), BackupError> {
    let folder = match copy.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| file(folder, error))
}

fn file(path: &Path, error: io::Error) -> BackupError {
    BackupError::File {
        path: path.to_owned(),
        error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{SqliteStore, Store, suite};
    use crate::testing::{NOON, SECOND, batch, cell, long_process};

    async fn put(store: &SqliteStore, sequence: u64) {
        let mut batch = batch(1, sequence, "a");
        batch.cells = vec![cell(NOON + sequence * SECOND, &[5])];
        batch.processes = (0..200).map(|at| long_process(NOON + at)).collect();
        store.put_batch(suite::new(batch)).await.unwrap();
    }

    #[tokio::test]
    async fn a_copy_is_of_one_moment_though_batches_come_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let (path, copy) = (folder.path().join("a.db"), folder.path().join("b.db"));
        let store = SqliteStore::open(&path).unwrap();
        for sequence in 0..40 {
            put(&store, sequence).await;
        }
        let mut more = 40;
        let runtime = tokio::runtime::Handle::current();
        let copied = tokio::task::spawn_blocking({
            let (store, copy) = (store.clone(), copy.clone());
            move || {
                let mut shares = Vec::new();
                let copied = backup(&path, &copy, |share| {
                    shares.push(share);
                    runtime.block_on(put(&store, more));
                    more += 1;
                });
                (copied.unwrap(), shares, more)
            }
        });
        let (bytes, shares, put) = copied.await.unwrap();
        assert!(shares.len() > 1 && shares.is_sorted(), "{shares:?}");
        assert!(shares.last() == Some(&1.0), "{shares:?}");
        assert_eq!(suite::all_cells(&store).await.len() as u64, put);
        assert_eq!(bytes, std::fs::metadata(&copy).unwrap().len());
        let files = std::fs::read_dir(folder.path()).unwrap();
        let partial = files.filter(|file| {
            let name = file.as_ref().unwrap().file_name();
            name.to_string_lossy().contains("partial")
        });
        assert_eq!(partial.count(), 0);
        let restored = SqliteStore::open(&copy).unwrap();
        assert_eq!(suite::all_cells(&restored).await.len(), 40);
        restored.check().await.unwrap();
    }

    #[test]
    fn nothing_is_written_over_and_nothing_made_of_what_is_no_store() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        SqliteStore::open(&at("store.db")).unwrap();
        std::fs::write(at("there.db"), "mine").unwrap();
        let copy = |from: &str, to: &str| backup(&at(from), &at(to), |_| {});
        assert!(matches!(
            copy("store.db", "there.db"),
            Err(BackupError::Exists(_))
        ));
        assert_eq!(std::fs::read(at("there.db")).unwrap(), b"mine");
        assert!(matches!(
            copy("nowhere.db", "new.db"),
            Err(BackupError::Source { .. })
        ));
        assert!(matches!(
            copy("there.db", "new.db"),
            Err(BackupError::Source { .. })
        ));
        Connection::open(at("other.db"))
            .unwrap()
            .execute_batch("CREATE TABLE cells (x)")
            .unwrap();
        assert!(matches!(
            copy("other.db", "new.db"),
            Err(BackupError::NoStore(_))
        ));
        assert!(!at("nowhere.db").exists() && !at("new.db").exists());
        // What a try that was cut off has left does not stand in the way.
        std::fs::write(at("new.db.partial"), "half").unwrap();
        copy("store.db", "new.db").unwrap();
        assert!(!at("new.db.partial").exists());
        SqliteStore::open(&at("new.db")).unwrap();
    }
}
