use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use appweight_wire::Origin;
use uuid::Uuid;

use crate::drawn::Drawn;
use crate::wait::eventually;

/// The service that they are.
pub(crate) const SERVICE: &str = "photos";
/// What it runs, by turns.
pub(crate) const DEPLOYS: [&str; 2] = ["a", "b"];
/// One batch in so many is sent once more although it was acknowledged.
const AGAIN: usize = 5;

/// What one client sent. All of it was acknowledged.
#[derive(Debug)]
pub struct Ledger {
    source: Uuid,
    /// To whom it is sent: to the first until that one takes nothing.
    collectors: Vec<String>,
    /// Whose it is.
    pub(crate) origin: Origin,
    /// Of what all its requests are: the same for a client of each deploy.
    pub(crate) endpoint: String,
    /// What each of its requests stands for: another number for each client.
    weight: u64,
    pub(crate) batches: Vec<Drawn>,
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
            source: Uuid::new_v4(),
            collectors,
            origin: Origin {
                service: SERVICE.to_owned(),
                deploy: DEPLOYS[at as usize % DEPLOYS.len()].to_owned(),
                host: format!("web-{at}"),
                ..Origin::default()
            },
            endpoint: format!("/of/{}", at / DEPLOYS.len() as u64),
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
                match before.send(&self.collectors[0]) {
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

    fn next(&self) -> Drawn {
        Drawn::of(
            self.source,
            &self.origin,
            self.batches.len() as u64,
            &self.endpoint,
            self.weight,
        )
    }

    fn send_until_acknowledged(&mut self, batch: &Drawn) {
        let mut tries = 0;
        eventually("a batch is acknowledged", || {
            tries += 1;
            let status = match batch.send(&self.collectors[0]) {
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
        let batches = self.batches.iter();
        batches
            .map(|batch| {
                let answer = batch.send(collector).expect("the collector answers");
                assert!(matches!(answer.status, 200 | 201), "{answer:?}");
                answer.status == 200
            })
            .collect()
    }
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
