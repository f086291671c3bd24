use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::by_hand::ByHand;
use crate::collector::Collector;
use crate::sums::Sums;
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
/// One request in so many fails.
const FAILED: u64 = 7;
/// From one batch's requests to the next one's, µs: a thousand batches to a cell.
const STEP_US: u64 = 1_000;
/// Batches whose records are asked for at once: half of what an answer may hold, so that one too many shows.
const BATCHES_ASKED: u64 = 50;

/// What one client sent. All of it was acknowledged.
#[derive(Debug)]
pub struct Ledger {
    client: ByHand,
    /// To whom it is sent: to the first until that one takes nothing.
    collectors: Vec<String>,
    endpoint: String,
    /// What each of its requests stands for: another number for each client.
    weight: u64,
    batches: Vec<Value>,
    /// How often a batch was sent in vain, by status; 0 where there was no answer.
    pub failures: BTreeMap<u16, u64>,
    /// The longest that a batch took until it was acknowledged.
    longest: Duration,
    /// Batches that had been stored although the client was not told so.
    pub stored_unheard: u64,
}

impl Ledger {
    /// An empty one of that client.
    pub(crate) fn of(collectors: Vec<String>, at: u64) -> Self {
        Self {
            client: ByHand::new(&collectors[0], SERVICE, DEPLOY, &format!("web-{at}")),
            collectors,
            endpoint: format!("/of/{at}"),
            weight: at + 1,
            batches: Vec::new(),
            failures: BTreeMap::new(),
            longest: Duration::ZERO,
            stored_unheard: 0,
        }
    }

    /// Sends batch after batch.
    pub(crate) fn fill(mut self, stop: &AtomicBool, acknowledged: &AtomicU64) -> Self {
        while !stop.load(Ordering::SeqCst) {
            let batch = self.next();
            let began = Instant::now();
            self.send_until_acknowledged(&batch);
            self.longest = self.longest.max(began.elapsed());
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
        let sent = self.batches.len() as u64;
        let start_us = an_hour_ago() + sent * STEP_US;
        let requests: Vec<Value> = (0..REQUESTS)
            .map(|at| {
                // All different, so that one that is missing is not made up for by another that is there twice.
                let cpu_ns = 1_000 + (sent * REQUESTS + at) * 7_919 % 1_000_003;
                let mut request = ByHand::request(start_us + at, &self.endpoint, cpu_ns);
                request["weight"] = self.weight.into();
                request["error"] = cpu_ns.is_multiple_of(FAILED).into();
                request
            })
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

    /// A batch was refused with that status, or met nobody (0). The next try is another collector's, if there is one.
    fn in_vain(&mut self, status: u16) {
        *self.failures.entry(status).or_default() += 1;
        self.collectors.rotate_left(1);
        self.client = self.client.clone().to(&self.collectors[0]);
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

    /// What was sent.
    fn sums(&self) -> Sums {
        let batches = self.batches.iter();
        Sums::of(batches.flat_map(|batch| batch["requests"].as_array().expect("a list")))
    }

    /// What its records in the store add up to.
    fn recorded(&self, collector: &Collector) -> Sums {
        let mut sums = Sums::default();
        for first in (0..self.batches.len() as u64).step_by(BATCHES_ASKED as usize) {
            let from_us = an_hour_ago() + first * STEP_US;
            let until_us = from_us + BATCHES_ASKED * STEP_US;
            let answer = collector.get(&format!(
                "/v1/requests?service={SERVICE}&deploy={DEPLOY}&endpoint={}&from_us={from_us}&until_us={until_us}&limit=1000",
                self.endpoint
            ));
            let found = answer.json();
            let found = found.as_array().expect("a list");
            sums += Sums::of(found.iter().map(|found| &found["request"]));
        }
        sums
    }
}

/// Compares a store with the clients' ledgers: nothing is missing and nothing is there twice, neither of the cells nor of the
/// records; of each endpoint the numbers of requests, of those that they stand for and of errors, and the sums of cost are the
/// very same.
///
/// # Panics
/// If it is not so.
pub fn expect_ledgers(collector: &Collector, ledgers: &[Ledger]) {
    let expected: BTreeMap<&str, Sums> = ledgers
        .iter()
        .map(|ledger| (ledger.endpoint.as_str(), ledger.sums()))
        .collect();
    eventually("every request is counted once", || {
        let counted = collector.counted(SERVICE, DEPLOY)?;
        let counted: BTreeMap<&str, Sums> = counted
            .iter()
            .map(|(endpoint, counted)| (endpoint.as_str(), Sums::counted(counted)))
            .collect();
        (counted == expected)
            .then_some(())
            .ok_or(format!("{counted:?} instead of {expected:?}"))
    });
    for ledger in ledgers {
        let (recorded, sent) = (ledger.recorded(collector), ledger.sums());
        assert_eq!(recorded, sent, "the records of {}", ledger.endpoint);
    }
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
    let longest = ledgers.iter().map(|ledger| ledger.longest).max();
    let failures: Vec<_> = ledgers.iter().map(|ledger| &ledger.failures).collect();
    println!(
        "{what}: {batches} batches, {unheard} of them stored but not heard of, the longest in {:?}; in vain by status: {failures:?}",
        longest.unwrap_or_default()
    );
}
