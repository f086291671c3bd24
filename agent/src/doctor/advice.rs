//! What an operator can change so that more is counted, or at less cost. Pure: it decides by what was found.

use serde::Serialize;

use super::Machine;
use crate::counters::Cause;

/// A change that would help.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// What is missing, and what the change gives.
    pub gain: String,
    /// What to do; a command where there is one.
    pub change: String,
}

/// What was found of the counters, beside their ways.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    /// Whether CPU time is read without a system call.
    pub(super) cpu_is_cheap: bool,
    /// Why there is no event page for the CPU clock, as far as perf events are to blame.
    pub(super) no_page: Option<Cause>,
    pub(super) instructions: Instructions,
    pub(super) allocations: bool,
}

/// How instructions were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Instructions {
    Absent(Cause),
    There {
        with_kernel: bool,
        in_user_space: bool,
    },
}

/// The first glibc that registers restartable sequences.
const GLIBC: (u32, u32) = (2, 35);
/// Each measured thread keeps some descriptors open while perf events are used.
const DESCRIPTORS_PER_THREAD: u64 = 4;
/// Threads that a busy service may well have.
const THREADS: u64 = 512;

pub(super) fn advice(found: Found, machine: &Machine) -> Vec<Advice> {
    let mut all = Vec::new();
    if !found.cpu_is_cheap {
        all.extend(cheaper_cpu(found, machine));
    }
    all.extend(instructions(found.instructions, machine));
    if !found.allocations {
        all.push(Advice {
            gain: "allocated bytes and allocations are not counted: with them a request's memory is told".to_owned(),
            change: "in the service: #[global_allocator] static ALLOCATOR: AppweightAlloc = AppweightAlloc::system();"
                .to_owned(),
        });
    }
    if machine.frame_pointers == Some(false) {
        all.push(Advice {
            gain: "this program keeps no frame pointers: with them profilers that sample see whole stacks".to_owned(),
            change: "build the service with RUSTFLAGS=\"-C force-frame-pointers=yes\"".to_owned(),
        });
    }
    let uses_perf_events = matches!(found.instructions, Instructions::There { .. });
    if let Some(limit) = machine.open_files
        && uses_perf_events
        && limit < THREADS * DESCRIPTORS_PER_THREAD
    {
        all.push(Advice {
            gain: format!(
                "{limit} files may be open at once, and each measured thread keeps up to {DESCRIPTORS_PER_THREAD} open: a \
                 thread that gets none counts no instructions"
            ),
            change: "raise the limit of open files: ulimit -n 65536, or LimitNOFILE=65536 in the service's unit".to_owned(),
        });
    }
    all
}

fn cheaper_cpu(found: Found, machine: &Machine) -> Vec<Advice> {
    const GAIN: &str = "CPU time costs a system call here, so that one request in K of busy endpoints is counted: \
                        without it every request is";
    let advise = |change: String| Advice {
        gain: GAIN.to_owned(),
        change,
    };
    let mut all = Vec::new();
    match glibc(&machine.c_library) {
        None => all.push(advise(format!(
            "build the service for glibc {}.{} or later (a target that ends in -gnu): {} registers no restartable sequences",
            GLIBC.0, GLIBC.1, machine.c_library
        ))),
        Some(version) if version < GLIBC => all.push(advise(format!(
            "run the service with glibc {}.{} or later (Debian 12, Ubuntu 22.04, RHEL 10): {} registers no restartable \
             sequences",
            GLIBC.0, GLIBC.1, machine.c_library
        ))),
        Some(_) => {}
    }
    all.extend(
        found
            .no_page
            .and_then(|cause| permit(cause, machine))
            .map(advise),
    );
    all
}

