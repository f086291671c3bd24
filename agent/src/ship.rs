//! The thread that sends sealed batches, and does nothing else: a collector may be slow, a disk too.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::backoff::{Backoff, Failure};
use crate::client::{Answer, Client};
use crate::core::Core;
use crate::queue::Sealed;
use crate::spool::Spool;
use crate::totals::{add, get};

/// Between attempts at the shutdown, when there is no time to lose.
const LAST_PAUSE: Duration = Duration::from_millis(50);
/// The longest wait for a batch: whatever else there is to do is done then.
const TICK: Duration = Duration::from_secs(1);
/// How often spools of dead processes are looked for, and a folder that could not be used is tried
/// again.
const LOOK_EVERY: Duration = Duration::from_secs(300);

/// Runs until the shutdown.
pub(crate) fn run(core: &Core) {
    let mut shipper = Shipper::new(core);
    while shipper.turn() {}
    shipper.end();
}

struct Shipper<'a> {
    core: &'a Core,
    client: Client,
    backoff: Backoff,
    /// A batch that is neither sent nor in the spool: there is none, or it cannot be written.
    held: Option<Arc<Sealed>>,
    next_attempt: Instant,
    next_look: Instant,
    stopping: bool,
    /// What the log says already.
    said: Said,
}

#[derive(Default)]
struct Said {
    unreachable: bool,
    unauthorized: bool,
    unwritable: bool,
    /// What the collector said last when it refused a batch.
    refusal: String,
}

impl<'a> Shipper<'a> {
    fn new(core: &'a Core) -> Self {
        let now = Instant::now();
        Self {
            core,
            client: Client::new(core.settings()),
            backoff: Backoff::default(),
            held: None,
            next_attempt: now,
            next_look: now,
            stopping: false,
            said: Said::default(),
        }
    }

    /// Takes a batch, if one comes, and sends the oldest, if its time has come. Says whether to go on.
    fn turn(&mut self) -> bool {
        self.look_for_spools();
        let queue = &self.core.queue;
        if let Some(send_until) = self.core.stop.send_until() {
            let now = Instant::now();
            if !self.stopping {
                self.stopping = true;
                self.next_attempt = now;
            }
            if send_until <= now.max(self.next_attempt) {
                return false;
            }
        }
        let pause = self.next_attempt.saturating_duration_since(Instant::now());
        let spooled = self.spooled() > 0;
        if self.held.is_some() || (spooled && queue.is_over()) {
            self.sleep(pause.min(TICK));
        } else if !spooled {
            self.held = queue.take(TICK);
        } else if !pause.is_zero() || queue.is_half_full() {
            self.held = queue.take(pause.min(TICK));
        }
        // While the collector takes what lies in the spool, newer batches wait in memory for their turn:
        // they would be written down for a moment only.
        let due = self.next_attempt <= Instant::now();
        if !due || self.spooled() > 0 {
            self.keep_held();
        }
        if due {
            self.send_oldest();
        }
        self.held.is_some() || self.spooled() > 0 || !queue.is_over()
    }

    /// Keeps what is left, or gives it up.
    fn end(mut self) {
        let queue = &self.core.queue;
        loop {
            let left = self.held.take().or_else(|| queue.take(TICK));
            if let Some(batch) = left {
                if !self.core.keep(&batch).unwrap_or(false) {
                    self.core.totals.lose(batch.contents);
                }
                queue.settle();
            } else if queue.is_over() {
                break;
            }
        }
        self.core.close_spool();
        self.core.stop.mark_ended();
    }

    fn send_oldest(&mut self) {
        let now_us = self.core.now_us();
        let spooled = self.core.with_spool(|spool| spool.oldest(now_us)).flatten();
        if let Some(batch) = spooled {
            if self.is_settled(&batch) {
                self.core.with_spool(|spool| spool.remove(&batch));
            }
        } else if let Some(batch) = self.held.clone() {
            if self.is_settled(&batch) {
                self.held = None;
                self.core.queue.settle();
            } else {
                self.keep_held();
            }
        }
    }

    /// Sends a batch once. Says whether it is taken or refused.
    fn is_settled(&mut self, batch: &Sealed) -> bool {
        let totals = &self.core.totals;
        let until = self.core.stop.send_until();
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        match self.client.put(batch, left) {
            Answer::Taken => {
                self.reached();
                self.said.refusal.clear();
                add(&totals.sent_batches, 1);
                add(&totals.sent_records, batch.contents.records);
                add(&totals.sent_bytes, batch.bytes.len() as u64);
                true
            }
            Answer::Refused(why) => {
                self.reached();
                if why != self.said.refusal {
                    tracing::warn!(
                        records = batch.contents.records,
                        "AppWeight: the collector refuses a batch: {why}"
                    );
                    self.said.refusal = why;
                }
                totals.lose(batch.contents);
                true
            }
            Answer::Failed(failure) => {
                add(&totals.retries, 1);
                self.say(&failure);
                let pause = if self.stopping && !failure.asks_for_time() {
                    LAST_PAUSE
                } else {
                    self.backoff.pause(&failure, fastrand::f64())
                };
                self.next_attempt = Instant::now() + pause;
                false
            }
        }
    }

