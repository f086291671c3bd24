//! What can be counted here, and why something cannot.
//!
//! Each counter is a small type behind the trait `Counter`. What is read at the edges of each poll,
//! by [`Counters::read_thread`], is read directly.

mod absence;
mod context_switches;
mod cores;
mod counter;
mod descriptor;
mod fork;
mod group;
#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod hardware;
mod instructions;
#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod known_work;
mod page;
mod page_faults;
mod register;
mod rss;
mod rusage;
mod trial;
mod wall;

use appweight_wire::{CounterStatus, InstructionSource};

use self::context_switches::ContextSwitches;
use self::counter::Counter;
use self::instructions::Instructions;
use self::page_faults::PageFaults;
use self::rss::{Memory, Rss};
use self::rusage::Whose;
use self::wall::Wall;
use crate::sys;

/// The counters of this process, as found once at the agent's start.
///
/// Requests, tasks and the process record all read through it.
#[derive(Debug)]
pub(crate) struct Counters {
    cpu: bool,
    instructions: Instructions,
    rss: Rss,
    statuses: Vec<CounterStatus>,
}

/// What the calling thread has counted so far. Two of them make a difference.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reading {
    /// CPU time, ns.
    pub(crate) cpu_ns: Option<u64>,
    /// Count, time enabled and time running of the thread's instruction counter.
    pub(crate) instructions: Option<[u64; 3]>,
}

impl Counters {
    /// Tries each counter once.
    pub(crate) fn probe() -> Self {
        let cpu = sys::thread_cpu_ns().is_some();
        let instructions = Instructions::probe();
        let rss = Rss::open();
        let all: [&dyn Counter; 7] = [
            &instructions,
            &rss,
            &PageFaults(Whose::Thread),
            &PageFaults(Whose::Process),
            &ContextSwitches(Whose::Thread),
            &ContextSwitches(Whose::Process),
            &Wall::start(),
        ];
        let mut statuses = vec![cpu_status(cpu)];
        for counter in all {
            tracing::debug!(
                counter = counter.name(),
                unit = counter.unit(),
                first = counter.read(),
                "AppWeight: tried a counter"
            );
            statuses.push(counter.status());
        }
        Self {
            cpu,
            instructions,
            rss,
            statuses,
        }
    }

    /// Reads the calling thread's counters.
    pub(crate) fn read_thread(&self) -> Reading {
        Reading {
            cpu_ns: if self.cpu { sys::thread_cpu_ns() } else { None },
            instructions: self.instructions.read_thread(),
        }
    }

    /// The process's resident memory, bytes.
    pub(crate) fn rss_bytes(&self) -> Option<u64> {
        self.rss.read()
    }

    pub(crate) fn memory(&self) -> Option<Memory> {
        self.rss.memory()
    }

    /// How instructions are counted, the same in every thread.
    pub(crate) fn instruction_source(&self) -> InstructionSource {
        self.instructions.source()
    }

    /// One line per counter.
    pub(crate) fn statuses(&self) -> &[CounterStatus] {
        &self.statuses
    }

    /// All of them in one line, for the log.
    pub(crate) fn describe(&self) -> String {
        let lines: Vec<String> = self
            .statuses
            .iter()
            .map(
                |counter| match (&counter.read_by, &counter.absent_because) {
                    (Some(read_by), _) => format!("{} by {read_by}", counter.name),
                    (None, why) => format!(
                        "no {}: {}",
                        counter.name,
                        why.as_deref().unwrap_or("unknown")
                    ),
                },
            )
            .collect();
        lines.join("; ")
    }
}

fn cpu_status(there: bool) -> CounterStatus {
    CounterStatus {
        name: "cpu".to_owned(),
        read_by: there.then(|| "clock_gettime(CLOCK_THREAD_CPUTIME_ID)".to_owned()),
        absent_because: (!there).then(|| "the kernel has no CPU clock for threads".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counter_is_there_or_says_why_not() {
        let counters = Counters::probe();
        let names: Vec<&str> = counters
            .statuses()
            .iter()
            .map(|c| c.name.as_str())
            .collect();
        assert_eq!(
            names,
            [
                "cpu",
                "instructions",
                "rss",
                "page_faults",
                "process_page_faults",
                "context_switches",
                "process_context_switches",
                "wall"
            ]
        );
        for counter in counters.statuses() {
            let why = counter.absent_because.as_deref();
            assert_ne!(
                counter.read_by.is_some(),
                why.is_some_and(|why| !why.is_empty()),
                "{counter:?}"
            );
        }
        let reading = counters.read_thread();
        assert_eq!(reading.cpu_ns.is_some(), counters.cpu);
        assert_eq!(
            reading.instructions.is_some(),
            counters.instruction_source() != InstructionSource::None
        );
    }
}
