#![expect(
    unsafe_code,
    reason = "a seccomp filter is set by a system call that std does not offer"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// What a systemd unit lets its service ask of the kernel, for a child of a test: systemd itself sets such filters only
/// as the first process of a machine.
#[derive(Debug)]
pub struct SystemCalls {
    allowed: BTreeSet<u32>,
    /// What any other call comes to: an error, or the process's end.
    refusal: u32,
}

impl SystemCalls {
    /// By the lines `SystemCallFilter` and `SystemCallErrorNumber` of a unit. `Err` tells which tool is missing here that
    /// knows systemd's sets of calls, or the calls' numbers.
    ///
    /// # Errors
    /// If a tool is missing.
    ///
    /// # Panics
    /// If the unit has no filter, or names an error that is not known here.
    pub fn of_unit(unit: &str) -> Result<Self, String> {
        let sets = sets()?;
        let mut names = members(&sets, "@default");
        let without_filter = names.len();
        for line in values(unit, "SystemCallFilter=") {
            match line.strip_prefix('~') {
                Some(less) => {
                    for name in less.split_whitespace() {
                        let less = members(&sets, name);
                        names.retain(|name| !less.contains(name));
                    }
                }
                None => names.extend(
                    line.split_whitespace()
                        .flat_map(|name| members(&sets, name)),
                ),
            }
        }
        assert_ne!(names.len(), without_filter, "the unit has no filter");
        let numbers = numbers()?;
        let allowed = names.iter().filter_map(|name| numbers.get(name).copied());
        let error = values(unit, "SystemCallErrorNumber=").last();
        let refusal = match error {
            None => libc::SECCOMP_RET_KILL_PROCESS,
            Some("EPERM") => libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs(),
            Some(other) => panic!("{other} is not an error that is known here"),
        };
        Ok(Self {
            allowed: allowed.collect(),
            refusal,
        })
    }

    /// Holds a program to them, from its start on.
    pub fn limit(&self, command: &mut Command) {
        let steps = self.steps();
        // SAFETY: both calls are async-signal-safe, and the steps, which are made before the fork, outlive the call that
        // copies them.
        unsafe {
            command.pre_exec(move || {
                let program = libc::sock_fprog {
                    len: u16::try_from(steps.len()).map_err(io::Error::other)?,
                    filter: steps.as_ptr().cast_mut(),
                };
                if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                    && libc::prctl(
                        libc::PR_SET_SECCOMP,
                        libc::SECCOMP_MODE_FILTER,
                        &raw const program,
                    ) == 0
                {
                    Ok(())
                } else {
                    Err(io::Error::last_os_error())
                }
            });
        }
    }

    fn steps(&self) -> Vec<libc::sock_filter> {
        let step = |code: u32, jf: u8, k: u32| libc::sock_filter {
            code: u16::try_from(code).unwrap_or_default(),
            jt: 0,
            jf,
            k,
        };
        let answer = |k| step(libc::BPF_RET | libc::BPF_K, 0, k);
        // The number of the call comes first in what a filter is given.
        let mut steps = vec![step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0)];
        for number in &self.allowed {
            steps.push(step(
                libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
                1,
                *number,
            ));
            steps.push(answer(libc::SECCOMP_RET_ALLOW));
        }
        steps.push(answer(self.refusal));
        steps
    }
}

/// What stands behind that key, line by line.
fn values<'a>(unit: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    unit.lines().filter_map(move |line| line.strip_prefix(key))
}

/// The calls of a set and of the sets in it, or a call itself.
fn members(sets: &BTreeMap<String, Vec<String>>, name: &str) -> BTreeSet<String> {
    if !name.starts_with('@') {
        return BTreeSet::from([name.to_owned()]);
    }
    let members_of = sets.get(name).unwrap_or_else(|| panic!("{name} is no set"));
    members_of
        .iter()
        .flat_map(|name| members(sets, name))
        .collect()
}

/// Systemd's own sets of calls.
fn sets() -> Result<BTreeMap<String, Vec<String>>, String> {
    let told = output(Command::new("systemd-analyze").args(["--no-pager", "syscall-filter"]))?;
    let mut sets: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut set = None;
    for line in told.lines() {
        let name = line.trim();
        if name.is_empty() || name.starts_with('#') {
            continue;
        }
        if line.starts_with('@') {
            set = Some(sets.entry(name.to_owned()).or_default());
        } else if let Some(set) = &mut set {
            set.push(name.to_owned());
        }
    }
    Ok(sets)
}

/// The numbers that calls have on this kind of machine, by the headers of C.
fn numbers() -> Result<BTreeMap<String, u32>, String> {
    let mut compiler = Command::new("cc");
    let defined = output(compiler.args(["-include", "sys/syscall.h", "-E", "-dM", "-xc", "-"]))?;
    let number = |line: &str| {
        let (name, number) = line.strip_prefix("#define __NR_")?.split_once(' ')?;
        Some((name.to_owned(), number.parse().ok()?))
    };
    Ok(defined.lines().filter_map(number).collect())
}

fn output(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{command:?} does not run: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{command:?} ends with {}", output.status))
    }
}