    fn say(&mut self, failure: &Failure) {
        let collector = &self.core.settings().collector;
        let why = &failure.why;
        if failure.unauthorized && !self.said.unauthorized {
            tracing::warn!(
                "AppWeight: the collector {collector} takes nothing: {why}: check the token \
                 (APPWEIGHT_TOKEN); will try again once a minute"
            );
            self.said.unauthorized = true;
        } else if !failure.unauthorized && !self.said.unreachable {
            tracing::warn!(
                "AppWeight: the collector {collector} takes nothing: {why}; will try again"
            );
            self.said.unreachable = true;
        }
    }

    fn reached(&mut self) {
        self.backoff.reset();
        self.next_attempt = Instant::now();
        if self.said.unreachable || self.said.unauthorized {
            self.said.unreachable = false;
            self.said.unauthorized = false;
            tracing::info!(
                "AppWeight: the collector {} is back",
                self.core.settings().collector
            );
        }
    }

    /// Puts the batch that is held into the spool, if there is one.
    fn keep_held(&mut self) {
        let Some(batch) = &self.held else {
            return;
        };
        match self.core.keep(batch) {
            Ok(true) => {
                self.said.unwritable = false;
                self.held = None;
                self.core.queue.settle();
            }
            Ok(false) => {}
            Err(error) => self.say_unwritable(&error),
        }
    }

    fn say_unwritable(&mut self, error: &std::io::Error) {
        if !self.said.unwritable {
            self.said.unwritable = true;
            let folder = self.core.settings().spool.as_deref().unwrap_or("".as_ref());
            tracing::warn!(
                "AppWeight: the spool {} cannot be used: {error}; what cannot be sent waits in memory",
                folder.display()
            );
        }
    }

    /// Opens the spool; later looks for those of processes that have died since.
    fn look_for_spools(&mut self) {
        let now = Instant::now();
        let Some(root) = &self.core.settings().spool else {
            return;
        };
        if now < self.next_look {
            return;
        }
        self.next_look = now + LOOK_EVERY;
        let adopted = match self.core.with_spool(Spool::adopt) {
            Some(adopted) => adopted,
            None => {
                let limit = self.core.settings().spool_bytes;
                Spool::open(root, self.core.source(), limit, &self.core.spool_locks).map(|spool| {
                    let adopted = spool.batches();
                    self.core.set_spool(spool);
                    usize::try_from(adopted).unwrap_or(usize::MAX)
                })
            }
        };
        match adopted {
            Ok(0) => {}
            Ok(batches) => {
                tracing::info!(
                    batches,
                    "AppWeight: batches that other processes left will be sent"
                );
            }
            Err(error) => self.say_unwritable(&error),
        }
    }

    fn spooled(&self) -> u64 {
        get(&self.core.totals.spooled_batches)
    }

    /// Sleeps until the end is asked for, at most that long.
    fn sleep(&self, pause: Duration) {
        if self.stopping {
            thread::sleep(pause);
        } else {
            self.core.stop.sleep(pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::contents::Contents;
    use crate::counters::Counters;
    use crate::hooks::Hooks;
    use crate::settings::Settings;

    #[test]
    fn what_a_process_leaves_that_dies_later_is_taken_over_every_five_minutes() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        settings.spool = Some(folder.path().to_owned());
        let core = Core::new(settings, Arc::new(Hooks::default()), Counters::probe());
        let mut shipper = Shipper::new(core);
        shipper.look_for_spools();
        assert_eq!(shipper.spooled(), 0);

        let limit = core.settings().spool_bytes;
        let mut other = Spool::open(folder.path(), Uuid::new_v4(), limit, &Arc::default()).unwrap();
        let batch = Sealed {
            id: Uuid::new_v4(),
            sequence: 0,
            sealed_us: core.now_us(),
            contents: Contents::default(),
            bytes: vec![7; 100],
        };
        other.store(&batch).unwrap();
        let later = |shipper: &mut Shipper<'_>| {
            let left = shipper.next_look - Instant::now();
            assert!(left > LOOK_EVERY - Duration::from_secs(60) && left <= LOOK_EVERY);
            shipper.next_look = Instant::now();
            shipper.look_for_spools();
        };
        later(&mut shipper);
        assert_eq!(shipper.spooled(), 0, "it lives");
        other.close();
        shipper.look_for_spools();
        assert_eq!(shipper.spooled(), 0, "it is not time yet");
        later(&mut shipper);
        assert_eq!(shipper.spooled(), 1);
        let oldest = core.with_spool(|spool| spool.oldest(core.now_us()));
        assert_eq!(oldest.flatten(), Some(batch));
        core.close_spool();
    }
}
