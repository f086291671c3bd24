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
    /// Until when everything must be sent; set by the shutdown.
    deadline: Option<Instant>,
    /// The last batch is sealed.
    sealed: bool,
    /// Nothing is sent any more.
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

    /// Asks for the end, by the deadline. The first call decides.
    pub(crate) fn ask(&self, deadline: Instant) {
        self.lock().deadline.get_or_insert(deadline);
        self.changed.notify_all();
    }

    /// Until when everything must be sent, if the end was asked for.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.lock().deadline
    }

    pub(crate) fn mark_sealed(&self) {
        self.lock().sealed = true;
        self.changed.notify_all();
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.lock().sealed
    }

    pub(crate) fn mark_ended(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// Sleeps until the end is asked for, at most that long. Says whether it was.
    pub(crate) fn sleep(&self, duration: Duration) -> bool {
        let state = self.lock();
        let (state, _) = self
            .changed
            .wait_timeout_while(state, duration, |state| state.deadline.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        state.deadline.is_some()
    }

    /// Waits until nothing is sent any more, at most until the deadline. Says whether it is so.
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