fn instructions(found: Instructions, machine: &Machine) -> Vec<Advice> {
    match found {
        Instructions::Absent(cause) => {
            let change = match cause {
                Cause::NoUnit => Some(
                    "run on a machine with a performance monitoring unit: bare metal, or a virtual machine that is given one \
                     (QEMU: -cpu host,pmu=on). Until then costs are told in CPU time, under its own name"
                        .to_owned(),
                ),
                cause => permit(cause, machine),
            };
            change
                .map(|change| Advice {
                    gain: "instructions are not counted: they repeat from run to run much better than CPU time does"
                        .to_owned(),
                    change,
                })
                .into_iter()
                .collect()
        }
        Instructions::There {
            with_kernel,
            in_user_space,
        } => {
            let mut all = Vec::new();
            if !in_user_space && let Some(change) = machine.user_reads() {
                all.push(Advice {
                    gain: "instructions are read by a system call: without it a poll costs some hundred ns less".to_owned(),
                    change,
                });
            }
            if !with_kernel {
                all.push(Advice {
                    gain: "what the kernel does for a request is not in its instructions: with it they are whole".to_owned(),
                    change: "sysctl kernel.perf_event_paranoid=1, or give the service CAP_PERFMON".to_owned(),
                });
            }
            all
        }
    }
}

/// What lets this process open perf events, where somebody can permit it.
fn permit(cause: Cause, machine: &Machine) -> Option<String> {
    let seccomp = "let the seccomp filter of the container allow perf_event_open (Docker: --security-opt seccomp=PROFILE)";
    match cause {
        Cause::NoUnit => None,
        Cause::NotBuilt => Some("run a kernel that is built with CONFIG_PERF_EVENTS".to_owned()),
        Cause::Hidden => Some(seccomp.to_owned()),
        Cause::Refused => Some(match (machine.perf_event_paranoid, machine.seccomp_filter) {
            (Some(level @ 3..), Some(true)) => format!(
                "sysctl kernel.perf_event_paranoid=2 (it is {level}), or give the service CAP_PERFMON; and {seccomp}"
            ),
            (Some(level @ 3..), _) => format!(
                "sysctl kernel.perf_event_paranoid=2 (it is {level}), or give the service CAP_PERFMON (systemd: \
                 AmbientCapabilities=CAP_PERFMON; Docker: --cap-add PERFMON)"
            ),
            (_, Some(true)) => seccomp.to_owned(),
            _ => "let the security module allow perf_event_open, or give the service CAP_PERFMON outside of its user namespace"
                .to_owned(),
        }),
        Cause::OpenFiles => {
            Some("raise the limit of open files: ulimit -n 65536, or LimitNOFILE=65536 in the service's unit".to_owned())
        }
        Cause::SystemFiles => Some("raise the system's limit of open files: sysctl fs.file-max".to_owned()),
        Cause::Other => None,
    }
}

