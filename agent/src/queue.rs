//! Sealed batches that wait to be sent: bounded, the oldest go first.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use crate::contents::Contents;

/// A batch whose bytes never change again, so that every retry is the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) id: Uuid,
    /// Its number among those of its source.
    pub(crate) sequence: u64,
    /// When it was sealed, µs since the Unix epoch.
    pub(crate) sealed_us: u64,
    pub(crate) contents: Contents,
    /// Compressed, as they are sent.
    pub(crate) bytes: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Queue {
    limit_bytes: usize,
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct State {
    batches: VecDeque<Arc<Sealed>>,
    bytes: usize,
    /// The batch that was taken last, until it is settled.
    in_hand: Option<Arc<Sealed>>,
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

    /// Puts a batch at the end and gives back what had to go for it.
    pub(crate) fn push(&self, batch: Sealed) -> Contents {
        let mut state = self.lock();
        state.bytes += batch.bytes.len();
        state.batches.push_back(Arc::new(batch));
        let mut dropped = Contents::default();
        while state.bytes > self.limit_bytes
            && let Some(oldest) = state.batches.pop_front()
        {
            state.bytes -= oldest.bytes.len();
            dropped += oldest.contents;
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

    /// Takes the oldest batch, and waits for one at most that long while more can come. It stays
    /// [in hand](Self::in_hand) until it is settled.
    pub(crate) fn take(&self, wait: Duration) -> Option<Arc<Sealed>> {
        let (mut state, _) = self
            .filled
            .wait_timeout_while(self.lock(), wait, |state| {
                state.batches.is_empty() && !state.closed
            })
            .unwrap_or_else(PoisonError::into_inner);
        let batch = state.batches.pop_front()?;
        state.bytes -= batch.bytes.len();
        state.in_hand = Some(Arc::clone(&batch));
        Some(batch)
    }

    /// The batch that was taken is sent, kept elsewhere or given up.
    pub(crate) fn settle(&self) {
        self.lock().in_hand = None;
    }

    /// The batch that was taken and is not settled.
    pub(crate) fn in_hand(&self) -> Option<Arc<Sealed>> {
        self.lock().in_hand.clone()
    }

    /// Whether nothing waits and nothing more will come.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.lock();
        state.closed && state.batches.is_empty()
    }

    /// Empties it, but for what is in hand.
    pub(crate) fn drain(&self) -> Vec<Arc<Sealed>> {
        let mut state = self.lock();
        state.bytes = 0;
        state.batches.drain(..).collect()
    }

    /// Empties it and gives back what was in it.
    pub(crate) fn clear(&self) -> Contents {
        self.drain().iter().map(|batch| batch.contents).sum()
    }

    /// Whether the oldest may have to go soon.
    pub(crate) fn is_half_full(&self) -> bool {
        self.bytes() > self.limit_bytes / 2
    }

    /// How many bytes wait.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many records, and ten times as many requests.
    fn contents(records: u64) -> Contents {
        Contents {
            records,
            requests: 10 * records,
        }
    }

    fn batch(records: u64, bytes: usize) -> Sealed {
        Sealed {
            id: Uuid::from_u128(u128::from(records)),
            sequence: records,
            sealed_us: 0,
            contents: contents(records),
            bytes: vec![0; bytes],
        }
    }

    #[test]
    fn gives_up_the_oldest_when_full() {
        let queue = Queue::new(100);
        assert_eq!(queue.push(batch(1, 40)), contents(0));
        assert_eq!(queue.push(batch(2, 40)), contents(0));
        assert_eq!(queue.push(batch(4, 70)), contents(3));
        assert_eq!(queue.bytes(), 70);
        assert_eq!(
            queue.take(Duration::ZERO).map(|batch| batch.contents),
            Some(contents(4))
        );
        assert_eq!(queue.take(Duration::ZERO), None);
        assert_eq!(
            queue.push(batch(8, 101)),
            contents(8),
            "a batch larger than the queue is dropped itself"
        );
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn clearing_counts_what_was_left() {
        let queue = Queue::new(100);
        queue.push(batch(3, 10));
        queue.push(batch(4, 10));
        assert_eq!(queue.clear(), contents(7));
        assert_eq!((queue.bytes(), queue.clear()), (0, contents(0)));
    }

    #[test]
    fn what_is_taken_stays_in_hand_until_it_is_settled() {
        let queue = Queue::new(100);
        queue.push(batch(1, 60));
        queue.push(batch(2, 40));
        let taken = queue.take(Duration::ZERO);
        assert_eq!(queue.in_hand(), taken);
        assert_eq!(queue.push(batch(3, 60)), contents(0), "it takes no room");
        assert_eq!(queue.drain().len(), 2);
        assert_eq!(queue.in_hand(), taken);
        queue.settle();
        assert_eq!(queue.in_hand(), None);
        assert!(!queue.is_over());
        queue.close();
        assert!(queue.is_over());
    }
}
