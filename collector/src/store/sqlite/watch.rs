//! Who judges roll-outs: whoever has a file beside the database locked. The system unlocks it when the process ends, however that
//! happens, so that who is started again need not wait until a time has run out.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Mutex;

use super::beside;
use crate::lock::lock;
use crate::store::StoreError;

/// The locked file, while this store holds it.
#[derive(Debug, Default)]
pub(super) struct Watch(Mutex<Option<File>>);

impl Watch {
    /// Whether the lock is held, now if it was not before.
    pub(super) fn hold(&self, database: &Path) -> Result<bool, StoreError> {
        let mut held = lock(&self.0);
        if held.is_some() {
            return Ok(true);
        }
        let path = beside(database, "-watch");
        let failed = |error: std::io::Error| {
            StoreError::Cut(format!("could not lock {}: {error}", path.display()))
        };
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {
                *held = Some(file);
                Ok(true)
            }
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    pub(super) fn let_go(&self) {
        lock(&self.0).take();
    }
}
