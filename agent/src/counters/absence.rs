//! Why perf events cannot be had, in a sentence that tells an operator what to change.

use std::fs;
use std::io;

/// What decides, beside the machine, whether this process may open perf events.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Circumstances {
    /// `kernel.perf_event_paranoid`.
    pub(crate) paranoid: Option<i32>,
    /// Whether the process has CAP_PERFMON, or CAP_SYS_ADMIN, which includes it.
    pub(crate) perfmon: Option<bool>,
    /// Whether a seccomp filter is in force.
    pub(crate) seccomp: Option<bool>,
}

/// What a failed `perf_event_open` is to be blamed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The machine has no performance monitoring unit.
    NoUnit,
    /// The kernel has no perf events.
    NotBuilt,
    /// The same, or a filter that says so.
    Hidden,
    /// It is not permitted.
    Refused,
    /// The process has as many files open as it may.
    OpenFiles,
    /// The system has.
    SystemFiles,
    /// Something else.
    Other,
}

impl Cause {
    /// Whether no thread of the process gets any event, whatever it asks for.
    pub(crate) fn is_of_all(self) -> bool {
        matches!(self, Self::Refused | Self::Hidden | Self::NotBuilt)
    }

    pub(crate) fn of(error: &io::Error, circumstances: Circumstances) -> Self {
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::EOPNOTSUPP | libc::ENODEV | libc::ENXIO) => Self::NoUnit,
            Some(libc::ENOSYS) if circumstances.seccomp == Some(true) => Self::Hidden,
            Some(libc::ENOSYS) => Self::NotBuilt,
            Some(libc::EACCES | libc::EPERM) => Self::Refused,
            Some(libc::EMFILE) => Self::OpenFiles,
            Some(libc::ENFILE) => Self::SystemFiles,
            _ => Self::Other,
        }
    }
}

impl Circumstances {
    pub(crate) fn look() -> Self {
        let paranoid = fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").ok();
        let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
        Self {
            paranoid: paranoid.and_then(|text| text.trim().parse().ok()),
            ..Self::of_status(&status)
        }
    }

    /// From the text of `/proc/thread-self/status`.
    fn of_status(status: &str) -> Self {
        const CAP_SYS_ADMIN: u64 = 1 << 21;
        const CAP_PERFMON: u64 = 1 << 38;
        const SECCOMP_MODE_FILTER: &str = "2";
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
        };
        let capabilities = field("CapEff").and_then(|text| u64::from_str_radix(text, 16).ok());
        Self {
            paranoid: None,
            perfmon: capabilities.map(|all| all & (CAP_PERFMON | CAP_SYS_ADMIN) != 0),
            seccomp: field("Seccomp").map(|mode| mode == SECCOMP_MODE_FILTER),
        }
    }
}

/// Says why `perf_event_open` failed.
pub(crate) fn explain(error: &io::Error, circumstances: Circumstances) -> String {
    match Cause::of(error, circumstances) {
        Cause::NoUnit => {
            "this machine has no performance monitoring unit (usual in virtual machines)".to_owned()
        }
        Cause::Hidden => {
            "perf_event_open is not there: a seccomp filter (usual in containers) hides it, or the kernel is built \
             without perf events"
                .to_owned()
        }
        Cause::NotBuilt => "this kernel is built without perf events".to_owned(),
        Cause::Refused => {
            format!("perf_event_open is not permitted: {}", refused(circumstances))
        }
        Cause::OpenFiles => {
            "no file descriptor is left for perf_event_open: raise the process's limit of open files (ulimit -n)"
                .to_owned()
        }
        Cause::SystemFiles => {
            "no file descriptor is left for perf_event_open: raise the system's limit of open files (fs.file-max)"
                .to_owned()
        }
        Cause::Other => format!("perf_event_open failed: {error}"),
    }
}

