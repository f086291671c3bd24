//! Requests and tasks that pass uncounted: nothing is read for them, but that they ended is kept, so
//! that numbers of requests, errors and users are exact however thinly costs are counted.

use appweight_wire::Kind;

use crate::core::Core;
use crate::measurement::{Measurement, Outcome};
use crate::shard::Tallied;
use crate::sys;

/// What is kept of it until it ends; dropped before that, it failed.
#[derive(Debug)]
pub(crate) struct Passing {
    core: &'static Core,
    kind: Kind,
    /// Its endpoint's number.
    endpoint: u32,
    user: Option<u64>,
    error: bool,
}

impl Passing {
    pub(crate) fn end(mut self, error: bool) {
        self.error = error;
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        self.core.pass(Tallied {
            kind: self.kind,
            endpoint: self.endpoint,
            end_us: self.core.micros_at(sys::monotonic_ns()),
            error: self.error,
            user: self.user,
        });
    }
}

/// A request or task that has begun.
#[derive(Debug)]
pub(crate) enum Begun {
    Measured(Measurement),
    Passing(Passing),
}

impl Begun {
    #[inline]
    pub(crate) fn new(
        core: &'static Core,
        kind: Kind,
        name: &str,
        method: Option<&http::Method>,
        user: Option<u64>,
    ) -> Self {
        let (endpoint, chosen) = core.choose(name);
        match chosen {
            Some(chosen) => Self::Measured(Measurement::begin(
                core, kind, endpoint, chosen, method, user,
            )),
            None => Self::Passing(Passing {
                core,
                kind,
                endpoint,
                user,
                error: true,
            }),
        }
    }

    /// Finishes it where it is, and leaves nothing.
    #[inline]
    pub(crate) fn finish(begun: &mut Option<Self>, outcome: Outcome) {
        if let Some(Self::Measured(measurement)) = begun
            && measurement.finish_here(outcome)
        {
            *begun = None;
            return;
        }
        match begun.take() {
            Some(Self::Measured(measurement)) => measurement.finish(outcome),
            Some(Self::Passing(passing)) => passing.end(outcome.error),
            None => {}
        }
    }
}
