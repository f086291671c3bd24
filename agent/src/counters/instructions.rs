//! Instructions of the calling thread, counted by the CPU.

use std::cell::RefCell;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use appweight_wire::InstructionSource;
use perf_event::events::Hardware;

use super::absence::{Cause, Circumstances, explain};
use super::cores;
use super::counter::Counter;
use super::fork;
use super::group::{Event, Group};
use super::register::{CONFIG1, INSTRUCTION};
use super::trial::{Trial, trial};

/// How instructions are counted and read, found once. Each thread has a counter of its own, opened
/// when it is first read there.
#[derive(Debug)]
pub(crate) struct Instructions {
    source: InstructionSource,
    /// Cleared if a reading was wrong.
    in_user_space: AtomicBool,
    /// Why not, as found at the start.
    not_in_user_space: Option<&'static str>,
    access: Result<Access, String>,
    /// What is to blame where there are none.
    cause: Cause,
}

/// How it is read in user space, and by the call that is left when that is given up.
#[derive(Debug)]
struct Access {
    in_user_space: String,
    by_call: String,
}

/// A way of reading the calling thread's counter, or why it is not there.
pub(crate) type Read<'a> = Result<Box<dyn Fn() -> Option<[u64; 3]> + 'a>, String>;

/// Readings of one thread in user space, of which one is compared with the system call.
const CHECK_ONE_IN: u32 = 1 << 16;
const DISAGREED: &str = "it disagreed with the system call";

impl Instructions {
    /// Tries what counts more first: with what the kernel does for the thread, then without.
    pub(crate) fn probe() -> Self {
        let mut why = String::new();
        let mut cause = Cause::Other;
        for source in [
            InstructionSource::HardwareAll,
            InstructionSource::HardwareUser,
        ] {
            match open(source) {
                Ok(group) if group.read().is_some() => return Self::found(source, &group),
                Ok(_) => why = "the counter opens but cannot be read".to_owned(),
                Err(error) => {
                    let circumstances = Circumstances::look();
                    cause = Cause::of(&error, circumstances);
                    why = explain(&error, circumstances);
                }
            }
        }
        Self {
            source: InstructionSource::None,
            in_user_space: AtomicBool::new(false),
            not_in_user_space: Some("they are not counted"),
            access: Err(why),
            cause,
        }
    }

    fn found(source: InstructionSource, group: &Group) -> Self {
        let alike = cores::alike();
        let found = if alike {
            trial(group, EVENT)
        } else {
            Trial::NotOffered
        };
        let not_in_user_space = match found {
            Trial::Agrees => None,
            Trial::NotOffered if alike => Some("the kernel does not offer it for this counter"),
            Trial::NotOffered => Some("the cores of this machine differ, and so do their counters"),
            Trial::Differs => Some("it reads wrongly here"),
        };
        if found == Trial::Differs {
            tracing::warn!(
                "AppWeight: {INSTRUCTION} reads instructions wrongly here and is not used"
            );
        }
        let what = match source {
            InstructionSource::HardwareAll => "user and kernel",
            _ => "user only",
        };
        let given_up = match found {
            Trial::Agrees => format!(" (no {INSTRUCTION} in user space: {DISAGREED})"),
            Trial::NotOffered | Trial::Differs => String::new(),
        };
        Self {
            source,
            in_user_space: AtomicBool::new(found == Trial::Agrees),
            not_in_user_space,
            access: Ok(Access {
                in_user_space: format!("{INSTRUCTION} in user space, {what}"),
                by_call: format!("perf_event read, {what}{given_up}"),
            }),
            cause: Cause::Other,
        }
    }

