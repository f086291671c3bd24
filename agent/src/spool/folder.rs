//! The folder of one process: whoever holds the lock in it owns the batches beside it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use uuid::Uuid;

use super::file::{self, Name};

const LOCK: &str = "lock";

#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: Lock,
}

/// The locks that an agent holds, apart from the folders: those may be at work in the moment of a fork,
/// and the child has to close its copies all the same.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    next: AtomicU64,
    files: Mutex<Vec<(u64, File)>>,
}

impl Locks {
    /// Closes the copies that a child got of its parent's locks, which would outlive the parent. Does
    /// not wait: whoever holds the mutex may be a thread that is not there any more.
    pub(crate) fn close_inherited(&self) {
        if let Ok(mut files) = self.files.try_lock() {
            files.clear();
        }
    }

    fn hold(self: &Arc<Self>, file: File) -> Lock {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.files().push((number, file));
        Lock {
            locks: Arc::clone(self),
            number,
        }
    }

    fn files(&self) -> MutexGuard<'_, Vec<(u64, File)>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Given up with the folder, and by a crash.
#[derive(Debug)]
struct Lock {
    locks: Arc<Locks>,
    number: u64,
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.locks
            .files()
            .retain(|(number, _)| *number != self.number);
    }
}

/// A batch that lies in a folder.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lying {
    pub(crate) name: Name,
    pub(crate) length: u64,
    pub(crate) modified: SystemTime,
}

impl Folder {
    /// Makes a folder that appears under its name with its lock held, so that nobody can take it for
    /// one that was left.
    pub(crate) fn create(root: &Path, name: Uuid, locks: &Arc<Locks>) -> io::Result<Self> {
        let unborn = root.join(format!("{name}.new"));
        let path = root.join(name.to_string());
        DirBuilder::new().mode(0o700).create(&unborn)?;
        let lock = open_lock(&unborn)?;
        lock.try_lock()?;
        fs::rename(&unborn, &path)?;
        Ok(Self {
            path,
            _lock: locks.hold(lock),
        })
    }

    /// Takes a folder over, unless its process lives.
    pub(crate) fn adopt(path: &Path, locks: &Arc<Locks>) -> io::Result<Option<Self>> {
        let lock = open_lock(path)?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Self {
                path: path.to_owned(),
                _lock: locks.hold(lock),
            })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// The folders of processes below the root, living or dead.
    pub(crate) fn all(root: &Path) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(root)? {
            let entry = entry?;
            let named = entry
                .file_name()
                .to_str()
                .is_some_and(|name| Uuid::try_parse(name).is_ok());
            if named && entry.file_type()?.is_dir() {
                found.push(entry.path());
            }
        }
        Ok(found)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self, name: Name) -> PathBuf {
        self.path.join(name.to_file_name())
    }

    /// The batches in it, oldest first. What a crash left unfinished is removed.
    pub(crate) fn batches(&self) -> io::Result<Vec<Lying>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if file::is_unfinished(&name) {
                fs::remove_file(entry.path())?;
            } else if let Some(name) = Name::parse(&name) {
                let about = entry.metadata()?;
                found.push(Lying {
                    name,
                    length: about.len(),
                    modified: about.modified()?,
                });
            }
        }
        found.sort_unstable_by_key(|lying| lying.name);
        Ok(found)
    }

    /// Removes it, if no batch is in it.
    pub(crate) fn remove_if_empty(&self) {
        if self.batches().is_ok_and(|batches| batches.is_empty()) {
            // Somebody who opens the lock just now finds an empty folder, and removes that.
            let _ = fs::remove_file(self.path.join(LOCK)).and_then(|()| fs::remove_dir(&self.path));
        }
    }
}

fn open_lock(folder: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(folder.join(LOCK))
}