fn refused(circumstances: Circumstances) -> String {
    let Circumstances {
        paranoid,
        perfmon,
        seccomp,
    } = circumstances;
    let permitted = match (paranoid, perfmon) {
        (_, Some(true)) => "although the process has CAP_PERFMON or CAP_SYS_ADMIN".to_owned(),
        (Some(level @ 3..), _) => {
            let also = if seccomp == Some(true) {
                "; a seccomp filter is in force as well and must allow the call"
            } else {
                ""
            };
            return format!(
                "kernel.perf_event_paranoid is {level}, set it to 2 or lower or give the process CAP_PERFMON{also}"
            );
        }
        (Some(level), _) => format!("although kernel.perf_event_paranoid is {level}"),
        (None, _) => "and kernel.perf_event_paranoid cannot be read".to_owned(),
    };
    match seccomp {
        Some(true) => format!(
            "{permitted}, a seccomp filter (usual in containers) forbids it: let it allow perf_event_open"
        ),
        Some(false) => format!(
            "{permitted}, a security module or a user namespace forbids it: allow it there, or give CAP_PERFMON \
             outside of the namespace"
        ),
        None => format!(
            "{permitted}: a seccomp filter (usual in containers), a security module or a missing CAP_PERFMON"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::counter::Counter;
    use crate::counters::forced;
    use crate::counters::fork::tests::holds_in_a_child;
    use crate::counters::instructions::Instructions;

    const OPEN: Circumstances = Circumstances {
        paranoid: Some(2),
        perfmon: Some(false),
        seccomp: Some(false),
    };

    fn why(errno: i32, circumstances: Circumstances) -> String {
        explain(&io::Error::from_raw_os_error(errno), circumstances)
    }

    #[test]
    fn a_machine_or_kernel_that_cannot_count_is_named() {
        for errno in [libc::ENOENT, libc::EOPNOTSUPP, libc::ENODEV, libc::ENXIO] {
            assert!(why(errno, OPEN).contains("no performance monitoring unit"));
        }
        assert!(why(libc::ENOSYS, OPEN).contains("kernel is built without"));
        let filtered = Circumstances {
            seccomp: Some(true),
            ..OPEN
        };
        assert!(why(libc::ENOSYS, filtered).contains("seccomp"));
        assert!(why(libc::EMFILE, OPEN).contains("ulimit -n"));
        assert!(why(libc::ENFILE, OPEN).contains("fs.file-max"));
        assert!(why(libc::EINVAL, OPEN).contains("perf_event_open failed: Invalid argument"));
    }

    #[test]
    fn a_refusal_names_what_an_operator_can_change() {
        let paranoid = |level| Circumstances {
            paranoid: Some(level),
            ..OPEN
        };
        for errno in [libc::EACCES, libc::EPERM] {
            let text = why(errno, paranoid(4));
            assert!(
                text.contains("perf_event_paranoid is 4, set it to 2"),
                "{text}"
            );
            assert!(
                text.contains("CAP_PERFMON") && !text.contains("seccomp"),
                "{text}"
            );
        }
        let both = Circumstances {
            seccomp: Some(true),
            ..paranoid(3)
        };
        assert!(why(libc::EPERM, both).contains("seccomp filter is in force as well"));
        let filtered = Circumstances {
            seccomp: Some(true),
            ..paranoid(1)
        };
        assert!(
            why(libc::EPERM, filtered)
                .contains("paranoid is 1, a seccomp filter (usual in containers) forbids it")
        );
        let capable = Circumstances {
            perfmon: Some(true),
            ..both
        };
        assert!(why(libc::EPERM, capable).contains("has CAP_PERFMON"));
        assert!(why(libc::EACCES, paranoid(2)).contains("a security module"));
        let unknown = why(libc::EPERM, Circumstances::default());
        assert!(
            unknown.contains("cannot be read: a seccomp filter"),
            "{unknown}"
        );
    }

    #[test]
    fn the_process_s_status_tells_of_capabilities_and_seccomp() {
        let status = |capabilities: &str, seccomp: &str| {
            Circumstances::of_status(&format!(
                "Name:\tx\nCapPrm:\tffffffffffffffff\nCapEff:\t{capabilities}\nSeccomp:\t{seccomp}\nSeccomp_filters:\t2\n"
            ))
        };
        let none = status("0000000000000000", "0");
        assert_eq!((none.perfmon, none.seccomp), (Some(false), Some(false)));
        let docker = status("00000000a80425fb", "2");
        assert_eq!((docker.perfmon, docker.seccomp), (Some(false), Some(true)));
        assert_eq!(status("0000004000000000", "0").perfmon, Some(true));
        assert_eq!(status("0000000000200000", "0").perfmon, Some(true));
        let nothing = Circumstances::of_status("");
        assert_eq!((nothing.perfmon, nothing.seccomp), (None, None));
    }

    #[test]
    fn this_process_has_a_status() {
        let here = Circumstances::look();
        assert!(here.perfmon.is_some() && here.seccomp.is_some(), "{here:?}");
    }

    #[test]
    fn no_file_descriptor_left_is_said_and_harmless() {
        assert!(holds_in_a_child(|| {
            forced::no_open_files();
            why_no_instructions().contains("raise the process's limit of open files")
        }));
    }

    #[test]
    fn a_seccomp_filter_is_said_and_harmless() {
        for (errno, said) in [
            (
                libc::EPERM,
                "a seccomp filter (usual in containers) forbids it",
            ),
            (
                libc::ENOSYS,
                "a seccomp filter (usual in containers) hides it",
            ),
        ] {
            assert!(holds_in_a_child(|| {
                // A paranoid kernel would be named first.
                let paranoid = Circumstances::look()
                    .paranoid
                    .is_some_and(|level| level >= 3);
                forced::seccomp(errno);
                let why = why_no_instructions();
                why.contains(said) || (paranoid && why.contains("a seccomp filter is in force"))
            }));
        }
    }

    fn why_no_instructions() -> String {
        let instructions = Instructions::probe();
        assert_eq!(instructions.read_thread(), None);
        instructions.access().unwrap_err().to_owned()
    }
}
