//! What the kernel tells of a thread or a process through `getrusage`.
#![expect(unsafe_code, reason = "getrusage is a C call")]

use std::mem::MaybeUninit;

/// Whose numbers are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The calling thread's.
    Thread,
    /// Those of all threads of the process, ended ones too.
    Process,
}

impl Whose {
    pub(crate) fn read_by(self) -> &'static str {
        match self {
            Self::Thread => "getrusage(RUSAGE_THREAD)",
            Self::Process => "getrusage(RUSAGE_SELF)",
        }
    }
}

/// Counts since the thread or process began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rusage {
    pub(crate) page_faults: u64,
    pub(crate) context_switches: u64,
}

pub(crate) fn rusage(whose: Whose) -> Option<Rusage> {
    let who = match whose {
        Whose::Thread => libc::RUSAGE_THREAD,
        Whose::Process => libc::RUSAGE_SELF,
    };
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `usage` is valid for a write of an rusage, and nothing else is written.
    let answer = unsafe { libc::getrusage(who, usage.as_mut_ptr()) };
    if answer != 0 {
        return None;
    }
    // SAFETY: it is plain numbers, which were all zeroed before the kernel filled them in.
    let usage = unsafe { usage.assume_init() };
    Some(Rusage {
        page_faults: sum(usage.ru_minflt, usage.ru_majflt)?,
        context_switches: sum(usage.ru_nvcsw, usage.ru_nivcsw)?,
    })
}

fn sum(a: libc::c_long, b: libc::c_long) -> Option<u64> {
    u64::try_from(a.checked_add(b)?).ok()
}
