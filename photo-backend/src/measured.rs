//! All that this service says to the agent.

use axum::Router;

use crate::serve::MeasureOptions;

/// The agent of this process, if it has one.
pub(crate) struct Measured;

impl Measured {
    pub(crate) fn start(_options: Option<MeasureOptions>) -> Self {
        Self
    }

    /// The service with every request measured.
    pub(crate) fn wrap(&self, service: Router) -> Router {
        service
    }

    /// Ships what is left.
    pub(crate) async fn stop(self) {}
}

/// A call to the database, charged to the request as time spent downstream.
pub(crate) fn sqlite<T>(call: impl FnOnce() -> T) -> T {
    call()
}

/// Work that nobody waits for, measured like a request.
pub(crate) fn task<T>(_name: &str, work: impl FnOnce() -> T) -> T {
    work()
}
