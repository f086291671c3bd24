//! Stacks of the whole process by a signal (`SIGPROF`), for where perf events are forbidden: they belong to no request,
//! and say so.
//!
//! The handler calls nothing that locks or allocates, whatever it interrupts: it asks the kernel for each frame's two words, so
//! that a pointer that leads nowhere is an error and no crash, and counts the stack in a table without locks. The `pprof`
//! crate, whose handler looks each function up and leaves out the one that was interrupted, was not taken.

mod handler;
mod memory;

use std::sync::OnceLock;

use self::handler::Timer;
use super::allocations::{Snapshots, Table};

/// Made when samples are first taken, and kept: a signal belongs to the process, not to an agent.
static STACKS: OnceLock<Table> = OnceLock::new();

/// Samples of the whole process, until it is dropped.
#[derive(Debug)]
pub(super) struct Process {
    period_us: u32,
    snapshots: Snapshots,
    _timer: Timer,
}

/// What was seen in one chain of calls since the last time.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Where it was, then where each caller goes on.
    pub(crate) frames: Vec<u64>,
    pub(crate) samples: u64,
}

impl Process {
    /// Takes about so many samples per second of CPU, of all threads together.
    pub(super) fn begin(per_second: u32) -> Result<Self, String> {
        let period_us = 1_000_000 / per_second.max(1);
        super::stacks_are_whole()?;
        memory::try_it().map_err(|error| {
            format!("process_vm_readv of the process itself is not permitted ({error}): let the seccomp filter allow it")
        })?;
        let timer = Timer::start(period_us)?;
        Ok(Self {
            period_us,
            snapshots: Snapshots::from_now(STACKS.get_or_init(Table::new)),
            _timer: timer,
        })
    }

    /// What a sample stands for, ns of a CPU.
    pub(super) fn period_ns(&self) -> u64 {
        u64::from(self.period_us) * 1_000
    }

    /// What was seen since the last time.
    pub(super) fn take(&mut self) -> Vec<Seen> {
        let Some(stacks) = STACKS.get() else {
            return Vec::new();
        };
        let seen = self.snapshots.since_last(stacks);
        seen.map(|(frames, _, sums)| Seen {
            frames,
            samples: sums.samples,
        })
        .collect()
    }
}

#[cfg(test)]
mod tests;
