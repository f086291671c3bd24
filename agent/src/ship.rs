//! The thread that sends sealed batches, and does nothing else: a collector may be slow.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Answer, Client};
use crate::core::Core;
use crate::queue::Sealed;
use crate::sys;
use crate::totals::add;

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Between attempts at the shutdown, when there is no time to lose.
const LAST_PAUSE: Duration = Duration::from_millis(50);

/// Runs until the shutdown.
pub(crate) fn run(core: &Core) {
    let mut shipper = Shipper {
        core,
        client: Client::new(&core.settings().collector),
        unreachable: false,
        refusal: String::new(),
    };
    loop {
        match core.queue.pop(Duration::from_secs(1)) {
            Some(batch) => shipper.deliver(&batch),
            None if core.stop.is_sealed() => break,
            None => {}
        }
        if core
            .stop
            .deadline()
            .is_some_and(|deadline| deadline <= Instant::now())
        {
            break;
        }
    }
    add(&core.totals.dropped, core.queue.clear());
    core.stop.mark_ended();
}

struct Shipper<'a> {
    core: &'a Core,
    client: Client,
    /// Whether the log says so already.
    unreachable: bool,
    /// What the collector said last when it refused a batch.
    refusal: String,
}

impl Shipper<'_> {
    /// Sends the batch until it is taken or refused, or the deadline of the shutdown passes.
    fn deliver(&mut self, batch: &Sealed) {
        let totals = &self.core.totals;
        let mut pause = FIRST_PAUSE;
        loop {
            let left = self
                .core
                .stop
                .deadline()
                .map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let answer = self.client.put(batch, left);
            let cpu_ns = sys::thread_cpu_ns().unwrap_or(0);
            self.core.ship_cpu_ns.store(cpu_ns, Ordering::Relaxed);
            match answer {
                Answer::Taken => {
                    self.reached();
                    self.refusal.clear();
                    add(&totals.sent_batches, 1);
                    add(&totals.sent_records, batch.records);
                    add(&totals.sent_bytes, batch.bytes.len() as u64);
                    return;
                }
                Answer::Refused(why) => {
                    self.reached();
                    if why != self.refusal {
                        tracing::warn!(
                            records = batch.records,
                            "AppWeight: the collector refuses a batch: {why}"
                        );
                        self.refusal = why;
                    }
                    add(&totals.dropped, batch.records);
                    return;
                }
                Answer::Failed(why) => {
                    add(&totals.retries, 1);
                    if !self.unreachable {
                        self.unreachable = true;
                        let collector = &self.core.settings().collector;
                        tracing::warn!(
                            "AppWeight: the collector {collector} takes nothing: {why}; will try again"
                        );
                    }
                }
            }
            if !self.wait(pause) {
                add(&totals.dropped, batch.records);
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn reached(&mut self) {
        if self.unreachable {
            self.unreachable = false;
            tracing::info!(
                "AppWeight: the collector {} is back",
                self.core.settings().collector
            );
        }
    }

    /// Waits before the next attempt; says whether there is time for one.
    fn wait(&self, pause: Duration) -> bool {
        let stop = &self.core.stop;
        // Spread out, so that a fleet does not fall upon a collector that has just come back.
        stop.sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0));
        match stop.deadline() {
            None => true,
            Some(deadline) => {
                thread::sleep(LAST_PAUSE.min(deadline.saturating_duration_since(Instant::now())));
                Instant::now() < deadline
            }
        }
    }
}
