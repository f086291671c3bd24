//! What the machine says of itself: texts of the kernel, read once.

use std::fs;

use crate::names::clean;

/// The CPU's model, as the kernel names it; empty if it does not.
pub(crate) fn cpu_model() -> String {
    model_in(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default())
}

/// The kernel's release; empty if it cannot be read.
pub(crate) fn kernel() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release.trim().to_owned()
}

/// How many files the process may have open at once; `None` without a limit, or if it is not known.
pub(crate) fn open_files() -> Option<u64> {
    open_files_in(&fs::read_to_string("/proc/self/limits").ok()?)
}

/// The first model named: a machine with several kinds of cores is named by one of them.
fn model_in(cpuinfo: &str) -> String {
    let value = |wanted: &str| {
        cpuinfo.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            (name.trim() == wanted).then(|| value.trim())
        })
    };
    let model = match (
        value("model name"),
        value("CPU implementer"),
        value("CPU part"),
    ) {
        (Some(model), ..) => model.to_owned(),
        // Arm's kernels give numbers only.
        (None, Some(implementer), Some(part)) => format!("implementer {implementer} part {part}"),
        _ => String::new(),
    };
    clean(&model).into_owned()
}

fn open_files_in(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|l| l.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_is_named_on_both_architectures() {
        assert_eq!(
            model_in("processor\t: 0\nmodel name\t: Fast CPU @ 3 GHz\n"),
            "Fast CPU @ 3 GHz"
        );
        assert_eq!(
            model_in("CPU implementer\t: 0x41\nCPU part\t: 0xd0c\n"),
            "implementer 0x41 part 0xd0c"
        );
        assert_eq!(model_in(""), "");
    }

    #[test]
    fn the_limit_in_force_is_told_and_none_is_none() {
        let limits = |soft: &str| {
            format!(
                "Limit                     Soft Limit           Hard Limit           Units     \n\
                 Max processes             7                    7                    processes \n\
                 Max open files            {soft}                 524288               files     \n"
            )
        };
        assert_eq!(open_files_in(&limits("1024")), Some(1_024));
        assert_eq!(open_files_in(&limits("unlimited")), None);
        assert_eq!(open_files_in(""), None);
        assert!(!kernel().is_empty());
    }
}
