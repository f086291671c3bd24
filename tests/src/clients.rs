use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use serde_json::Value;

use crate::by_hand::ByHand;
use crate::collector::Collector;
use crate::today::an_hour_ago;
use crate::wait::eventually;

/// The service that they are.
const SERVICE: &str = "photos";
/// What it runs.
const DEPLOY: &str = "a";
/// Requests in each batch.
const REQUESTS: u64 = 10;
/// One batch in so many is sent once more although it was acknowledged.
const AGAIN: usize = 5;

/// Clients that send batch after batch, each of them until it is acknowledged, as agents do, and keep a
/// ledger of it.
#[derive(Debug)]
pub struct Clients {
    stop: Arc<AtomicBool>,
    acknowledged: Vec<Arc<AtomicU64>>,
    threads: Vec<JoinHandle<Ledger>>,
}

/// What one client sent. All of it was acknowledged.
#[derive(Debug)]
pub struct Ledger {
    client: ByHand,
    endpoint: String,
    batches: Vec<Value>,
    /// How often a batch was sent in vain, by status; 0 where there was no answer.
    pub failures: BTreeMap<u16, u64>,
    /// Batches that had been stored although the client was not told so.
    pub stored_unheard: u64,
}

impl Clients {
    /// Starts so many, each a host of its own that counts an endpoint of its own.
    #[must_use]
    pub fn start(collector: &str, number: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged: Vec<Arc<AtomicU64>> = (0..number).map(|_| Arc::default()).collect();
        let threads = acknowledged
            .iter()
            .enumerate()
            .map(|(at, acknowledged)| {
                let client = ByHand::new(collector, SERVICE, DEPLOY, &format!("web-{at}"));
                let ledger = Ledger {
                    client,
                    endpoint: format!("/of/{at}"),
                    batches: Vec::new(),
                    failures: BTreeMap::new(),
                    stored_unheard: 0,
                };
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
    /// If that takes half a minute, or a client found something wrong.
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

impl Ledger {
    fn fill(mut self, stop: &AtomicBool, acknowledged: &AtomicU64) -> Self {
        while !stop.load(Ordering::SeqCst) {
            let batch = self.next();
            self.send_until_acknowledged(&batch);
            self.batches.push(batch);
            acknowledged.fetch_add(1, Ordering::SeqCst);
            let sent = self.batches.len();
            if sent.is_multiple_of(AGAIN) {
                // Any of them; nobody listening is fine.
                let before = &self.batches[sent / AGAIN * 7_919 % sent];
                match self.client.send(before) {
                    Ok(answer) if answer.status == 200 => {}
                    Ok(answer) => {
                        assert_ne!(answer.status, 201, "an acknowledged batch was lost");
                        assert_ne!(answer.status, 409, "{answer:?}");
                        self.in_vain(answer.status);
                    }
                    Err(_) => self.in_vain(0),
                }
            }
        }
        self
    }

    fn next(&mut self) -> Value {
        // A thousand batches to a cell.
        let start_us = an_hour_ago() + self.batches.len() as u64 * 1_000;
        let requests: Vec<Value> = (0..REQUESTS)
            .map(|at| ByHand::request(start_us + at, &self.endpoint, 1_000 + at))
            .collect();
        self.client.batch(&requests)
    }

    fn send_until_acknowledged(&mut self, batch: &Value) {
        let mut tries = 0;
        eventually("a batch is acknowledged", || {
            tries += 1;
            let status = match self.client.send(batch) {
                Ok(answer) if answer.status == 201 => return Ok(()),
                Ok(answer) if answer.status == 200 => {
                    assert!(tries > 1, "a batch was known before it was sent");
                    self.stored_unheard += 1;
                    return Ok(());
                }
                Ok(answer) => {
                    assert!(matches!(answer.status, 429 | 503), "{answer:?}");
                    answer.status
                }
                Err(_) => 0,
            };
            self.in_vain(status);
            Err(format!("{status} after {tries} tries"))
        });
    }

    /// A batch was refused with that status, or met nobody (0).
    fn in_vain(&mut self, status: u16) {
        *self.failures.entry(status).or_default() += 1;
    }

    /// How many batches it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.batches.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Sends all of it to another collector. Returns for each batch whether it was known there.
    ///
    /// # Panics
    /// If one is not taken.
    #[must_use]
    pub fn resend(&self, collector: &str) -> Vec<bool> {
        let client = self.client.clone().to(collector);
        let batches = self.batches.iter();
        batches
            .map(|batch| {
                let answer = client.send(batch).expect("the collector answers");
                assert!(matches!(answer.status, 200 | 201), "{answer:?}");
                answer.status == 200
            })
            .collect()
    }
}

/// Compares a store with the clients' ledgers: nothing is missing and nothing is there twice.
///
/// # Panics
/// If it is not so.
pub fn expect_ledgers(collector: &Collector, ledgers: &[Ledger]) {
    let expected: Vec<(&str, u64)> = ledgers
        .iter()
        .map(|ledger| (ledger.endpoint.as_str(), ledger.len() as u64 * REQUESTS))
        .collect();
    collector.expect_requests(SERVICE, DEPLOY, &expected);
}

/// The same, also if all of it is sent again: by an agent that has lost its memory of what was acknowledged.
///
/// # Panics
/// If it is not so.
pub fn expect_all_once(collector: &Collector, ledgers: &[Ledger]) {
    expect_ledgers(collector, ledgers);
    for ledger in ledgers {
        assert!(ledger.resend(&collector.url).into_iter().all(|known| known));
    }
    expect_ledgers(collector, ledgers);
}

/// Whether a client was refused with that status, or met nobody (0).
#[must_use]
pub fn failed_with(ledgers: &[Ledger], status: u16) -> bool {
    ledgers
        .iter()
        .any(|ledger| ledger.failures.contains_key(&status))
}

/// Prints how much was lost on the way and sent again, for whoever reads a test's output.
#[expect(clippy::print_stdout, reason = "that is what it is for")]
pub fn print_ledgers(what: &str, ledgers: &[Ledger]) {
    let batches: usize = ledgers.iter().map(Ledger::len).sum();
    let unheard: u64 = ledgers.iter().map(|ledger| ledger.stored_unheard).sum();
    let failures: Vec<_> = ledgers.iter().map(|ledger| &ledger.failures).collect();
    println!(
        "{what}: {batches} batches, {unheard} of them stored but not heard of; in vain by status: {failures:?}"
    );
}
