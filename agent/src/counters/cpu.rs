use super::counter::Counter;
use crate::clock::{CpuClock, Way};

/// CPU time of the calling thread.
#[derive(Debug)]
pub(crate) struct Cpu {
    clock: &'static CpuClock,
    access: Result<String, &'static str>,
}

impl Cpu {
    pub(crate) fn of(clock: &'static CpuClock) -> Self {
        let there = clock.now().cpu_ns().is_some();
        let mut read_by = clock.way().to_string();
        // Where it costs a system call, also why not less.
        if clock.way() == Way::SystemCall {
            for (way, why) in clock.refusals().iter().cloned().chain(clock.given_up()) {
                read_by.push_str(&format!(" (no {way}: {why})"));
            }
        }
        Self {
            clock,
            access: if there {
                Ok(read_by)
            } else {
                Err("the kernel has no CPU clock for threads")
            },
        }
    }
}

impl Counter for Cpu {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn unit(&self) -> &'static str {
        "ns"
    }

    fn access(&self) -> Result<&str, &str> {
        self.access.as_ref().map(String::as_str).map_err(|why| *why)
    }

    fn read(&self) -> Option<u64> {
        self.clock.now().cpu_ns()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::cpu_clock;

    #[test]
    fn grows_while_the_thread_works() {
        let cpu = Cpu::of(cpu_clock());
        let before = cpu.read().unwrap();
        while cpu.read().unwrap() < before + 1_000_000 {}
    }
}
