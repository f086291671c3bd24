//! Instructions of all threads of the process, ended ones too, counted by the CPU.
//!
//! An event belongs to one thread, and can be handed on to the threads that this one starts later. So one
//! is opened for each thread that there is at the agent's start, and the kernel does the rest.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;

use appweight_wire::InstructionSource;
use perf_event::Builder;
use perf_event::events::Hardware;

use super::absence::{Circumstances, explain};
use super::counter::Counter;
use super::descriptor;
use super::fork;
use super::group::Event;
use super::instructions::Instructions;
use crate::sys;

/// An event of all threads of the process that opened it.
#[derive(Debug)]
struct AllThreads {
    events: Vec<perf_event::Counter>,
    /// A forked child has the descriptors, but they count its parent.
    generation: u64,
}

/// Times that it is tried again because a thread began meanwhile.
const ATTEMPTS: usize = 5;

impl AllThreads {
    /// # Errors
    /// Why it cannot be counted, in a sentence.
    fn open(event: &Event) -> Result<Self, String> {
        for _ in 0..ATTEMPTS {
            let threads = threads();
            let mut events = Vec::with_capacity(threads.len());
            for &thread in &threads {
                match open(event, thread) {
                    Ok(event) => events.push(event),
                    // It has ended.
                    Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                    Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                        return Err(
                            "the kernel cannot hand events on to threads alone (Linux 5.13 does)"
                                .to_owned(),
                        );
                    }
                    Err(error) => return Err(explain(&error, Circumstances::look())),
                }
            }
            // Of a thread that began meanwhile nobody knows whether it was handed an event.
            if self::threads()
                .iter()
                .all(|thread| threads.contains(thread))
            {
                return Ok(Self {
                    events,
                    generation: fork::generation(),
                });
            }
        }
        Err("threads began all the time while the agent looked at them".to_owned())
    }

    /// The count, scaled up where the counter was shared with others.
    fn read(&self) -> Option<u64> {
        if self.generation != fork::generation() {
            return None;
        }
        let mut sum = 0_u64;
        for event in &self.events {
            let [count, enabled, running] = sys::read_perf_counter(event.as_raw_fd())?;
            // A thread that never ran has counted nothing in no time.
            let scaled = (u128::from(count) * u128::from(enabled))
                .checked_div(u128::from(running))
                .unwrap_or(0);
            sum = sum.saturating_add(u64::try_from(scaled).unwrap_or(u64::MAX));
        }
        Some(sum)
    }
}

fn open(event: &Event, thread: libc::pid_t) -> io::Result<perf_event::Counter> {
    let mut builder = Builder::new().kind(event.kind.clone()).observe_pid(thread);
    builder
        .exclude_kernel(!event.kernel)
        .inherit(true)
        .inherit_thread(true)
        .enabled(true);
    let counter = builder.build()?;
    descriptor::close_on_exec(counter.as_raw_fd());
    Ok(counter)
}

fn threads() -> Vec<libc::pid_t> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten();
    tasks
        .filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

/// Instructions of the process.
#[derive(Debug)]
pub(crate) struct ProcessInstructions {
    access: Result<String, String>,
    threads: Option<AllThreads>,
}

impl ProcessInstructions {
    /// Of the same kind as those of requests.
    pub(crate) fn open(of_requests: &Instructions) -> Self {
        let opened = match of_requests.source() {
            InstructionSource::HardwareAll => {
                AllThreads::open(&Event::user_and_kernel(Hardware::INSTRUCTIONS))
                    .map(|threads| (threads, "user and kernel"))
            }
            InstructionSource::HardwareUser => {
                AllThreads::open(&Event::user(Hardware::INSTRUCTIONS))
                    .map(|threads| (threads, "user only"))
            }
            _ => Err(of_requests
                .access()
                .err()
                .unwrap_or("not counted")
                .to_owned()),
        };
        match opened {
            Ok((threads, what)) => Self {
                access: Ok(format!("perf_event read, all threads, {what}")),
                threads: Some(threads),
            },
            Err(why) => Self {
                access: Err(why),
                threads: None,
            },
        }
    }
}

impl Counter for ProcessInstructions {
    fn name(&self) -> &'static str {
        "process_instructions"
    }

    fn unit(&self) -> &'static str {
        "instructions"
    }

    fn access(&self) -> Result<&str, &str> {
        self.access
            .as_ref()
            .map(String::as_str)
            .map_err(String::as_str)
    }

    fn read(&self) -> Option<u64> {
        self.threads.as_ref()?.read()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use perf_event::events::Software;

    use super::*;
    use crate::counters::fork::tests::holds_in_a_child;

    fn burn(ns: u64) {
        let end = sys::thread_cpu_ns().unwrap() + ns;
        while sys::thread_cpu_ns().unwrap() < end {}
    }

    /// CPU time, which the kernel counts without a unit, stands for instructions: the process's clock
    /// tells what must come out.
    #[test]
    fn what_threads_of_before_and_after_use_is_counted_once_and_a_child_s_not() {
        const EACH_NS: u64 = 30_000_000;
        // In a process of its own, where no other test starts threads.
        assert!(holds_in_a_child(|| {
            let barrier = Barrier::new(2);
            thread::scope(|scope| {
                scope.spawn(|| {
                    barrier.wait();
                    barrier.wait();
                    burn(EACH_NS);
                });
                barrier.wait();
                let all = match AllThreads::open(&Event::user(Software::TASK_CLOCK)) {
                    Ok(all) => all,
                    // No perf events here, which the status of the counters tells.
                    Err(why) => return why.contains("perf_event_open"),
                };
                let moment = || (all.read().unwrap(), sys::process_cpu_ns().unwrap());
                let before = moment();
                barrier.wait();
                scope.spawn(|| burn(EACH_NS)).join().unwrap();
                burn(EACH_NS);
                let child_is_blind = holds_in_a_child(|| {
                    burn(EACH_NS);
                    all.read().is_none()
                });
                // The thread of before may still run: read until it has had its time.
                while moment().1 - before.1 < 3 * EACH_NS {}
                let after = moment();
                let (counted, used) = (after.0 - before.0, after.1 - before.1);
                child_is_blind
                    && counted >= 3 * EACH_NS
                    && counted.abs_diff(used) <= used / 50
                    && used < 4 * EACH_NS
            })
        }));
    }
}
