//! What can be counted here, and why something cannot.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::os::fd::AsRawFd;

use appweight_wire::{CounterStatus, InstructionSource};
use perf_event::Counter;

use crate::fork;
use crate::rss::{Memory, Rss};
use crate::sys;

/// The counters of this process, as found once at the agent's start.
///
/// Requests, tasks and the process record all read through it.
#[derive(Debug)]
pub(crate) struct Counters {
    cpu: bool,
    instruction_source: InstructionSource,
    rss: Option<Rss>,
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
        let (instruction_source, instructions) = probe_instructions();
        let rss = Rss::open();
        let statuses = vec![
            status(
                "cpu",
                cpu.then_some("clock_gettime(CLOCK_THREAD_CPUTIME_ID)"),
                || "the kernel has no CPU clock for threads".to_owned(),
            ),
            instructions,
            status(
                "rss",
                rss.is_ok().then_some("/proc/self/statm"),
                || match &rss {
                    Err(error) => format!("/proc/self/statm cannot be read: {error}"),
                    Ok(_) => String::new(),
                },
            ),
        ];
        Self {
            cpu,
            instruction_source,
            rss: rss.ok(),
            statuses,
        }
    }

    /// Reads the calling thread's counters: a system call for each that there is.
    pub(crate) fn read_thread(&self) -> Reading {
        Reading {
            cpu_ns: if self.cpu { sys::thread_cpu_ns() } else { None },
            instructions: match self.instruction_source {
                InstructionSource::None | InstructionSource::Simulated => None,
                source => read_instructions(source),
            },
        }
    }

    /// The process's resident memory, bytes.
    pub(crate) fn rss_bytes(&self) -> Option<u64> {
        self.memory().map(|memory| memory.resident_bytes)
    }

    pub(crate) fn memory(&self) -> Option<Memory> {
        self.rss.as_ref().and_then(Rss::read)
    }

    /// How instructions are counted, the same in every thread.
    pub(crate) fn instruction_source(&self) -> InstructionSource {
        self.instruction_source
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

fn status(name: &str, read_by: Option<&str>, why: impl FnOnce() -> String) -> CounterStatus {
    CounterStatus {
        name: name.to_owned(),
        read_by: read_by.map(str::to_owned),
        absent_because: if read_by.is_some() { None } else { Some(why()) },
    }
}

fn probe_instructions() -> (InstructionSource, CounterStatus) {
    let mut refusal = None;
    for (source, read_by) in [
        (
            InstructionSource::HardwareAll,
            "perf_event read, user and kernel",
        ),
        (
            InstructionSource::HardwareUser,
            "perf_event read, user only",
        ),
    ] {
        match open_instructions(source) {
            Ok(counter) if sys::read_perf_counter(counter.as_raw_fd()).is_some() => {
                return (source, status("instructions", Some(read_by), String::new));
            }
            Ok(_) => refusal = Some("the counter opens but cannot be read".to_owned()),
            Err(error) => refusal = Some(explain(&error, &paranoid_level())),
        }
    }
    let why = refusal.unwrap_or_default();
    (
        InstructionSource::None,
        status("instructions", None, || why),
    )
}

fn open_instructions(source: InstructionSource) -> io::Result<Counter> {
    let mut builder = perf_event::Builder::new().kind(perf_event::events::Hardware::INSTRUCTIONS);
    builder.inherit(false);
    if source == InstructionSource::HardwareAll {
        builder.include_kernel();
    }
    let mut counter = builder.build()?;
    counter.enable()?;
    Ok(counter)
}

fn paranoid_level() -> Option<i32> {
    let text = fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").ok()?;
    text.trim().parse().ok()
}

/// A sentence that tells an operator what to do about a refused `perf_event_open`.
fn explain(error: &io::Error, paranoid: &Option<i32>) -> String {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::EOPNOTSUPP | libc::ENODEV) => {
            "this machine has no performance monitoring unit (usual in virtual machines)".to_owned()
        }
        Some(libc::ENOSYS) => "this kernel is built without perf events".to_owned(),
        Some(libc::EACCES | libc::EPERM) => match paranoid {
            Some(level @ 3..) => format!(
                "perf_event_open is not permitted: kernel.perf_event_paranoid is {level}, set it to 2 or lower or \
                 give the process CAP_PERFMON"
            ),
            Some(level) => format!(
                "perf_event_open is not permitted although kernel.perf_event_paranoid is {level}: a seccomp filter \
                 or security module (usual in containers) forbids it, allow the call or give CAP_PERFMON"
            ),
            None => "perf_event_open is not permitted and kernel.perf_event_paranoid cannot be read: a seccomp \
                     filter (usual in containers) or a missing CAP_PERFMON"
                .to_owned(),
        },
        Some(libc::EMFILE | libc::ENFILE) => {
            "no file descriptor is left for perf_event_open: raise the limit of open files".to_owned()
        }
        _ => format!("perf_event_open failed: {error}"),
    }
}

