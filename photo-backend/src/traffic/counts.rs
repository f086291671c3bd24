use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::Endpoint;

/// What became of the arrivals until now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Answered with a 2xx.
    pub ok: u64,
    /// Answered with anything else, or not at all.
    pub errors: u64,
    /// Not sent: too many were in flight, or there was no target.
    pub shed: u64,
    /// What the last error was.
    pub last_error: Option<String>,
    /// The same by endpoint.
    pub endpoints: Vec<EndpointCounts>,
}

/// What became of the requests to one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointCounts {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Answered with a 2xx.
    pub ok: u64,
    /// Answered with anything else, or not at all.
    pub errors: u64,
}

/// [`Counts`] while they are counted.
#[derive(Debug, Default)]
pub(super) struct Counters {
    ok: [AtomicU64; Endpoint::ALL.len()],
    errors: [AtomicU64; Endpoint::ALL.len()],
    shed: AtomicU64,
    last_error: Mutex<Option<String>>,
}

impl Counters {
    pub(super) fn ok(&self, endpoint: Endpoint) {
        self.ok[endpoint as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn error(&self, endpoint: Endpoint, error: String) {
        self.errors[endpoint as usize].fetch_add(1, Ordering::Relaxed);
        tracing::debug!(%endpoint, error, "a request failed");
        *self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(format!("{endpoint}: {error}"));
    }

    pub(super) fn shed(&self) {
        self.shed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self) -> Counts {
        let endpoints: Vec<EndpointCounts> = Endpoint::ALL
            .into_iter()
            .map(|endpoint| EndpointCounts {
                endpoint,
                ok: self.ok[endpoint as usize].load(Ordering::Relaxed),
                errors: self.errors[endpoint as usize].load(Ordering::Relaxed),
            })
            .collect();
        Counts {
            ok: endpoints.iter().map(|counts| counts.ok).sum(),
            errors: endpoints.iter().map(|counts| counts.errors).sum(),
            shed: self.shed.load(Ordering::Relaxed),
            last_error: self
                .last_error
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
            endpoints,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_endpoint_has_its_own_place() {
        let counters = Counters::default();
        for (times, endpoint) in Endpoint::ALL.into_iter().enumerate() {
            for _ in 0..times {
                counters.ok(endpoint);
            }
        }
        counters.error(Endpoint::Upload, "no".into());
        counters.shed();
        let counts = counters.snapshot();
        for (times, endpoint) in counts.endpoints.iter().enumerate() {
            assert_eq!(endpoint.ok, times as u64);
        }
        assert_eq!((counts.ok, counts.errors, counts.shed), (36, 1, 1));
        assert_eq!(counts.last_error.as_deref(), Some("POST /media: no"));
    }
}
