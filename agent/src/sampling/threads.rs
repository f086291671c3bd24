use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use super::event::Pace;
use super::refusal::Refusal;
use super::sampler::{Sampler, Tally};
use super::stacks::Stacks;
use super::waiter::Waiter;

/// The threads of one agent that are sampled: each is when it first polls a request that is profiled.
#[derive(Debug)]
pub(super) struct Threads {
    /// Tells the agents of a process apart.
    agent: usize,
    waiter: Option<Waiter>,
    all: Mutex<Samplers>,
    /// Why a thread is not sampled.
    pub(super) refused: OnceLock<String>,
}

#[derive(Debug, Default)]
struct Samplers {
    open: Vec<Weak<Sampler>>,
    /// The agent has ended: none is opened any more.
    closed: bool,
}

/// Threads that are sampled at once, with a descriptor and 132 KiB each. Requests are polled by a thread for each core;
/// on a larger machine those that come later are not sampled, and it is said.
const THREADS: usize = 64;

thread_local! {
    /// By agent: nearly always one. `None` where it was refused.
    static MINE: RefCell<Vec<(usize, Option<Arc<Sampler>>)>> = const { RefCell::new(Vec::new()) };
}

impl Threads {
    pub(super) fn new() -> Self {
        static AGENTS: AtomicUsize = AtomicUsize::new(0);
        Self {
            agent: AGENTS.fetch_add(1, Ordering::Relaxed),
            waiter: Waiter::new().ok(),
            all: Mutex::default(),
            refused: OnceLock::new(),
        }
    }

    /// Gives the calling thread's samples to that request; gives it back where the thread is not sampled.
    pub(super) fn enter(
        &self,
        pace: Pace,
        tally: &Arc<Tally>,
        stacks: Box<Stacks>,
    ) -> Result<(), Box<Stacks>> {
        match self.mine(|| self.open(pace, tally)) {
            Some(sampler) => sampler.enter(stacks),
            None => Err(stacks),
        }
    }

    /// Takes the request back that the calling thread entered last.
    pub(super) fn leave(&self) -> Option<Box<Stacks>> {
        self.mine(|| None)?.leave()
    }

    /// Gives back what the threads that are sampled hold, also those that go on without this agent.
    pub(super) fn close(&self) {
        let mut all = self.lock();
        all.closed = true;
        for sampler in all.open.drain(..).filter_map(|sampler| sampler.upgrade()) {
            sampler.close();
        }
    }

    /// Makes room in rings that are half full, when one is. Waits for that at most so long.
    pub(super) fn make_room(&self, longest: Duration) {
        match &self.waiter {
            Some(waiter) => {
                if !waiter.wait(longest) {
                    return;
                }
            }
            // Nobody tells when one is half full.
            None => std::thread::sleep(Duration::from_millis(25)),
        }
        for sampler in self.lock().open.iter().filter_map(Weak::upgrade) {
            sampler.drain();
        }
    }

    fn mine(&self, open: impl FnOnce() -> Option<Arc<Sampler>>) -> Option<Arc<Sampler>> {
        MINE.try_with(|mine| {
            let mut mine = mine.try_borrow_mut().ok()?;
            if let Some((_, sampler)) = mine.iter().find(|(agent, _)| *agent == self.agent) {
                return sampler.clone();
            }
            // Those of agents that have ended, and in a forked child those of its parent.
            mine.retain(|(_, sampler)| sampler.as_ref().is_none_or(|one| !one.is_over()));
            let sampler = open();
            mine.push((self.agent, sampler.clone()));
            sampler
        })
        .ok()
        .flatten()
    }

    #[cold]
    fn open(&self, pace: Pace, tally: &Arc<Tally>) -> Option<Arc<Sampler>> {
        match self.try_open(pace, tally) {
            Ok(sampler) => Some(sampler),
            Err(refusal) => {
                self.refused.get_or_init(|| refusal.to_string());
                None
            }
        }
    }