/// The version in `glibc 2.36`.
fn glibc(c_library: &str) -> Option<(u32, u32)> {
    let (major, rest) = c_library.strip_prefix("glibc ")?.split_once('.')?;
    let minor = rest.split('.').next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine {
            cpu_model: "Fast CPU".to_owned(),
            kernel: "6.12.0".to_owned(),
            architecture: "x86_64".to_owned(),
            c_library: "glibc 2.36".to_owned(),
            perf_event_paranoid: Some(2),
            perfmon: Some(false),
            seccomp_filter: Some(false),
            reads_in_user_space: Some(true),
            open_files: Some(65_536),
            frame_pointers: Some(true),
        }
    }

    fn best() -> Found {
        Found {
            cpu_is_cheap: true,
            no_page: None,
            instructions: Instructions::There {
                with_kernel: true,
                in_user_space: true,
            },
            allocations: true,
        }
    }

    fn changes(found: Found, machine: &Machine) -> Vec<String> {
        advice(found, machine)
            .into_iter()
            .map(|advice| advice.change)
            .collect()
    }

    #[track_caller]
    fn assert_one(found: Found, machine: &Machine, words: &[&str]) {
        let changes = changes(found, machine);
        assert_eq!(changes.len(), 1, "{changes:?}");
        for word in words {
            assert!(changes[0].contains(word), "{word}: {changes:?}");
        }
    }

    #[test]
    fn where_all_is_there_nothing_is_to_be_changed() {
        assert_eq!(advice(best(), &machine()), []);
    }

    #[test]
    fn each_refusal_of_perf_events_has_its_own_remedy() {
        let absent = |cause| Found {
            instructions: Instructions::Absent(cause),
            ..best()
        };
        let paranoid = Machine {
            perf_event_paranoid: Some(4),
            ..machine()
        };
        let filtered = Machine {
            seccomp_filter: Some(true),
            ..machine()
        };
        let both = Machine {
            seccomp_filter: Some(true),
            ..paranoid.clone()
        };
        assert_one(absent(Cause::NoUnit), &machine(), &["bare metal", "pmu=on"]);
        assert_one(absent(Cause::NotBuilt), &machine(), &["CONFIG_PERF_EVENTS"]);
        assert_one(absent(Cause::Hidden), &filtered, &["seccomp"]);
        assert_one(
            absent(Cause::Refused),
            &paranoid,
            &["perf_event_paranoid=2 (it is 4)", "CAP_PERFMON"],
        );
        assert_one(absent(Cause::Refused), &filtered, &["seccomp"]);
        assert_one(
            absent(Cause::Refused),
            &both,
            &["perf_event_paranoid=2", "seccomp"],
        );
        assert_one(absent(Cause::Refused), &machine(), &["security module"]);
        assert_one(absent(Cause::OpenFiles), &machine(), &["ulimit -n"]);
        assert_one(absent(Cause::SystemFiles), &machine(), &["fs.file-max"]);
        assert_eq!(changes(absent(Cause::Other), &machine()), [""; 0]);
    }

    #[test]
    fn counters_that_are_there_can_be_had_more_cheaply_or_whole() {
        let there = |with_kernel, in_user_space| Found {
            instructions: Instructions::There {
                with_kernel,
                in_user_space,
            },
            ..best()
        };
        assert_one(there(false, true), &machine(), &["perf_event_paranoid=1"]);
        let forbidden = |architecture: &str| Machine {
            architecture: architecture.to_owned(),
            reads_in_user_space: Some(false),
            ..machine()
        };
        assert_one(
            there(true, false),
            &forbidden("aarch64"),
            &["kernel.perf_user_access=1"],
        );
        assert_one(
            there(true, false),
            &forbidden("x86_64"),
            &["/sys/bus/event_source/devices/cpu/rdpmc"],
        );
        // Where it is permitted, nobody can do more about it.
        assert_eq!(changes(there(true, false), &machine()), [""; 0]);
        let few = Machine {
            open_files: Some(1_024),
            ..machine()
        };
        assert_one(best(), &few, &["LimitNOFILE"]);
    }

    #[test]
    fn a_cpu_clock_without_system_calls_asks_for_glibc_or_for_perf_events() {
        let slow = |no_page| Found {
            cpu_is_cheap: false,
            no_page,
            ..best()
        };
        let with = |c_library: &str| Machine {
            c_library: c_library.to_owned(),
            ..machine()
        };
        assert_one(slow(None), &with("musl"), &["ends in -gnu", "musl"]);
        assert_one(
            slow(None),
            &with("glibc 2.31"),
            &["glibc 2.35 or later", "2.31"],
        );
        assert_eq!(changes(slow(None), &with("glibc 2.36")), [""; 0]);
        let paranoid = Machine {
            perf_event_paranoid: Some(3),
            ..with("musl")
        };
        assert_eq!(changes(slow(Some(Cause::Refused)), &paranoid).len(), 2);
    }

    #[test]
    fn allocator_and_frame_pointers_are_the_program_s_own() {
        let found = Found {
            allocations: false,
            ..best()
        };
        assert_one(found, &machine(), &["global_allocator"]);
        let without = Machine {
            frame_pointers: Some(false),
            ..machine()
        };
        assert_one(best(), &without, &["force-frame-pointers=yes"]);
    }
}
