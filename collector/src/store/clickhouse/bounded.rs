//! A map that forgets: what was asked for longest ago goes when there is too much.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Values of at most so many bytes together.
pub(super) struct Bounded<K, V> {
    most_bytes: usize,
    inner: Mutex<Inner<K, V>>,
}

struct Inner<K, V> {
    held: HashMap<K, Held<V>>,
    bytes: usize,
    asked: u64,
}

struct Held<V> {
    value: V,
    bytes: usize,
    asked: u64,
}

impl<K: Eq + Hash + Clone, V: Clone> Bounded<K, V> {
    pub(super) fn new(most_bytes: usize) -> Self {
        let inner = Inner {
            held: HashMap::new(),
            bytes: 0,
            asked: 0,
        };
        Self {
            most_bytes,
            inner: Mutex::new(inner),
        }
    }

    pub(super) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let mut inner = self.lock();
        inner.asked += 1;
        let asked = inner.asked;
        let held = inner.held.get_mut(key)?;
        held.asked = asked;
        Some(held.value.clone())
    }

    /// One that is larger than all may be together is not held.
    pub(super) fn put(&self, key: K, value: V, bytes: usize) {
        let mut inner = self.lock();
        inner.remove(&key);
        if bytes > self.most_bytes {
            return;
        }
        while inner.bytes + bytes > self.most_bytes {
            let oldest = inner.held.iter().min_by_key(|(_, held)| held.asked);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
                break;
            };
            inner.remove(&oldest);
        }
        inner.asked += 1;
        inner.bytes += bytes;
        let asked = inner.asked;
        let held = Held {
            value,
            bytes,
            asked,
        };
        inner.held.insert(key, held);
    }

    /// Nothing is half-done under this lock.
    fn lock(&self) -> MutexGuard<'_, Inner<K, V>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash, V> Inner<K, V> {
    fn remove(&mut self, key: &K) {
        if let Some(held) = self.held.remove(key) {
            self.bytes -= held.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_longest_ago_goes() {
        let bounded = Bounded::new(10);
        for key in 1..=3 {
            bounded.put(key, key * 10, 3);
        }
        assert_eq!(bounded.get(&1), Some(10));
        bounded.put(4, 40, 4);
        let held = [1, 2, 3, 4].map(|key| bounded.get(&key).is_some());
        assert_eq!(held, [true, false, true, true]);
        // Another value in its place counts alone.
        bounded.put(4, 41, 3);
        bounded.put(5, 50, 1);
        assert_eq!(
            [1, 3, 4].map(|key| bounded.get(&key)),
            [Some(10), Some(30), Some(41)]
        );
        bounded.put(1, 11, 11);
        assert_eq!(
            bounded.get(&1),
            None,
            "it is too large, and the old one is not true any more"
        );
    }
}
