//! What can be counted here, and why something cannot.
//!
//! Each counter is a small type behind the trait `Counter`. What is read at the edges of each poll,
//! by [`Counters::read_thread`], is read directly.

mod absence;
mod allocations;
mod context_switches;
mod cores;
mod counter;
mod cpu;
mod descriptor;
#[cfg(test)]
pub(crate) mod forced;
mod fork;
mod group;
#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod hardware;
mod instructions;
#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod known_work;
mod page;
mod page_faults;
mod process_instructions;
mod register;
mod rss;
mod rusage;
mod trial;
mod wall;

pub(crate) use self::descriptor::close_on_exec;
#[cfg(test)]
pub(crate) use self::fork::tests::holds_in_a_child;

use appweight_wire::{CounterStatus, InstructionSource};

pub(crate) use self::absence::{Cause, Circumstances, explain};
use self::allocations::Allocations;
use self::context_switches::ContextSwitches;
pub(crate) use self::counter::Counter;
use self::cpu::Cpu;
use self::instructions::Instructions;
use self::page_faults::PageFaults;
use self::process_instructions::ProcessInstructions;
use self::rss::{Memory, Rss};
use self::rusage::{Rusage, Whose, rusage};
use self::wall::Wall;
use crate::allocator::{Allocated, allocated, allocations_are_counted};
use crate::clock::{CpuClock, Now, cpu_clock};

/// The counters of this process, as found once at the agent's start.
///
/// Requests, tasks and the process record all read through it.
#[derive(Debug)]
pub(crate) struct Counters {
    clock: &'static CpuClock,
    instructions: Instructions,
    process_instructions: ProcessInstructions,
    rss: Rss,
}

/// What not every process counts, as far as the calling thread has come. Two of them make a difference.
#[derive(Debug, Clone, Copy)]
pub(crate) struct More {
    /// What the thread has allocated.
    pub(crate) allocated: Option<Allocated>,
    /// Count, time enabled and time running of the thread's instruction counter.
    pub(crate) instructions: Option<[u64; 3]>,
}

impl Counters {
    /// Tries each counter once.
    pub(crate) fn probe() -> Self {
        let instructions = Instructions::probe();
        let counters = Self {
            clock: cpu_clock(),
            process_instructions: ProcessInstructions::open(&instructions),
            instructions,
            rss: Rss::open(),
        };
        counters.each(&mut |counter| {
            tracing::debug!(
                counter = counter.name(),
                unit = counter.unit(),
                first = counter.read(),
                "AppWeight: tried a counter"
            );
        });
        counters
    }

    /// Shows each counter, in the order of the process record.
    pub(crate) fn each(&self, look: &mut dyn FnMut(&dyn Counter)) {
        let all: [&dyn Counter; 10] = [
            &Cpu::of(self.clock),
            &Allocations,
            &self.instructions,
            &self.process_instructions,
            &self.rss,
            &PageFaults(Whose::Thread),
            &PageFaults(Whose::Process),
            &ContextSwitches(Whose::Thread),
            &ContextSwitches(Whose::Process),
            &Wall::start(),
        ];
        for counter in all {
            look(counter);
        }
    }

    pub(crate) fn instruction_counter(&self) -> &Instructions {
        &self.instructions
    }

    /// Whether reading is so cheap that every request can be counted.
    pub(crate) fn are_cheap(&self) -> bool {
        self.clock.way().is_cheap()
    }

    /// How often the cheap CPU clock was compared with the system call, and was too far from it.
    pub(crate) fn clock_checks(&self) -> (u64, u64) {
        self.clock.checks()
    }

    /// Reads the calling thread's clocks.
    #[inline]
    pub(crate) fn now(&self) -> Now {
        self.clock.now()
    }

    /// Whether the calling thread counts more than its clocks.
    #[inline]
    pub(crate) fn count_more(&self) -> bool {
        self.instructions.are_counted() || allocations_are_counted()
    }

    /// Reads what else the calling thread counts.
    pub(crate) fn read_more(&self) -> More {
        More {
            allocated: allocated(),
            instructions: self.instructions.read_thread(),
        }
    }

    /// Count, time enabled and time running of the calling thread's instruction counter.
    #[inline]
    pub(crate) fn instructions(&self) -> Option<[u64; 3]> {
        self.instructions.read_thread()
    }

    /// The monotonic clock, ns.
    #[inline]
    pub(crate) fn wall_ns(&self) -> u64 {
        self.clock.now().wall_ns
    }

    /// Instructions of all threads of the process.
    pub(crate) fn process_instructions(&self) -> Option<u64> {
        self.process_instructions.read()
    }

    /// The process's resident memory, bytes.
    pub(crate) fn rss_bytes(&self) -> Option<u64> {
        self.rss.read()
    }

    pub(crate) fn memory(&self) -> Option<Memory> {
        self.rss.memory()
    }

    /// What the kernel counts of the process since it began.
    pub(crate) fn process_rusage(&self) -> Option<Rusage> {
        rusage(Whose::Process)
    }

    /// How instructions are counted, the same in every thread.
    pub(crate) fn instruction_source(&self) -> InstructionSource {
        self.instructions.source()
    }

    /// One line per counter, as it is read now: a cheap way may have been given up.
    pub(crate) fn statuses(&self) -> Vec<CounterStatus> {
        let mut statuses = Vec::new();
        self.each(&mut |counter| statuses.push(counter.status()));
        statuses
    }

    /// All of them in one line, for the log.
    pub(crate) fn describe(&self) -> String {
        let lines: Vec<String> = self
            .statuses()
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

/// The calling thread's page faults.
pub(crate) fn thread_page_faults() -> Option<u64> {
    rusage(Whose::Thread).map(|usage| usage.page_faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counter_is_there_or_says_why_not() {
        let counters = Counters::probe();
        let statuses = counters.statuses();
        let names: Vec<&str> = statuses.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "cpu",
                "allocations",
                "instructions",
                "process_instructions",
                "rss",
                "page_faults",
                "process_page_faults",
                "context_switches",
                "process_context_switches",
                "wall"
            ]
        );
        for counter in &statuses {
            let why = counter.absent_because.as_deref();
            assert_ne!(
                counter.read_by.is_some(),
                why.is_some_and(|why| !why.is_empty()),
                "{counter:?}"
            );
        }
        assert!(counters.now().cpu_ns().is_some());
        assert_eq!(
            counters.read_more().instructions.is_some(),
            counters.instruction_source() != InstructionSource::None
        );
        assert_eq!(
            counters.process_instructions().is_some(),
            counters.instruction_source() != InstructionSource::None
        );
    }
}
