use std::cell::Cell;

use super::ticks::{Scale, ticks};
use super::{Now, Witness};
use crate::sys;

/// A time in which a thread did not leave its CPU: where it began.
#[derive(Debug)]
pub(super) struct Stretch {
    cpu_ns: Cell<u64>,
    wall_ns: Cell<u64>,
    ticks: Cell<u64>,
}

/// What the system call said at the start of a stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Begun {
    pub(super) now_ns: u64,
    pub(super) wall_ns: u64,
    /// What the ticks said just before, if the thread had not been switched until then.
    pub(super) predicted_ns: Option<u64>,
    /// Time since the stretch before began; without meaning where nothing was predicted.
    pub(super) since_ns: u64,
}

/// A thread is hardly ever switched or interrupted so often in a row while it reads the clock.
const ATTEMPTS: usize = 8;
/// What a reading of the system's clock takes at most when nothing comes between. Where in a longer
/// one the clock was read is not known well enough.
const PROMPT_NS: u64 = 2_000;

impl Stretch {
    /// One that is over, so that the first reading begins another.
    pub(super) const fn over() -> Self {
        Self {
            cpu_ns: Cell::new(0),
            wall_ns: Cell::new(0),
            ticks: Cell::new(0),
        }
    }

    /// The CPU time, and with it the wall time, if the stretch lasts and is younger than `max` ticks.
    #[inline]
    pub(super) fn read(&self, witness: &impl Witness, scale: Scale, max: u64) -> Option<Now> {
        if !witness.is_armed() {
            return None;
        }
        let since = ticks().wrapping_sub(self.ticks.get());
        // A switch between the look and the ticks would count the time away as used.
        if since < max && witness.is_armed() {
            let since = scale.ns(since);
            let cpu_ns = self.cpu_ns.get() + since;
            Some(Now::new(Some(cpu_ns), self.wall_ns.get() + since))
        } else {
            None
        }
    }

    /// Asks the system and begins anew.
    pub(super) fn begin(&self, witness: &impl Witness, scale: Scale) -> Option<Begun> {
        let mut predicted = None;
        if witness.is_armed() && self.ticks.get() != 0 {
            let before = ticks();
            let now = sys::thread_cpu_ns()?;
            let after = ticks();
            if witness.is_armed() {
                let since = scale.long_ns(middle(before, after).wrapping_sub(self.ticks.get()));
                predicted = Some((self.cpu_ns.get().wrapping_add(since), since, now));
            }
        }
        for attempt in 1..=ATTEMPTS {
            witness.arm();
            let before = ticks();
            let now = sys::thread_cpu_ns()?;
            let after = ticks();
            let is_prompt = scale.long_ns(after.wrapping_sub(before)) <= PROMPT_NS;
            if witness.is_armed() && (is_prompt || attempt == ATTEMPTS) {
                let at = middle(before, after);
                // The wall clock is no system call on most machines, so that the ticks just before it
                // are near enough.
                let later = scale.long_ns(ticks().wrapping_sub(at));
                let wall_ns = sys::monotonic_ns().wrapping_sub(later);
                self.cpu_ns.set(now);
                self.wall_ns.set(wall_ns);
                self.ticks.set(at);
                // What was predicted is told beside the reading that was made at the same moment.
                let (predicted_ns, since_ns) = match predicted {
                    Some((predicted, since_ns, then)) => (
                        Some(predicted.wrapping_add(now.wrapping_sub(then))),
                        since_ns,
                    ),
                    None => (None, 0),
                };
                return Some(Begun {
                    now_ns: now,
                    wall_ns,
                    predicted_ns,
                    since_ns,
                });
            }
        }
        // Switched each time: the next reading tries again.
        self.ticks.set(0);
        Some(Begun {
            now_ns: sys::thread_cpu_ns()?,
            wall_ns: sys::monotonic_ns(),
            predicted_ns: None,
            since_ns: 0,
        })
    }
}

/// The kernel reads its clock about half-way through the call.
fn middle(before: u64, after: u64) -> u64 {
    before.wrapping_add(after.wrapping_sub(before) / 2)
}
