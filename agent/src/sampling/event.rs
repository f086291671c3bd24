use std::io;
use std::os::fd::{AsRawFd, RawFd};

use perf_event::events::{self, Hardware, Software};
use perf_event::{Builder, Counter};

use super::record::Record;
use super::refusal::Refusal;
use super::ring::{DATA_BYTES, Ring};
use crate::counters::close_on_exec;

/// What is counted until the next sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Instructions in user mode, where the machine counts them.
    Instructions,
    /// Time on a CPU, ns. Of the time in the kernel no sample is taken.
    Cpu,
}

/// A unit, and how many of it there are between two samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    pub(crate) unit: Unit,
    pub(crate) period: u64,
}

/// How many instructions a second of a CPU is taken for, where a pace is told in samples per second: what services
/// reach. It is no measurement, and nothing is told by it.
const INSTRUCTIONS_PER_SECOND: u64 = 2_000_000_000;
const NS_PER_SECOND: u64 = 1_000_000_000;

impl Pace {
    /// About so many samples per second of a thread on a CPU.
    pub(crate) fn per_second(unit: Unit, samples: u32) -> Self {
        let whole = match unit {
            Unit::Instructions => INSTRUCTIONS_PER_SECOND,
            Unit::Cpu => NS_PER_SECOND,
        };
        // Odd, so that it does not keep step with a program's own round numbers.
        let period = (whole / u64::from(samples.max(1))) | 1;
        Self { unit, period }
    }

    fn event(self) -> events::Event {
        match self.unit {
            Unit::Instructions => Hardware::INSTRUCTIONS.into(),
            Unit::Cpu => Software::TASK_CLOCK.into(),
        }
    }
}

/// Frames of a stack that are kept: the kernel's own limit (`kernel.perf_event_max_stack`).
pub(super) const FRAMES: u16 = 127;
/// `PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_CALLCHAIN`, in the order in which they are written.
const SAMPLED: u64 = (1 << 1) | (1 << 2) | (1 << 5);

/// Takes stacks of the thread that opened it, while it is switched on.
#[derive(Debug)]
pub(super) struct Event {
    counter: Counter,
    ring: Ring,
}

impl Event {
    /// Opens one of the calling thread, switched off.
    pub(super) fn open(pace: Pace) -> Result<Self, Refusal> {
        let mut builder = Builder::new().kind(pace.event());
        builder
            .inherit(false)
            .exclude_kernel(true)
            .exclude_callchain_kernel(true)
            .sample_period(pace.period)
            .sample_max_stack(FRAMES)
            .wakeup_watermark(DATA_BYTES / 2);
        let attributes = builder.attrs_mut();
        attributes.sample_type = SAMPLED;
        attributes.set_use_clockid(1);
        attributes.clockid = libc::CLOCK_MONOTONIC;
        let counter = builder.build().map_err(Refusal::Event)?;
        close_on_exec(counter.as_raw_fd());
        Ok(Self {
            ring: Ring::map(counter.as_raw_fd()).map_err(Refusal::Ring)?,
            counter,
        })
    }

    /// The kernel goes on where it stopped: what is left of a period is kept.
    pub(super) fn switch_on(&mut self) -> io::Result<()> {
        self.counter.enable()
    }

    pub(super) fn switch_off(&mut self) -> io::Result<()> {
        self.counter.disable()
    }

    pub(super) fn drain(&mut self, each: impl FnMut(Record<'_>)) {
        self.ring.drain(each);
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.counter.as_raw_fd()
    }
}
