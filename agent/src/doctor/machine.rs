use serde::Serialize;

use crate::counters::Circumstances;
use crate::frames;
use crate::{machine, sys};

/// What decides what can be counted, as far as it can be looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// The CPU's model, as the kernel names it.
    pub cpu_model: String,
    /// The kernel's release.
    pub kernel: String,
    /// `x86_64`, `aarch64`, …
    pub architecture: String,
    /// The C library that this program uses: `glibc 2.36`, `musl`.
    pub c_library: String,
    /// `kernel.perf_event_paranoid`.
    pub perf_event_paranoid: Option<i32>,
    /// Whether the process has CAP_PERFMON, or CAP_SYS_ADMIN, which includes it.
    pub perfmon: Option<bool>,
    /// Whether a seccomp filter is in force.
    pub seccomp_filter: Option<bool>,
    /// Whether the kernel lets programs read counters without a system call.
    pub reads_in_user_space: Option<bool>,
    /// How many files the process may have open at once.
    pub open_files: Option<u64>,
    /// Whether this program keeps frame pointers.
    pub frame_pointers: Option<bool>,
}

/// 0 forbids it; there is no such file without a unit.
const RDPMC: &str = "/sys/bus/event_source/devices/cpu/rdpmc";
const USER_ACCESS: &str = "/proc/sys/kernel/perf_user_access";

impl Machine {
    pub(super) fn look() -> Self {
        let circumstances = Circumstances::look();
        let switch = if cfg!(target_arch = "x86_64") {
            RDPMC
        } else {
            USER_ACCESS
        };
        let permitted = std::fs::read_to_string(switch).ok();
        Self {
            cpu_model: machine::cpu_model(),
            kernel: machine::kernel(),
            architecture: std::env::consts::ARCH.to_owned(),
            c_library: sys::c_library(),
            perf_event_paranoid: circumstances.paranoid,
            perfmon: circumstances.perfmon,
            seccomp_filter: circumstances.seccomp,
            reads_in_user_space: permitted.map(|text| text.trim() != "0"),
            open_files: machine::open_files(),
            frame_pointers: frames::are_kept(),
        }
    }

    /// What permits reads without a system call, where the kernel forbids them.
    pub(super) fn user_reads(&self) -> Option<String> {
        if self.reads_in_user_space != Some(false) {
            return None;
        }
        match self.architecture.as_str() {
            "x86_64" => Some(format!("echo 1 > {RDPMC}")),
            "aarch64" => Some("sysctl kernel.perf_user_access=1".to_owned()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_names_itself() {
        let here = Machine::look();
        assert!(
            !here.kernel.is_empty() && !here.architecture.is_empty(),
            "{here:?}"
        );
        if cfg!(target_env = "gnu") {
            assert!(here.c_library.starts_with("glibc 2."), "{here:?}");
        }
    }
}
