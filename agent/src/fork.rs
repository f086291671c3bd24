//! Notices that this process is the child of a fork, in which only the thread that forked goes on.
#![expect(unsafe_code, reason = "pthread_atfork is a C call")]

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

/// How often this process and those before it were forked.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// A number that is another one in the child than in its parent.
#[inline]
pub(crate) fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// From now on forks are noticed.
pub(crate) fn watch() {
    static WATCHING: Once = Once::new();
    WATCHING.call_once(|| {
        // SAFETY: the handler is a function of this program, takes nothing, and does no more than
        // what is allowed between fork and exec: it adds to an atomic.
        let answer = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        if answer != 0 {
            tracing::warn!(
                "AppWeight: forks cannot be noticed ({}); start the agent after them",
                std::io::Error::from_raw_os_error(answer)
            );
        }
    });
}

extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}
