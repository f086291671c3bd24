use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Wakes the agent's threads for the shutdown, and tells when they are done.
#[derive(Debug)]
pub(crate) struct Stop {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Until when batches are sent; set by the shutdown.
    send_until: Option<Instant>,
    /// Somebody waits for what is counted to be fetched.
    fetch_soon: bool,
    /// Nothing is sent any more, or what is left is kept on disk.
    ended: bool,
}

impl Stop {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for the end. The first call decides until when batches are sent.
    pub(crate) fn ask(&self, send_until: Instant) {
        self.lock().send_until.get_or_insert(send_until);
        self.changed.notify_all();
    }

    /// Until when batches are sent, if the end was asked for.
    pub(crate) fn send_until(&self) -> Option<Instant> {
        self.lock().send_until
    }

    pub(crate) fn mark_ended(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// Does not let the thread that fetches sleep on.
    pub(crate) fn ask_to_fetch(&self) {
        self.lock().fetch_soon = true;
        self.changed.notify_all();
    }

    /// As [`Self::sleep`], for the thread that fetches.
    pub(crate) fn sleep_unless_asked(&self, duration: Duration) -> bool {
        let state = self.lock();
        let (mut state, _) = self
            .changed
            .wait_timeout_while(state, duration, |state| {
                state.send_until.is_none() && !state.fetch_soon
            })
            .unwrap_or_else(PoisonError::into_inner);
        state.fetch_soon = false;
        state.send_until.is_some()
    }

    /// Sleeps until the end is asked for, at most that long. Says whether it was.
    pub(crate) fn sleep(&self, duration: Duration) -> bool {
        let state = self.lock();
        let (state, _) = self
            .changed
            .wait_timeout_while(state, duration, |state| state.send_until.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        state.send_until.is_some()
    }

    /// Waits for the end, at most until the deadline. Says whether it is there.
    pub(crate) fn wait_for_end(&self, deadline: Instant) -> bool {
        let state = self.lock();
        let left = deadline.saturating_duration_since(Instant::now());
        let (state, _) = self
            .changed
            .wait_timeout_while(state, left, |state| !state.ended)
            .unwrap_or_else(PoisonError::into_inner);
        state.ended
    }
}
