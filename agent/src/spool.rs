//! Batches that could not be sent, on disk: they survive a crash, and whoever starts next sends them.
//!
//! ```text
//! spool/                                    the folder that is set; processes share it
//!   5c0f…-a1b2/                             one process; named like its source
//!     lock                                  held while the process lives
//!     00000000000000000042-117-9000.batch   one batch: sequence number, records, requests
//!   set-aside/                              files that cannot be read
//! ```
//!
//! There is no index on disk that could disagree with the files: what lies there is what waits, and
//! to remove a batch needs no room on a disk that is full.

mod file;
mod folder;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::mem;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use crate::contents::Contents;
use crate::queue::Sealed;
#[cfg(fuzzing)]
pub(crate) use crate::spool::file::fuzzed as fuzzed_file;
use crate::spool::file::{Name, WriteFile};
use crate::spool::folder::Folder;
pub(crate) use crate::spool::folder::Locks;

const SET_ASIDE: &str = "set-aside";
/// Files that are kept for whoever wants to know what happened to them.
const SET_ASIDE_FILES: usize = 16;
/// A collector remembers the ids of batches for eight days: older ones might count twice.
const OLDEST_US: u64 = 7 * 86_400 * 1_000_000;

#[derive(Debug)]
pub(crate) struct Spool {
    root: PathBuf,
    limit_bytes: u64,
    own: Arc<Folder>,
    locks: Arc<Locks>,
    /// Oldest first: those of dead processes, then one's own.
    waiting: VecDeque<Waiting>,
    bytes: u64,
    /// A full disk gives no room although something was removed: nothing more is removed for it.
    full: bool,
    losses: Losses,
    write: WriteFile,
}

/// What had to be given up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Losses {
    pub(crate) contents: Contents,
    /// Files that could not be read.
    pub(crate) unreadable: u64,
}

#[derive(Debug)]
struct Waiting {
    folder: Arc<Folder>,
    name: Name,
    room: u64,
}