    /// The ways of reading the calling thread's counter, best first: what each is called, and how it is read or why
    /// it is not there.
    pub(crate) fn ways(&self) -> Vec<(String, Read<'_>)> {
        const CALL: &str = "perf_event read";
        if let Err(why) = &self.access {
            return vec![(CALL.to_owned(), Err(why.clone()))];
        }
        let in_user_space: Read<'_> = match self.not_in_user_space {
            None if self.in_user_space.load(Ordering::Relaxed) => {
                Ok(Box::new(|| self.read_thread()))
            }
            None => Err(DISAGREED.to_owned()),
            Some(why) => Err(why.to_owned()),
        };
        let by_call: Read<'_> = match open(self.source) {
            Ok(group) => Ok(Box::new(move || group.read()?.of(EVENT))),
            Err(error) => Err(explain(&error, Circumstances::look())),
        };
        vec![
            (format!("{INSTRUCTION} in user space"), in_user_space),
            (CALL.to_owned(), by_call),
        ]
    }

    /// What is to blame where they are not counted.
    pub(crate) fn cause(&self) -> Cause {
        self.cause
    }

    /// Whether the calling thread's counter is read without a system call.
    pub(crate) fn are_read_in_user_space(&self) -> bool {
        self.in_user_space.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn are_counted(&self) -> bool {
        self.source != InstructionSource::None
    }

    /// The same in every thread.
    pub(crate) fn source(&self) -> InstructionSource {
        self.source
    }

    /// Count, time enabled and time running of the calling thread's counter.
    pub(crate) fn read_thread(&self) -> Option<[u64; 3]> {
        if !self.are_counted() {
            return None;
        }
        THREAD
            .try_with(|thread| thread.try_borrow_mut().ok()?.read(self))
            .ok()
            .flatten()
    }

    fn give_user_space_up(&self) {
        if self.in_user_space.swap(false, Ordering::Relaxed) {
            tracing::warn!(
                "AppWeight: {INSTRUCTION} and the system call disagree; instructions are read by the call from now on"
            );
        }
    }
}

impl Counter for Instructions {
    fn name(&self) -> &'static str {
        "instructions"
    }

    fn unit(&self) -> &'static str {
        "instructions"
    }

    fn access(&self) -> Result<&str, &str> {
        match &self.access {
            Ok(access) if self.are_read_in_user_space() => Ok(&access.in_user_space),
            Ok(access) => Ok(&access.by_call),
            Err(why) => Err(why),
        }
    }

    /// Scaled up if the counter was shared with others.
    fn read(&self) -> Option<u64> {
        let [count, enabled, running] = self.read_thread()?;
        let scaled = u128::from(count) * u128::from(enabled);
        u64::try_from(scaled.checked_div(u128::from(running))?).ok()
    }
}

/// A thread's own counter.
struct ThreadCounter {
    /// That of the process that opened it; 0 before the first read.
    generation: u64,
    /// Absent if it was refused: tried once, as a refusal costs as much as an opening.
    group: Option<Group>,
    reads: u32,
}

thread_local! {
    static THREAD: RefCell<ThreadCounter> = const { RefCell::new(ThreadCounter::UNOPENED) };
}

impl ThreadCounter {
    const UNOPENED: Self = Self {
        generation: 0,
        group: None,
        reads: 0,
    };

    fn read(&mut self, instructions: &Instructions) -> Option<[u64; 3]> {
        self.open_once(|| open(instructions.source));
        self.read_compared(instructions, |group| trial(group, EVENT))
    }

    /// In user space as long as that compares well with the system call, now and then.
    fn read_compared(
        &mut self,
        instructions: &Instructions,
        compare: impl FnOnce(&Group) -> Trial,
    ) -> Option<[u64; 3]> {
        let group = self.group.as_ref()?;
        if instructions.in_user_space.load(Ordering::Relaxed) {
            let check = self.reads.is_multiple_of(CHECK_ONE_IN);
            self.reads = self.reads.wrapping_add(1);
            if check && compare(group) == Trial::Differs {
                instructions.give_user_space_up();
            } else if let Some(reading) = group.read_in_user_space(EVENT) {
                return Some(reading);
            }
        }
        group.read()?.of(EVENT)
    }

    /// Once per thread, and again in a forked child: the counter that it inherited counts its
    /// parent.
    fn open_once(&mut self, open: impl FnOnce() -> io::Result<Group>) {
        let generation = fork::generation();
        if self.generation != generation {
            *self = Self {
                generation,
                group: open().ok(),
                reads: 0,
            };
        }
    }
}

/// The group's only event.
const EVENT: usize = 0;

