use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks what is valid at every moment, so that a panic under the lock left nothing half-done: names and values that are put in
/// whole, connections whose transaction is rolled back when it is dropped.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
