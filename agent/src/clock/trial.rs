//! Whether a witness can be believed on this machine, found out before it is.

#![expect(unsafe_code, reason = "the thread is kept on one CPU by a system call")]

use std::thread;
use std::time::{Duration, Instant};

use super::stretch::Stretch;
use super::ticks::Scale;
use super::{Arm, Now, TOLERANCE_NS, TOLERANCE_PART, Way, page, rseq};
use crate::counters::{Circumstances, explain};
use crate::sys;

/// Long enough that the thread is really put to sleep.
const NAP: Duration = Duration::from_micros(200);
const NAPS: usize = 5;
/// A thread that does nothing special is undisturbed for so long at least once in so many tries.
const CALM: Duration = Duration::from_micros(20);
const TRIES: usize = 50;
/// Ticks and system call are compared over this time,
const COMPARED: Duration = Duration::from_millis(1);
/// for so long without a switch, in which ticks that are out of pace by a fifth are seen to be,
const LONG_NS: u64 = 200_000;
/// and so often at most.
const COMPARISONS: usize = 20;

/// Tries the way in a thread of its own.
///
/// # Errors
/// Why it cannot be used, in words.
pub(super) fn of(way: Way, scale: Scale) -> Result<(), String> {
    let trial = thread::Builder::new()
        .name("appweight-trial".into())
        .spawn(move || {
            match way {
                Way::Rseq => rseq::find()?,
                Way::Page | Way::SystemCall => {}
            }
            stay_on_this_cpu()
                .map_err(|error| format!("the trial cannot be kept on one CPU: {error}"))?;
            let nap = || thread::sleep(NAP);
            match way {
                Way::Rseq => rseq::with_thread(|stretch, area| try_out(area, stretch, scale, nap)),
                Way::Page => {
                    let page = page::Page::open()
                        .map_err(|error| explain(&error, Circumstances::look()))?;
                    try_out(&page, &Stretch::over(), scale, nap)
                }
                Way::SystemCall => Ok(()),
            }
        });
    match trial.map(thread::JoinHandle::join) {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err("the trial broke off".to_owned()),
        Err(error) => Err(format!("the system gives no thread for the trial: {error}")),
    }
}

fn try_out(
    witness: &impl Arm,
    stretch: &Stretch,
    scale: Scale,
    nap: impl Fn(),
) -> Result<(), String> {
    let stays = (0..TRIES).any(|_| {
        witness.arm();
        spin(CALM);
        witness.is_armed()
    });
    if !stays {
        return Err("it tells of switches where there are none".to_owned());
    }
    // On one CPU a sleep is a switch inside a system call, and nothing else.
    for _ in 0..NAPS {
        witness.arm();
        nap();
        if witness.is_armed() {
            return Err(
                "the kernel does not tell of switches inside system calls (Linux 6.19 and later)"
                    .to_owned(),
            );
        }
    }
    agree(|| compare(witness, stretch, scale))
}

/// Ticks that keep pace agree unless the CPU is taken from the thread by somebody it cannot see, a hypervisor or an
/// interrupt: then they are compared again. Those that are out of pace never agree.
fn agree(compare: impl FnMut() -> Result<Apart, String>) -> Result<(), String> {
    let mut least = None;
    for apart in std::iter::repeat_with(compare).take(COMPARISONS) {
        match apart? {
            Apart::Never => return Ok(()),
            Apart::ByNs(ns) => least = Some(ns.min(least.unwrap_or(u64::MAX))),
            Apart::Unknown => {}
        }
    }
    Err(match least {
        Some(ns) => format!(
            "ticks and system call are {ns} ns apart, or more, in each of {COMPARISONS} comparisons"
        ),
        None => {
            "a thread never runs long enough for ticks and system call to be compared".to_owned()
        }
    })
}

/// How far ticks and system call are apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Apart {
    /// As little as they may be, all the time.
    Never,
    /// So much at some moment.
    ByNs(u64),
    /// The thread was switched out before that could be seen.
    Unknown,
}

