//! How many questions are answered at once.
//!
//! Each holds what it read until it is answered. So many are answered at once, and those that come meanwhile wait their
//! turn, in the order in which they came; where too many wait already, the client is asked to come again. Those that read
//! cells or profiles by the ten thousands have a line of their own: no page with small ones waits behind them. The watch
//! stands in no line, nor do health, metrics and what is sent to be kept.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Refusal;

/// Lists and reports at once: a page of the dashboard asks for ten.
const SMALL: usize = 32;
/// Questions that read cells or profiles at once: a page asks for two.
const LARGE: usize = 4;
/// Questions that may wait for each that is answered. One that waits holds next to nothing.
const WAITING: usize = 64;
/// Who found no place in a line comes again after so many seconds.
const RETRY_S: u64 = 5;

tokio::task_local! {
    static PLACE: Arc<OwnedSemaphorePermit>;
}

/// The lines of a collector.
pub(crate) struct Turns {
    pub(crate) small: Line,
    pub(crate) large: Line,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            small: Line::new(SMALL),
            large: Line::new(LARGE),
        }
    }
}

/// Questions that are answered some at a time.
pub(crate) struct Line {
    places: Arc<Semaphore>,
    /// For those that are answered, and those that wait.
    room: Semaphore,
}

impl Line {
    fn new(places: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            room: Semaphore::new(places + places * WAITING),
        }
    }

    /// Answers when it is its turn. Whoever goes away before gives up the place.
    pub(crate) async fn answer<T>(&self, answer: impl Future<Output = T>) -> Result<T, Refusal> {
        let Ok(_room) = self.room.try_acquire() else {
            let detail = "More questions wait than are let in. Ask again later.";
            return Err(Refusal::busy(RETRY_S, detail));
        };
        match Arc::clone(&self.places).acquire_owned().await {
            Ok(place) => Ok(PLACE.scope(Arc::new(place), answer).await),
            // It is never closed.
            Err(_) => Ok(answer.await),
        }
    }

    /// All the room there is, as many questions would take it that wait.
    #[cfg(test)]
    pub(crate) fn full(&self) -> tokio::sync::SemaphorePermit<'_> {
        let free = self.room.available_permits();
        self.room.try_acquire_many(free as u32).unwrap()
    }
}

/// The place of the question that this task answers, for work that goes on when its client has gone away: what it reads is
/// held until it ends.
pub(crate) fn place() -> Option<Arc<OwnedSemaphorePermit>> {
    PLACE.try_with(Arc::clone).ok()
}

#[cfg(test)]
mod tests;
