//! What the agent's own threads use of the CPU.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::sys::ThreadClock;

/// The threads of one agent.
#[derive(Debug, Default)]
pub(crate) struct OwnThreads(Mutex<Used>);

#[derive(Debug, Default)]
struct Used {
    running: Vec<ThreadClock>,
    /// By those that have ended.
    ended_ns: u64,
}

/// Of a thread that runs.
struct Running<'a> {
    threads: &'a OwnThreads,
    clock: Option<ThreadClock>,
}

impl OwnThreads {
    /// Does all the work of a thread of the agent's.
    pub(crate) fn run(&self, work: impl FnOnce()) {
        let clock = ThreadClock::own();
        self.lock().running.extend(clock);
        let running = Running {
            threads: self,
            clock,
        };
        work();
        drop(running);
    }

    /// CPU time of all of them since their starts, ended ones too, ns.
    pub(crate) fn cpu_ns(&self) -> u64 {
        let used = self.lock();
        let running = used.running.iter().filter_map(|clock| clock.read());
        used.ended_ns + running.sum::<u64>()
    }

    fn lock(&self) -> MutexGuard<'_, Used> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Also after a panic: the kernel may give the clock of a thread that has ended to another.
impl Drop for Running<'_> {
    fn drop(&mut self) {
        let Some(clock) = self.clock else { return };
        let mut used = self.threads.lock();
        used.running.retain(|running| *running != clock);
        used.ended_ns += clock.read().unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;
    use crate::sys;

    fn burn(until_ns: u64) {
        while sys::thread_cpu_ns().unwrap() < until_ns {}
    }

    #[test]
    fn what_a_thread_used_is_told_while_it_runs_and_when_it_has_ended() {
        let threads = OwnThreads::default();
        let ((burnt, is_burnt), (go_on, wait)) = (channel(), channel::<()>());
        thread::scope(|scope| {
            let running = scope.spawn(|| {
                threads.run(move || {
                    burn(20_000_000);
                    burnt.send(()).unwrap();
                    wait.recv().unwrap();
                    burn(50_000_000);
                    std::panic::resume_unwind(Box::new(()));
                });
            });
            is_burnt.recv().unwrap();
            let told = threads.cpu_ns();
            assert!((20_000_000..50_000_000).contains(&told), "{told}");
            go_on.send(()).unwrap();
            assert!(running.join().is_err());
        });
        let told = threads.cpu_ns();
        assert!(threads.lock().running.is_empty());
        assert!((50_000_000..80_000_000).contains(&told), "{told}");
        threads.run(|| burn(sys::thread_cpu_ns().unwrap() + 1));
        assert!(threads.cpu_ns() > told, "and nothing is forgotten");
    }
}
