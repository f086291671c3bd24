use std::io;

use crate::counters::{Cause, Circumstances, explain};

/// Why a thread cannot be sampled.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("{}", explain(.0, Circumstances::look()))]
    Event(io::Error),
    #[error("{}", explain_ring(.0))]
    Ring(io::Error),
    #[error("{0} threads are sampled already")]
    Threads(usize),
    #[error("the agent has ended")]
    Ended,
}

/// Why no request of this process can be sampled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Absence {
    pub(super) why: String,
    /// Whether that is because the process may not have perf events at all.
    pub(super) is_forbidden: bool,
}

impl From<Refusal> for Absence {
    fn from(refusal: Refusal) -> Self {
        let is_forbidden = match &refusal {
            Refusal::Event(error) => Cause::of(error, Circumstances::look()).is_of_all(),
            Refusal::Ring(_) | Refusal::Threads(_) | Refusal::Ended => false,
        };
        Self {
            why: refusal.to_string(),
            is_forbidden,
        }
    }
}

impl From<String> for Absence {
    fn from(why: String) -> Self {
        Self {
            why,
            is_forbidden: false,
        }
    }
}

fn explain_ring(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::ENOMEM | libc::EAGAIN) => {
            "no memory may be locked for another thread's samples: raise kernel.perf_event_mlock_kb or the process's limit of \
             locked memory (ulimit -l)"
                .to_owned()
        }
        _ => format!("the samples' memory cannot be mapped: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_says_what_an_operator_can_change() {
        let of = io::Error::from_raw_os_error;
        for (refusal, said) in [
            (Refusal::Event(of(libc::EMFILE)), "ulimit -n"),
            (Refusal::Event(of(libc::EPERM)), "not permitted"),
            (Refusal::Event(of(libc::EACCES)), "not permitted"),
            (
                Refusal::Event(of(libc::ENOENT)),
                "no performance monitoring unit",
            ),
            (Refusal::Ring(of(libc::EPERM)), "ulimit -l"),
            (Refusal::Ring(of(libc::EINVAL)), "cannot be mapped: Invalid"),
            (Refusal::Threads(64), "64 threads"),
            (Refusal::Ended, "has ended"),
        ] {
            assert!(refusal.to_string().contains(said), "{refusal}");
        }
    }

    #[test]
    fn events_are_forbidden_if_no_thread_gets_any() {
        let is_forbidden = |refusal| Absence::from(refusal).is_forbidden;
        for errno in [libc::EPERM, libc::EACCES, libc::ENOSYS] {
            let error = io::Error::from_raw_os_error(errno);
            assert!(is_forbidden(Refusal::Event(error)), "{errno}");
        }
        for errno in [libc::EMFILE, libc::ENOENT] {
            let error = io::Error::from_raw_os_error(errno);
            assert!(!is_forbidden(Refusal::Event(error)), "{errno}");
        }
        let error = io::Error::from_raw_os_error(libc::EPERM);
        assert!(!is_forbidden(Refusal::Ring(error)));
    }
}
