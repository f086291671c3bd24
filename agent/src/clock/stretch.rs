use std::cell::Cell;

use super::ticks::{Scale, ticks};
use super::{Arm, Now, Witness};
use crate::sys;

/// A time in which a thread did not leave its CPU: where it began.
///
/// Ticks go on while the hypervisor has the CPU or an interrupt is served, whose time the kernel takes off a thread's: then
/// readings are ahead of the thread's CPU time until the system is asked again. The clock does not go back then, as the
/// difference in whose midst that falls would be none: it is ahead from there on, and pays that back by little. So each
/// difference is right to within a hundredth, but for the one that got too much, and their sum is the thread's CPU time.
#[derive(Debug)]
pub(super) struct Stretch {
    cpu_ns: Cell<u64>,
    wall_ns: Cell<u64>,
    ticks: Cell<u64>,
    /// The CPU time at the last reading, by the system or by ticks.
    used_ns: Cell<u64>,
    /// By how much more was told.
    ahead_ns: Cell<u64>,
}

/// What the system call said at the start of a stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Begun {
    pub(super) now_ns: u64,
    /// What is told, no earlier than what was told before.
    pub(super) told_ns: u64,
    pub(super) wall_ns: u64,
    /// What the ticks said just before, if the thread had not been switched until then.
    pub(super) predicted_ns: Option<u64>,
    /// Time since the stretch before began; without meaning where nothing was predicted.
    pub(super) since_ns: u64,
}

/// A thread is hardly ever switched or interrupted so often in a row while it reads the clock.
const ATTEMPTS: usize = 8;
/// Of what a thread uses so little is not told while the clock is ahead: less than differences are right to.
const PAID_BACK_ONE_IN: u64 = 128;
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
            used_ns: Cell::new(0),
            ahead_ns: Cell::new(0),
        }
    }

    /// Forgets what was told: the clock begins at zero, in a child.
    pub(super) fn forget(&self) {
        self.ticks.set(0);
        self.used_ns.set(0);
        self.ahead_ns.set(0);
    }

    /// The CPU time, and with it the wall time, if the stretch lasts and is younger than `max` ticks.
    #[inline]
    pub(super) fn read(&self, witness: &impl Witness, scale: Scale, max: u64) -> Option<Now> {
        let (cpu_ns, since) = self.look(witness, scale, max)?;
        Some(Now::new(Some(cpu_ns), self.wall_ns.get() + since))
    }

    /// The CPU time, and how long the stretch has lasted.
    #[inline]
    pub(super) fn look(
        &self,
        witness: &impl Witness,
        scale: Scale,
        max: u64,
    ) -> Option<(u64, u64)> {
        let since = ticks().wrapping_sub(self.ticks.get());
        // After the ticks: a switch between the look and the ticks would count the time away as used. One before them is
        // seen here too.
        if since >= max || !witness.is_armed() {
            return None;
        }
        let since = scale.ns(since);
        let cpu_ns = self.tell_on(self.cpu_ns.get() + since)?;
        Some((cpu_ns, since))
    }

    /// How long it has lasted.
    pub(super) fn age_ns(&self, scale: Scale) -> u64 {
        scale.long_ns(ticks().wrapping_sub(self.ticks.get()))
    }

    /// Asks the system and begins anew.
    pub(super) fn begin(&self, witness: &impl Arm, scale: Scale) -> Option<Begun> {
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
                    told_ns: self.tell(now),
                    wall_ns,
                    predicted_ns,
                    since_ns,
                });
            }
        }
        // Switched each time: the next reading tries again.
        self.ticks.set(0);
        let now_ns = sys::thread_cpu_ns()?;
        Some(Begun {
            now_ns,
            told_ns: self.tell(now_ns),
            wall_ns: sys::monotonic_ns(),
            predicted_ns: None,
            since_ns: 0,
        })
    }

    /// What is told where so much was used; `None` if it is less than before.
    #[inline]
    fn tell_on(&self, used_ns: u64) -> Option<u64> {
        let since = used_ns.checked_sub(self.used_ns.get())?;
        self.used_ns.set(used_ns);
        let mut ahead_ns = self.ahead_ns.get();
        if ahead_ns != 0 {
            ahead_ns = ahead_ns.saturating_sub(since / PAID_BACK_ONE_IN);
            self.ahead_ns.set(ahead_ns);
        }
        Some(used_ns + ahead_ns)
    }

    /// The same whatever was used before.
    fn tell(&self, used_ns: u64) -> u64 {
        if let Some(told_ns) = self.tell_on(used_ns) {
            return told_ns;
        }
        let ahead_ns = self.ahead_ns.get() + self.used_ns.replace(used_ns) - used_ns;
        self.ahead_ns.set(ahead_ns);
        used_ns + ahead_ns
    }
}

