use std::hint::black_box;

use super::event::{Event, Pace, Unit};
use super::record::Record;
use super::refusal::Absence;
use super::stacks_are_whole;
use crate::frames::deep;
use crate::sys;

/// How the stacks of this process are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) pace: Pace,
    /// Why not by instructions.
    pub(crate) no_instructions: Option<String>,
}

impl std::fmt::Display for Found {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let period = self.pace.period;
        match self.pace.unit {
            Unit::Instructions => write!(
                formatter,
                "perf events, each {period} instructions in user mode"
            ),
            Unit::Cpu => write!(
                formatter,
                "perf events, each {period} ns on a CPU that end in user mode (not by instructions: {})",
                self.no_instructions.as_deref().unwrap_or("unknown")
            ),
        }
    }
}

/// Calls that are made to see whether the kernel finds them again.
const CALLS: usize = 8;
/// A sample may fall on the instructions that begin or end a function, where no stack is whole.
const CHANCES: usize = 5;
/// A sample each: a tenth of the CPU's time for the samples, for some milliseconds.
const PERIOD_NS: u64 = 200_000;
const PERIOD_INSTRUCTIONS: u64 = 200_000;
/// When no sample comes.
const PATIENCE_NS: u64 = 100_000_000;

/// Takes some samples of the calling thread. Costs a few milliseconds of a CPU, 200 at most.
pub(super) fn trial(per_second: u32) -> Result<Found, Absence> {
    let no_instructions = match tried(Unit::Instructions, PERIOD_INSTRUCTIONS) {
        Ok(()) => {
            return Ok(Found {
                pace: Pace::per_second(Unit::Instructions, per_second),
                no_instructions: None,
            });
        }
        Err(absence) => absence.why,
    };
    tried(Unit::Cpu, PERIOD_NS)?;
    Ok(Found {
        pace: Pace::per_second(Unit::Cpu, per_second),
        no_instructions: Some(no_instructions),
    })
}

fn tried(unit: Unit, period: u64) -> Result<(), Absence> {
    let mut event = Event::open(Pace { unit, period })?;
    // Whether the program's stacks can be walked at all, by whomsoever.
    stacks_are_whole()?;
    event
        .switch_on()
        .map_err(|error| format!("an event cannot be switched on: {error}"))?;
    let mut seen = Seen::default();
    let until_ns = sys::monotonic_ns() + PATIENCE_NS;
    while seen.samples < CHANCES && !seen.whole && sys::monotonic_ns() < until_ns {
        deep(CALLS, &mut busy);
        event.drain(|record| seen.look(&record));
    }
    match seen {
        Seen { whole: true, .. } => Ok(()),
        Seen { samples: 0, .. } => Err("no sample comes, though the kernel takes the event"
            .to_owned()
            .into()),
        Seen { .. } => Err(
            "the kernel cuts stacks short: raise kernel.perf_event_max_stack (127)"
                .to_owned()
                .into(),
        ),
    }
}

#[derive(Debug, Default)]
struct Seen {
    samples: usize,
    whole: bool,
}

impl Seen {
    fn look(&mut self, record: &Record<'_>) {
        let Record::Sample(sample) = record else {
            return;
        };
        self.samples += 1;
        // Each of the calls goes on at the same place in its caller, and behind them there is more.
        let addresses: Vec<u64> = sample.addresses().collect();
        let mut runs = addresses.chunk_by(|a, b| a == b);
        let found = runs.by_ref().any(|run| run.len() >= CALLS - 1);
        self.whole |= found && runs.next().is_some();
    }
}

fn busy() -> u64 {
    (0..20_000_u64).map(black_box).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::{forced, holds_in_a_child};

    #[test]
    fn a_refusal_says_why() {
        assert!(holds_in_a_child(|| {
            forced::no_open_files();
            trial(1_000)
                .is_err_and(|absence| absence.why.contains("ulimit -n") && !absence.is_forbidden)
        }));
        for errno in [libc::EPERM, libc::EACCES, libc::ENOSYS] {
            assert!(holds_in_a_child(|| {
                forced::seccomp(errno);
                trial(1_000).is_err_and(|absence| {
                    absence.why.contains("seccomp filter") && absence.is_forbidden
                })
            }));
        }
    }

    #[test]
    fn whole_stacks_are_told_from_those_that_are_cut_short() {
        let sample = |addresses: &[u64]| {
            let mut words = vec![9, 1, 1, addresses.len() as u64 + 1, -512_i64 as u64];
            words.extend(addresses);
            let mut seen = Seen::default();
            seen.look(&super::super::record::parse(&words).unwrap());
            (seen.samples, seen.whole)
        };
        let calls = [7; CALLS];
        assert_eq!(sample(&[&[1], &calls[..], &[2, 3]].concat()), (1, true));
        assert_eq!(sample(&[&[1, 2], &calls[1..], &[3]].concat()), (1, true));
        assert_eq!(sample(&[&[1], &calls[..]].concat()), (1, false));
        assert_eq!(sample(&[&[1], &calls[2..], &[2, 3]].concat()), (1, false));
        assert_eq!(sample(&[1, 2]), (1, false));
    }
}
