//! Events of one thread that are counted together and read with one system call.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use perf_event::Builder;
use perf_event::events;

use super::descriptor;
use super::page::Page;

/// What is to be counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) kind: events::Event,
    /// Also what the kernel does on the thread's behalf.
    pub(crate) kernel: bool,
}

impl Event {
    pub(crate) fn user(kind: impl Into<events::Event>) -> Self {
        Self {
            kind: kind.into(),
            kernel: false,
        }
    }

    pub(crate) fn user_and_kernel(kind: impl Into<events::Event>) -> Self {
        Self {
            kernel: true,
            ..Self::user(kind)
        }
    }
}

/// Events that a group has at most.
const EVENTS: usize = 4;
/// A read of a group gives how many there are, time enabled and time running, then count and id of
/// each; the group itself is an event that counts nothing.
const HEAD: usize = 3;
const NUMBERS: usize = HEAD + 2 * (1 + EVENTS);

/// Events of the thread that opened it. They count from then on, in that thread only.
#[derive(Debug)]
pub(crate) struct Group {
    leader: perf_event::Group,
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    counter: perf_event::Counter,
    page: Option<Page>,
}

/// What all events of a group had counted at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupReading {
    numbers: [u64; NUMBERS],
}

impl Group {
    /// Opens all of them, or none. `config1` are the values to try, in that order.
    pub(crate) fn open(wanted: &[Event], config1: &[u64]) -> io::Result<Self> {
        if wanted.len() > EVENTS {
            return Err(io::Error::other("too many events for one group"));
        }
        let mut leader = perf_event::Group::new()?;
        descriptor::close_on_exec(leader.as_raw_fd());
        let mut members = Vec::with_capacity(wanted.len());
        for event in wanted {
            let counter = open_event(&mut leader, event, config1)?;
            descriptor::close_on_exec(counter.as_raw_fd());
            members.push(Member {
                page: Page::map(counter.as_raw_fd()),
                counter,
            });
        }
        leader.enable()?;
        Ok(Self { leader, members })
    }

    /// Reads all of them by one system call.
    pub(crate) fn read(&self) -> Option<GroupReading> {
        let mut numbers = [0; NUMBERS];
        let read = descriptor::read_numbers(self.leader.as_raw_fd(), &mut numbers)?;
        let events = usize::try_from(numbers[0]).ok()?;
        (events == 1 + self.members.len() && read == HEAD + 2 * events)
            .then_some(GroupReading { numbers })
    }

    /// Reads one of them without a system call: count, time enabled and time running. Absent if
    /// that is not possible, here or at this moment.
    pub(crate) fn read_in_user_space(&self, event: usize) -> Option<[u64; 3]> {
        self.members.get(event)?.page.as_ref()?.read()
    }

    /// The descriptor of one event.
    pub(crate) fn descriptor(&self, event: usize) -> Option<RawFd> {
        self.members
            .get(event)
            .map(|member| member.counter.as_raw_fd())
    }
}

impl GroupReading {
    /// One event's count, time enabled and time running, in the order in which they were wanted.
    pub(crate) fn of(&self, event: usize) -> Option<[u64; 3]> {
        let [_, enabled, running, ..] = self.numbers;
        // The group itself comes first.
        let count = self.numbers.get(HEAD + 2 * (1 + event))?;
        Some([*count, enabled, running])
    }
}

fn open_event(
    group: &mut perf_event::Group,
    event: &Event,
    config1: &[u64],
) -> io::Result<perf_event::Counter> {
    let mut refusal = io::Error::other("no value of config1 to try");
    for &config1 in config1 {
        let mut builder = Builder::new().kind(event.kind.clone());
        builder.inherit(false).exclude_kernel(!event.kernel);
        builder.attrs_mut().config1 = config1;
        match builder.group(group).build() {
            Ok(counter) => return Ok(counter),
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use perf_event::events::Software;

    use super::*;

    /// The kernel counts these without a performance monitoring unit.
    fn clocks() -> Option<Group> {
        let clocks = [Software::TASK_CLOCK, Software::CPU_CLOCK];
        match Group::open(&clocks.map(Event::user), &[0]) {
            Ok(group) => Some(group),
            Err(error) => {
                let refused = [libc::EACCES, libc::EPERM, libc::ENOSYS];
                assert!(refused.contains(&error.raw_os_error().unwrap()), "{error}");
                None
            }
        }
    }

    #[test]
    fn counts_grow_and_are_of_one_moment() {
        let Some(group) = clocks() else { return };
        let first = group.read().unwrap();
        std::hint::black_box((0..100_000).map(std::hint::black_box).sum::<u64>());
        let second = group.read().unwrap();
        for event in [0, 1] {
            let (first, second) = (first.of(event).unwrap(), second.of(event).unwrap());
            assert!((0..3).all(|number| first[number] < second[number]));
            assert_eq!(second[1], second[2], "the kernel's own clocks always run");
        }
        assert_eq!(first.of(0).unwrap()[1..], first.of(1).unwrap()[1..]);
        assert_eq!(first.of(EVENTS), None);
        assert_eq!(group.descriptor(2), None);
        assert_eq!(group.read_in_user_space(0), None);
    }

    #[test]
    fn programs_that_are_started_do_not_inherit_it() {
        let Some(group) = clocks() else { return };
        for descriptor in [group.leader.as_raw_fd(), group.descriptor(1).unwrap()] {
            let info = fs::read_to_string(format!("/proc/self/fdinfo/{descriptor}")).unwrap();
            let flags = info
                .lines()
                .find_map(|line| line.strip_prefix("flags:"))
                .unwrap();
            let flags = i32::from_str_radix(flags.trim(), 8).unwrap();
            assert_ne!(flags & libc::O_CLOEXEC, 0, "{info}");
        }
    }

    #[test]
    fn too_many_events_are_refused() {
        let many = vec![Event::user(Software::TASK_CLOCK); EVENTS + 1];
        assert!(Group::open(&many, &[0]).is_err());
    }
}