    fn try_open(&self, pace: Pace, tally: &Arc<Tally>) -> Result<Arc<Sampler>, Refusal> {
        let mut all = self.lock();
        if all.closed {
            return Err(Refusal::Ended);
        }
        all.open.retain(|sampler| sampler.strong_count() > 0);
        if all.open.len() >= THREADS {
            return Err(Refusal::Threads(THREADS));
        }
        let sampler = Arc::new(Sampler::open(pace, Arc::clone(tally))?);
        if let (Some(waiter), Some(descriptor)) = (&self.waiter, sampler.descriptor()) {
            waiter.watch(descriptor).map_err(Refusal::Event)?;
        }
        all.open.push(Arc::downgrade(&sampler));
        Ok(sampler)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Samplers> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::Unit;
    use super::*;
    use crate::counters::{forced, holds_in_a_child};

    #[test]
    fn a_thread_without_a_descriptor_is_not_sampled_and_it_is_said() {
        assert!(holds_in_a_child(|| {
            let threads = Threads::new();
            forced::no_open_files();
            let pace = Pace::per_second(Unit::Cpu, 1_000);
            for _ in 0..2 {
                assert!(
                    threads
                        .enter(pace, &Arc::default(), Box::default())
                        .is_err()
                );
            }
            assert!(threads.leave().is_none());
            threads
                .refused
                .get()
                .is_some_and(|why| why.contains("ulimit -n"))
        }));
    }

    /// Open descriptors of perf events, and rings that are mapped.
    fn held() -> (usize, usize) {
        let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
        let links = descriptors.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        (
            links
                .filter(|link| link.ends_with("anon_inode:[perf_event]"))
                .count(),
            maps.matches("[perf_event]").count(),
        )
    }

    #[test]
    fn a_thread_that_goes_on_keeps_nothing_of_an_agent_that_has_ended() {
        let pace = Pace::per_second(Unit::Cpu, 1_000);
        // Alone, as other tests open events too; `None` is as good as an error here.
        assert!(holds_in_a_child(|| {
            let before = held();
            let enter = |threads: &Threads| threads.enter(pace, &Arc::default(), Box::default());
            let first = Threads::new();
            if enter(&first).is_err() {
                return first.refused.get().is_some();
            }
            let open = held();
            // In the middle of a poll, as a request may outlive the agent.
            first.close();
            let closed = held();
            let is_given_back = first.leave().is_some() && enter(&first).is_ok();
            let is_unsampled = first
                .leave()
                .is_some_and(|stacks| stacks.unsampled_polls == 1);
            let (second, third) = (Threads::new(), Threads::new());
            second.close();
            let is_refused = enter(&second).is_err();
            let goes_on = enter(&third).is_ok() && held() == open && third.leave().is_some();
            let kept = MINE.with_borrow(|mine| mine.iter().flat_map(|(_, one)| one).count());
            open == (before.0 + 1, before.1 + 1)
                && closed == before
                && is_given_back
                && is_unsampled
                && is_refused
                && goes_on
                && kept == 1
        }));
    }

    #[test]
    fn a_child_does_not_touch_the_events_of_its_parent() {
        let threads = Threads::new();
        crate::fork::watch();
        let pace = Pace::per_second(Unit::Cpu, 1_000);
        if threads
            .enter(pace, &Arc::default(), Box::default())
            .is_err()
        {
            // No perf events here, which is said.
            assert!(threads.refused.get().is_some());
            return;
        }
        // What it was in the middle of is its parent's.
        assert!(holds_in_a_child(|| threads.leave().is_none()));
        let until = crate::sys::thread_cpu_ns().unwrap() + 30_000_000;
        while crate::sys::thread_cpu_ns().unwrap() < until {
            // In user mode, unlike asking for the time.
            (0..10_000_u64).map(std::hint::black_box).sum::<u64>();
        }
        let stacks = threads.leave().unwrap();
        assert!(
            stacks.samples >= 5,
            "{} samples in 30 ms of a CPU",
            stacks.samples
        );
        assert!(threads.leave().is_none());
    }
}
