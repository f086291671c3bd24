//! Whose work the calling thread does.

use std::cell::Cell;
use std::mem::ManuallyDrop;

use crate::measurement::Measurement;

thread_local! {
    // What never needs to be dropped is found without asking whether it has been. Nothing is lost: a
    // thread does not end in the middle of a poll, and after it there is nothing here.
    static CURRENT: Cell<ManuallyDrop<Option<Box<Measurement>>>> = const { Cell::new(ManuallyDrop::new(None)) };
}

/// Makes this what the calling thread works for and gives back what it was.
///
/// Called at both edges of every poll, so that interleaved and nested futures each see their own.
#[inline]
pub(crate) fn swap(measurement: Option<Box<Measurement>>) -> Option<Box<Measurement>> {
    ManuallyDrop::into_inner(CURRENT.replace(ManuallyDrop::new(measurement)))
}

/// Works on what the calling thread works for; `None` if that is nothing. Neither allocates nor waits.
pub(crate) fn with<T>(work: impl FnOnce(&mut Measurement) -> T) -> Option<T> {
    let mut measurement = swap(None)?;
    let done = work(&mut measurement);
    swap(Some(measurement));
    Some(done)
}
