use std::io;

use crate::counters::{Circumstances, explain};

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
}