fn compare(witness: &impl Arm, stretch: &Stretch, scale: Scale) -> Result<Apart, String> {
    const NO_CLOCK: &str = "the kernel has no CPU clock for threads";
    let compared_ns = u64::try_from(COMPARED.as_nanos()).unwrap_or(u64::MAX);
    let max = scale.ticks(compared_ns);
    let tolerance = TOLERANCE_NS + compared_ns / TOLERANCE_PART;
    let start = Instant::now();
    let mut longest_ns = 0;
    stretch.begin(witness, scale).ok_or(NO_CLOCK)?;
    while start.elapsed() < COMPARED {
        let Some(cheap) = stretch.read(witness, scale, max).and_then(Now::cpu_ns) else {
            stretch.begin(witness, scale).ok_or(NO_CLOCK)?;
            continue;
        };
        let age_ns = stretch.age_ns(scale);
        let asked = sys::thread_cpu_ns().ok_or(NO_CLOCK)?;
        let apart = asked.abs_diff(cheap);
        if witness.is_armed() {
            if apart > tolerance {
                return Ok(Apart::ByNs(apart));
            }
            longest_ns = longest_ns.max(age_ns);
        }
    }
    Ok(if longest_ns >= LONG_NS {
        Apart::Never
    } else {
        Apart::Unknown
    })
}

fn spin(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// The trial's thread ends soon, so the binding need not be taken back.
fn stay_on_this_cpu() -> std::io::Result<()> {
    // SAFETY: getcpu takes no arguments; the set is a plain bit field that is filled before use.
    let bound = unsafe {
        let cpu =
            usize::try_from(libc::sched_getcpu()).map_err(|_| std::io::Error::last_os_error())?;
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if cpu >= usize::try_from(libc::CPU_SETSIZE).unwrap_or(0) {
            return Err(std::io::Error::other(format!(
                "CPU {cpu} is beyond the set"
            )));
        }
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    if bound == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::clock::Witness;

    /// What a kernel could be like.
    #[derive(Default)]
    struct Kernel {
        armed: Cell<bool>,
        always_tells: bool,
    }

    impl Arm for Kernel {
        fn arm(&self) {
            self.armed.set(!self.always_tells);
        }
    }

    impl Witness for Kernel {
        fn is_armed(&self) -> bool {
            self.armed.get()
        }
    }

    fn try_kernel(kernel: &Kernel, nap: impl Fn()) -> Result<(), String> {
        try_out(kernel, &Stretch::over(), Scale::measure().unwrap(), nap)
    }

    #[test]
    fn a_kernel_that_tells_of_every_switch_is_believed() {
        let kernel = Kernel::default();
        // The fake does not see the real switches of a busy machine; some try is free of them.
        let believed = (0..20).any(|_| try_kernel(&kernel, || kernel.armed.set(false)) == Ok(()));
        assert!(believed);
    }

    #[test]
    fn a_kernel_that_misses_switches_inside_system_calls_is_not() {
        let why = try_kernel(&Kernel::default(), || ()).unwrap_err();
        assert!(why.contains("inside system calls"), "{why}");
        let seen = Cell::new(0);
        let kernel = Kernel::default();
        let why = try_kernel(&kernel, || {
            seen.set(seen.get() + 1);
            kernel.armed.set(seen.get() == NAPS);
        });
        assert!(why.is_err(), "one missed is enough");
    }

    #[test]
    fn ticks_that_were_once_apart_are_compared_again() {
        let mut seen = 0;
        let once = agree(|| {
            seen += 1;
            Ok(match seen {
                COMPARISONS => Apart::Never,
                1 => Apart::Unknown,
                _ => Apart::ByNs(70_000),
            })
        });
        assert_eq!((once, seen), (Ok(()), COMPARISONS));
        let mut apart = 90_000;
        let why = agree(|| {
            apart -= 1_000;
            Ok(Apart::ByNs(apart))
        });
        assert!(why.unwrap_err().contains("70000 ns"));
        let why = agree(|| Ok(Apart::Unknown)).unwrap_err();
        assert!(why.contains("never runs long enough"), "{why}");
        assert!(agree(|| Err("gone".to_owned())).is_err());
    }

    #[test]
    fn ticks_out_of_pace_are_never_believed() {
        let Ok(scale) = Scale::measure() else { return };
        for _ in 0..3 {
            let kernel = Kernel::default();
            let why = try_out(&kernel, &Stretch::over(), scale.times(2), || {
                kernel.armed.set(false);
            });
            let why = why.unwrap_err();
            assert!(why.contains("apart"), "{why}");
        }
    }

    #[test]
    fn a_witness_that_never_stays_armed_is_of_no_use() {
        let kernel = Kernel {
            always_tells: true,
            ..Kernel::default()
        };
        let why = try_kernel(&kernel, || ()).unwrap_err();
        assert!(why.contains("where there are none"), "{why}");
    }
}