/// The kernel reads its clock about half-way through the call.
fn middle(before: u64, after: u64) -> u64 {
    before.wrapping_add(after.wrapping_sub(before) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Armed(Cell<bool>);

    impl Arm for Armed {
        fn arm(&self) {
            self.0.set(true);
        }
    }

    impl Witness for Armed {
        fn is_armed(&self) -> bool {
            self.0.get()
        }
    }

    #[test]
    fn what_the_clock_ran_ahead_is_paid_back_by_little() {
        let stretch = Stretch::over();
        let tell = |used_ns| stretch.tell(used_ns);
        assert_eq!((tell(100_000), tell(100_500)), (100_000, 100_500));
        // Of these the system says that 300 were not the thread's, and then that 20 more were not.
        assert_eq!((tell(100_200), tell(100_180)), (100_500, 100_500));
        assert_eq!(tell(100_180 + 12_800), 100_500 + 12_800 - 100);
        assert_eq!(tell(100_180 + 12_800 + 64), 100_500 + 12_800 - 100 + 64);
        assert_eq!(tell(100_180 + 1_000_000), 100_180 + 1_000_000, "all of it");
        assert_eq!(tell(100_180 + 1_000_001), 100_180 + 1_000_001);
        // Told is what was used, and it never goes back, whatever happens.
        let (mut used, mut told_before) = (2_000_000, 0);
        let mut random = fastrand::Rng::with_seed(20_261_129);
        for _ in 0..100_000 {
            match random.u64(0..50) {
                0 => used -= random.u64(0..200),
                _ => used += random.u64(0..2_000),
            }
            let told = tell(used);
            assert!(told >= told_before && told >= used);
            assert!(told - used < 5_000, "{told} of {used}");
            told_before = told;
        }
        assert_eq!(tell(used + 1_000_000), used + 1_000_000);
        stretch.forget();
        assert_eq!(tell(5), 5, "a child's begins anew");
    }

    #[test]
    fn a_clock_that_ran_ahead_does_not_go_back() {
        const AHEAD_NS: u64 = 2_000_000;
        let Ok(scale) = Scale::measure() else { return };
        let (witness, stretch) = (Armed::default(), Stretch::over());
        stretch.begin(&witness, scale).unwrap();
        // As if the CPU had been taken from the thread for so long, by somebody whom it cannot see.
        let begun = stretch.ticks.get() - scale.ticks(AHEAD_NS);
        stretch.ticks.set(begun);
        let asked = sys::thread_cpu_ns().unwrap();
        let told = stretch.read(&witness, scale, u64::MAX).unwrap();
        let mut told = told.cpu_ns().unwrap();
        assert!(told >= asked + AHEAD_NS / 2, "{told} told, {asked} used");
        // Then it is switched, and the system asked again and again.
        for _ in 0..1_000 {
            witness.0.set(false);
            let begun = stretch.begin(&witness, scale).unwrap();
            assert!(begun.told_ns >= told && begun.told_ns > begun.now_ns);
            let read = stretch.read(&witness, scale, u64::MAX).unwrap();
            assert!(read.cpu_ns().unwrap() >= begun.told_ns);
            told = read.cpu_ns().unwrap();
        }
    }
}
