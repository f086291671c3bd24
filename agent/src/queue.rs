//! Sealed batches that wait to be sent: bounded, the oldest go first.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use uuid::Uuid;

/// A batch whose bytes never change again, so that every retry is the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) id: Uuid,
    pub(crate) bytes: Vec<u8>,
    pub(crate) records: u64,
}

#[derive(Debug)]
pub(crate) struct Queue {
    limit_bytes: usize,
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct State {
    batches: VecDeque<Sealed>,
    bytes: usize,
    closed: bool,
}

impl Queue {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self {
            limit_bytes,
            state: Mutex::default(),
            filled: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a batch at the end and gives back how many records had to go for it.
    pub(crate) fn push(&self, batch: Sealed) -> u64 {
        let mut state = self.lock();
        state.bytes += batch.bytes.len();
        state.batches.push_back(batch);
        let mut dropped = 0;
        while state.bytes > self.limit_bytes
            && let Some(oldest) = state.batches.pop_front()
        {
            state.bytes -= oldest.bytes.len();
            dropped += oldest.records;
        }
        drop(state);
        self.filled.notify_all();
        dropped
    }

    /// Says that nothing will be pushed any more.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    /// Takes the oldest batch, and waits for one at most that long while more can come.
    pub(crate) fn pop(&self, wait: Duration) -> Option<Sealed> {
        let (mut state, _) = self
            .filled
            .wait_timeout_while(self.lock(), wait, |state| {
                state.batches.is_empty() && !state.closed
            })
            .unwrap_or_else(PoisonError::into_inner);
        let batch = state.batches.pop_front()?;
        state.bytes -= batch.bytes.len();
        Some(batch)
    }

    /// Empties it and gives back how many records were in it.
    pub(crate) fn clear(&self) -> u64 {
        let mut state = self.lock();
        state.bytes = 0;
        state.batches.drain(..).map(|batch| batch.records).sum()
    }

    /// How many bytes wait.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(records: u64, bytes: usize) -> Sealed {
        Sealed {
            id: Uuid::from_u128(u128::from(records)),
            bytes: vec![0; bytes],
            records,
        }
    }

    #[test]
    fn gives_up_the_oldest_when_full() {
        let queue = Queue::new(100);
        assert_eq!(queue.push(batch(1, 40)), 0);
        assert_eq!(queue.push(batch(2, 40)), 0);
        assert_eq!(queue.push(batch(4, 70)), 3);
        assert_eq!(queue.bytes(), 70);
        assert_eq!(
            queue.pop(Duration::ZERO).map(|batch| batch.records),
            Some(4)
        );
        assert_eq!(queue.pop(Duration::ZERO), None);
        assert_eq!(
            queue.push(batch(8, 101)),
            8,
            "a batch larger than the queue is dropped itself"
        );
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn clearing_counts_what_was_left() {
        let queue = Queue::new(100);
        queue.push(batch(3, 10));
        queue.push(batch(4, 10));
        assert_eq!(queue.clear(), 7);
        assert_eq!((queue.bytes(), queue.clear()), (0, 0));
    }
}