impl Spool {
    /// Makes a folder for this process below the root, and takes over those of dead processes.
    pub(crate) fn open(
        root: &Path,
        name: Uuid,
        limit_bytes: u64,
        locks: &Arc<Locks>,
    ) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(root)?;
        let own = Folder::create(root, name, locks)?;
        let mut spool = Self {
            root: root.to_owned(),
            limit_bytes,
            own: Arc::new(own),
            locks: Arc::clone(locks),
            waiting: VecDeque::new(),
            bytes: 0,
            full: false,
            losses: Losses::default(),
            write: file::write,
        };
        spool.adopt()?;
        Ok(spool)
    }

    /// Takes over what dead processes left, to be sent before one's own, and gives back how many
    /// batches that were.
    pub(crate) fn adopt(&mut self) -> io::Result<usize> {
        let mut found = Vec::new();
        for path in Folder::all(&self.root)? {
            // One folder that cannot be read keeps nobody from the others.
            let adopted = Folder::adopt(&path, &self.locks).and_then(|folder| match folder {
                Some(folder) => folder.batches().map(|batches| Some((folder, batches))),
                None => Ok(None),
            });
            match adopted {
                Ok(Some((folder, batches))) => {
                    match batches.iter().map(|lying| lying.modified).min() {
                        Some(oldest) => found.push((oldest, folder, batches)),
                        None => folder.remove_if_empty(),
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!("AppWeight: {} is left alone: {error}", path.display());
                }
            }
        }
        found.sort_by_key(|(oldest, ..)| *oldest);
        let before = self.waiting.len();
        for (_, folder, batches) in found.into_iter().rev() {
            let folder = Arc::new(folder);
            for lying in batches.into_iter().rev() {
                let room = file::room(lying.length);
                self.bytes += room;
                self.waiting.push_front(Waiting {
                    folder: Arc::clone(&folder),
                    name: lying.name,
                    room,
                });
            }
        }
        let adopted = self.waiting.len() - before;
        while self.bytes > self.limit_bytes {
            self.give_up_oldest();
        }
        Ok(adopted)
    }

    /// Writes a batch down. The oldest give way to it, at the limit and on a full disk.
    ///
    /// # Errors
    /// If it cannot be written. Nothing of it is there then.
    pub(crate) fn store(&mut self, batch: &Sealed) -> io::Result<()> {
        let name = Name::of(batch);
        if self.holds(name) {
            return Ok(());
        }
        let room = file::room(file::length(batch));
        if room > self.limit_bytes {
            self.losses.contents += batch.contents;
            return Ok(());
        }
        while self.bytes + room > self.limit_bytes {
            self.give_up_oldest();
        }
        let content = file::encode(batch);
        let mut freed = 0;
        loop {
            match (self.write)(self.own.path(), &name.to_file_name(), &content) {
                Ok(()) => break,
                Err(error) if is_full(&error) && !self.full => {
                    self.full = freed >= room || self.waiting.is_empty();
                    if self.full {
                        return Err(error);
                    }
                    freed += self.give_up_oldest();
                }
                Err(error) => return Err(error),
            }
        }
        self.full = false;
        self.bytes += room;
        self.waiting.push_back(Waiting {
            folder: Arc::clone(&self.own),
            name,
            room,
        });
        Ok(())
    }

    /// Whether a batch of this process lies here.
    fn holds(&self, name: Name) -> bool {
        self.waiting
            .iter()
            .rev()
            .take_while(|waiting| Arc::ptr_eq(&waiting.folder, &self.own))
            .any(|waiting| waiting.name == name)
    }

    /// The batch that is to be sent next. It stays until it is [removed](Self::remove).
    pub(crate) fn oldest(&mut self, now_us: u64) -> Option<Sealed> {
        while let Some(waiting) = self.waiting.front() {
            let path = waiting.folder.file(waiting.name);
            match fs::read(&path).map(|content| file::decode(&content)) {
                Ok(Some(batch)) if batch.sealed_us.saturating_add(OLDEST_US) >= now_us => {
                    return Some(batch);
                }
                Ok(Some(_)) => {
                    self.give_up_oldest();
                }
                Ok(None) => self.set_oldest_aside("it is torn"),
                Err(error) => self.set_oldest_aside(&error.to_string()),
            }
        }
        None
    }

    /// Removes the oldest batch, if it is still this one: it is sent, or refused.
    pub(crate) fn remove(&mut self, batch: &Sealed) {
        let is_oldest = |waiting: &Waiting| waiting.name == Name::of(batch);
        if self.waiting.front().is_some_and(is_oldest) {
            self.forget_oldest();
        }
    }

    fn give_up_oldest(&mut self) -> u64 {
        let Some(waiting) = self.forget_oldest() else {
            return 0;
        };
        self.losses.contents += waiting.name.contents;
        waiting.room
    }

    fn set_oldest_aside(&mut self, why: &str) {
        let Some(waiting) = self.waiting.front() else {
            return;
        };
        let path = waiting.folder.file(waiting.name);
        let records = waiting.name.contents.records;
        let aside = self.root.join(SET_ASIDE);
        let kept = fs::read_dir(&aside).map_or(0, Iterator::count);
        let process = waiting.folder.path().file_name().unwrap_or_default();
        let name = format!(
            "{}-{}",
            process.to_string_lossy(),
            waiting.name.to_file_name()
        );
        if kept < SET_ASIDE_FILES {
            // If it cannot be moved it is removed below.
            let _ = DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&aside)
                .and_then(|()| fs::rename(&path, aside.join(name)));
        }
        tracing::warn!(
            records,
            "AppWeight: {} in the spool cannot be used: {why}",
            path.display()
        );
        self.losses.unreadable += 1;
        self.give_up_oldest();
    }

    /// Removes the oldest file, and the folder of a dead process with its last one.
    fn forget_oldest(&mut self) -> Option<Waiting> {
        let waiting = self.waiting.pop_front()?;
        self.bytes -= waiting.room;
        match fs::remove_file(waiting.folder.file(waiting.name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                // It will be sent again by whoever starts next, and not be counted again.
                tracing::debug!("AppWeight: a batch stays in the spool: {error}");
            }
            _ => {}
        }
        if Arc::strong_count(&waiting.folder) == 1 {
            waiting.folder.remove_if_empty();
        }
        Some(waiting)
    }

    /// How many batches wait.
    pub(crate) fn batches(&self) -> u64 {
        self.waiting.len() as u64
    }

    /// The room that they take.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What was given up since the last call.
    pub(crate) fn take_losses(&mut self) -> Losses {
        mem::take(&mut self.losses)
    }

    /// Gives the locks back. What waits lies there for whoever comes next.
    pub(crate) fn close(self) {
        self.own.remove_if_empty();
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    )
}
