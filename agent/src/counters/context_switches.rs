use super::counter::Counter;
use super::rusage::{Whose, rusage};

/// How often a thread gave its CPU up, to wait or because others had to run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ContextSwitches(pub(crate) Whose);

impl Counter for ContextSwitches {
    fn name(&self) -> &'static str {
        match self.0 {
            Whose::Thread => "context_switches",
            Whose::Process => "process_context_switches",
        }
    }

    fn unit(&self) -> &'static str {
        "switches"
    }

    fn access(&self) -> Result<&str, &str> {
        Ok(self.0.read_by())
    }

    fn read(&self) -> Option<u64> {
        rusage(self.0).map(|usage| usage.context_switches)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// Sleeps that often.
    const SLEEPS: u64 = 20;
    /// A sleep is no switch if its end has come before the thread is gone: rare, on a busy machine.
    const AT_LEAST: u64 = 15;

    fn sleep() {
        for _ in 0..SLEEPS {
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn during(counter: ContextSwitches, work: impl FnOnce()) -> u64 {
        let before = counter.read().unwrap();
        work();
        counter.read().unwrap() - before
    }

    #[test]
    fn sleeps_are_switches_of_the_thread_and_of_the_process() {
        assert!(during(ContextSwitches(Whose::Thread), sleep) >= AT_LEAST);
        assert!(during(ContextSwitches(Whose::Process), sleep) >= AT_LEAST);
    }

    #[test]
    fn the_process_s_are_those_of_all_its_threads() {
        let elsewhere = || {
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(sleep);
                }
            });
        };
        assert!(during(ContextSwitches(Whose::Process), elsewhere) >= 4 * AT_LEAST);
        let here = during(ContextSwitches(Whose::Thread), elsewhere);
        assert!(here < 4 * AT_LEAST, "{here} while others slept");
    }
}
