//! Requests and tasks that pass uncounted: nothing is read for them, but that they ended is kept, so
//! that numbers of requests, errors and users are exact however thinly costs are counted.

use std::time::Instant;

use appweight_wire::Kind;

use crate::core::Core;
use crate::measurement::{Measurement, Outcome};
use crate::shard::Tallied;

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
            end_us: self.core.micros_at(Instant::now()),
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
        let endpoint = core.endpoint(name);
        match core.thinning().choose(endpoint) {
            Some(weight) => Self::Measured(Measurement::begin(
                core, kind, endpoint, weight, method, user,
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

    /// Apart, where a measured one takes a way of its own.
    pub(crate) fn split(begun: Option<Self>) -> (Option<Measurement>, Option<Passing>) {
        match begun {
            Some(Self::Measured(measurement)) => (Some(measurement), None),
            Some(Self::Passing(passing)) => (None, Some(passing)),
            None => (None, None),
        }
    }

    pub(crate) fn finish(self, outcome: Outcome) {
        match self {
            Self::Measured(measurement) => measurement.finish(outcome),
            Self::Passing(passing) => passing.end(outcome.error),
        }
    }
}