fn open(source: InstructionSource) -> io::Result<Group> {
    let event = match source {
        InstructionSource::HardwareAll => Event::user_and_kernel(Hardware::INSTRUCTIONS),
        _ => Event::user(Hardware::INSTRUCTIONS),
    };
    Group::open(&[event], CONFIG1)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use perf_event::events::Software;

    use super::*;
    use crate::counters::fork::tests::holds_in_a_child;

    #[test]
    fn they_are_there_or_say_why_not_and_are_read_accordingly() {
        let instructions = Instructions::probe();
        let there = instructions.source() != InstructionSource::None;
        assert_eq!(there, instructions.access().is_ok(), "{instructions:?}");
        let ways = instructions.ways();
        assert_eq!(ways.iter().any(|(_, read)| read.is_ok()), there);
        for (name, read) in ways {
            if let Ok(read) = read {
                assert!(read().is_some(), "{name}");
            }
        }
        assert!(instructions.access().is_ok_and(|how| !how.is_empty()) == there);
        assert!(instructions.access().is_err_and(|why| !why.is_empty()) != there);
        for _ in 0..2 {
            assert_eq!(instructions.read_thread().is_some(), there);
            assert_eq!(instructions.read().is_some(), there);
        }
        thread::scope(|scope| {
            scope.spawn(|| assert_eq!(instructions.read().is_some(), there));
        });
    }

    #[test]
    fn a_thread_opens_its_counter_once_and_a_forked_child_its_own() {
        // The CPU time that the kernel counts stands for instructions where there are none.
        let open = || Group::open(&[Event::user(Software::TASK_CLOCK)], &[0]);
        if open().is_err() {
            return; // No perf events here, which the status of the counters tells.
        }
        let mut opened = 0;
        let mut thread = ThreadCounter::UNOPENED;
        let mut count = |thread: &mut ThreadCounter| {
            thread.open_once(|| {
                opened += 1;
                open()
            });
            thread
                .group
                .as_ref()
                .unwrap()
                .read()
                .unwrap()
                .of(EVENT)
                .unwrap()[0]
        };
        count(&mut thread);
        while count(&mut thread) < 20_000_000 {}
        let ours = count(&mut thread);
        assert!(holds_in_a_child(|| {
            let first = count(&mut thread);
            let second = count(&mut thread);
            first < second && second < ours
        }));
        assert!(count(&mut thread) > ours);
        assert_eq!(opened, 1, "the child's is the child's");
    }

    #[test]
    fn a_thread_that_gets_no_counter_is_told_so_once() {
        let mut tried = 0;
        let mut thread = ThreadCounter::UNOPENED;
        let instructions = read_in_user_space();
        for _ in 0..2 {
            thread.open_once(|| {
                tried += 1;
                Err(io::Error::from_raw_os_error(libc::EMFILE))
            });
            assert_eq!(thread.read_compared(&instructions, |_| Trial::Agrees), None);
        }
        assert_eq!(tried, 1);
    }

    fn read_in_user_space() -> Instructions {
        Instructions {
            source: InstructionSource::HardwareUser,
            in_user_space: AtomicBool::new(true),
            not_in_user_space: None,
            access: Ok(Access {
                in_user_space: "in user space".to_owned(),
                by_call: "by the call".to_owned(),
            }),
            cause: Cause::Other,
        }
    }

    #[test]
    fn a_reading_that_differs_later_ends_reading_in_user_space() {
        let mut thread = ThreadCounter::UNOPENED;
        // The CPU time that the kernel counts stands for instructions, of which there are none on many machines.
        thread.open_once(|| Group::open(&[Event::user(Software::TASK_CLOCK)], &[0]));
        if thread.group.is_none() {
            return; // No perf events here, which the status of the counters tells.
        }
        let instructions = read_in_user_space();
        let mut compared = 0;
        for read in 0..=CHECK_ONE_IN {
            assert_eq!(instructions.access(), Ok("in user space"), "{read}");
            let count = thread.read_compared(&instructions, |_| {
                compared += 1;
                [Trial::Agrees, Trial::Differs][usize::from(read > 0)]
            });
            assert!(
                count.is_some(),
                "by the call, as this one cannot be read otherwise"
            );
        }
        assert_eq!(compared, 2);
        assert_eq!(
            instructions.access(),
            Ok("by the call"),
            "what is told is what is"
        );
        assert!(
            thread
                .read_compared(&instructions, |_| unreachable!())
                .is_some()
        );
    }
}
