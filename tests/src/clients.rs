use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use crate::ledger::Ledger;
use crate::wait::eventually;

/// Clients that send batch after batch, each of them until it is acknowledged, as agents do, and keep a
/// ledger of it.
#[derive(Debug)]
pub struct Clients {
    stop: Arc<AtomicBool>,
    acknowledged: Vec<Arc<AtomicU64>>,
    threads: Vec<JoinHandle<Ledger>>,
}

impl Clients {
    /// Starts so many, each a host of its own that counts an endpoint of its own.
    #[must_use]
    pub fn start(collector: &str, number: usize) -> Self {
        Self::start_at(&[collector], number)
    }

    /// The same by turns at these collectors, each of them until it does not take a batch: then the client moves to the next one,
    /// with the batch.
    #[must_use]
    pub fn start_at(collectors: &[&str], number: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged: Vec<Arc<AtomicU64>> = (0..number).map(|_| Arc::default()).collect();
        let threads = (0..)
            .zip(&acknowledged)
            .map(|(at, acknowledged)| {
                let from_its_own = (0..collectors.len()).map(|next| (at + next) % collectors.len());
                let collectors = from_its_own.map(|one| collectors[one].to_owned()).collect();
                let ledger = Ledger::of(collectors, at as u64);
                let (stop, acknowledged) = (Arc::clone(&stop), Arc::clone(acknowledged));
                std::thread::spawn(move || ledger.fill(&stop, &acknowledged))
            })
            .collect();
        Self {
            stop,
            acknowledged,
            threads,
        }
    }

    /// How many batches of each were acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> Vec<u64> {
        let counts = self.acknowledged.iter();
        counts.map(|count| count.load(Ordering::SeqCst)).collect()
    }

    /// Waits until so many more batches of each are acknowledged.
    ///
    /// # Panics
    /// If that takes two minutes, or a client found something wrong.
    pub fn more(&self, batches: u64) {
        let before = self.acknowledged();
        eventually("batches are acknowledged", || {
            for thread in &self.threads {
                assert!(!thread.is_finished(), "a client found something wrong");
            }
            let now = self.acknowledged();
            let done = before.iter().zip(&now).all(|(a, b)| b - a >= batches);
            done.then_some(()).ok_or(format!("{before:?} to {now:?}"))
        });
    }

    /// Lets each send its last batch until it is acknowledged.
    ///
    /// # Panics
    /// If a client found something wrong.
    #[must_use]
    pub fn stop(self) -> Vec<Ledger> {
        self.stop.store(true, Ordering::SeqCst);
        let ledgers = self.threads.into_iter();
        ledgers
            .map(|thread| thread.join().expect("a client found something wrong"))
            .collect()
    }
}