/// A thread's own counter, opened when the thread is first measured.
enum ThreadCounter {
    Unopened,
    /// With the [generation](fork::generation) that opened it: a child's copy counts its parent.
    Open(Counter, u64),
    Refused,
}

thread_local! {
    static INSTRUCTIONS: RefCell<ThreadCounter> = const { RefCell::new(ThreadCounter::Unopened) };
}

fn read_instructions(source: InstructionSource) -> Option<[u64; 3]> {
    INSTRUCTIONS
        .try_with(|slot| {
            let mut slot = slot.try_borrow_mut().ok()?;
            let generation = fork::generation();
            let unopened = match &*slot {
                ThreadCounter::Unopened => true,
                ThreadCounter::Open(_, opened_in) => *opened_in != generation,
                ThreadCounter::Refused => false,
            };
            if unopened {
                *slot = open_instructions(source).map_or(ThreadCounter::Refused, |counter| {
                    ThreadCounter::Open(counter, generation)
                });
            }
            match &*slot {
                ThreadCounter::Open(counter, _) => sys::read_perf_counter(counter.as_raw_fd()),
                ThreadCounter::Unopened | ThreadCounter::Refused => None,
            }
        })
        .ok()
        .flatten()
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
        assert_eq!(names, ["cpu", "instructions", "rss"]);
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

    #[test]
    fn a_refusal_names_what_an_operator_can_change() {
        let why = |errno, paranoid| explain(&io::Error::from_raw_os_error(errno), &paranoid);
        assert!(why(libc::ENOENT, Some(2)).contains("no performance monitoring unit"));
        assert!(why(libc::EOPNOTSUPP, None).contains("no performance monitoring unit"));
        assert!(why(libc::EACCES, Some(4)).contains("perf_event_paranoid is 4, set it to 2"));
        assert!(why(libc::EPERM, Some(1)).contains("seccomp"));
        assert!(why(libc::EPERM, None).contains("CAP_PERFMON"));
        assert!(why(libc::EMFILE, Some(2)).contains("file descriptor"));
        assert!(why(libc::EINVAL, Some(2)).contains("perf_event_open failed"));
    }

    #[test]
    fn a_perf_counter_is_read_as_three_numbers_that_grow() {
        // The kernel counts these without a performance monitoring unit.
        let kind = perf_event::events::Software::TASK_CLOCK;
        match perf_event::Builder::new().kind(kind).build() {
            Ok(mut counter) => {
                counter.enable().unwrap();
                let first = sys::read_perf_counter(counter.as_raw_fd()).unwrap();
                std::hint::black_box((0..100_000).map(std::hint::black_box).sum::<u64>());
                let second = sys::read_perf_counter(counter.as_raw_fd()).unwrap();
                assert!(
                    first
                        .iter()
                        .zip(second)
                        .all(|(first, second)| *first < second),
                    "{first:?} {second:?}"
                );
                assert!(second[2] <= second[1]);
            }
            Err(error) => assert!(explain(&error, &paranoid_level()).contains("perf_event")),
        }
        assert_eq!(sys::read_perf_counter(-1), None);
    }
}
