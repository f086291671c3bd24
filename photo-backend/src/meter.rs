use std::collections::BTreeMap;
use std::iter::Sum;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;

use crate::Endpoint;
use crate::cpu_clock::thread_cpu;

/// What the handlers of some endpoints cost, taken without the agent.
///
/// The clock is the thread's, read once before and once after the handler: right for handlers that
/// never wait, as those of the endpoints that variants touch.
#[derive(Debug, Clone)]
pub(crate) struct Meter(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    endpoints: Vec<Endpoint>,
    begun: Instant,
    by_endpoint: Mutex<BTreeMap<Endpoint, Count>>,
}

/// Requests and the CPU time that they took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) requests: u64,
    pub(crate) used: Duration,
}

impl Meter {
    /// Counts from `begun` on.
    pub(crate) fn new(endpoints: Vec<Endpoint>, begun: Instant) -> Self {
        Self(Arc::new(Counts {
            endpoints,
            begun,
            by_endpoint: Mutex::default(),
        }))
    }

    pub(crate) fn wrap(&self, service: Router) -> Router {
        service.layer(from_fn_with_state(self.clone(), measure))
    }

    /// What was counted.
    pub(crate) fn count(&self, endpoint: Endpoint) -> Count {
        self.by_endpoint()
            .get(&endpoint)
            .copied()
            .unwrap_or_default()
    }

    fn add(&self, endpoint: Endpoint, start: Instant, used: Duration) {
        if start < self.0.begun {
            return;
        }
        let mut counts = self.by_endpoint();
        let count = counts.entry(endpoint).or_default();
        count.requests += 1;
        count.used += used;
    }

    fn by_endpoint(&self) -> MutexGuard<'_, BTreeMap<Endpoint, Count>> {
        let counts = self.0.by_endpoint.lock();
        counts.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sum for Count {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |all, count| Self {
            requests: all.requests + count.requests,
            used: all.used + count.used,
        })
    }
}

async fn measure(State(meter): State<Meter>, request: Request, next: Next) -> Response {
    let asked = request
        .extensions()
        .get::<MatchedPath>()
        .map(MatchedPath::as_str);
    let endpoint = meter
        .0
        .endpoints
        .iter()
        .copied()
        .find(|endpoint| asked == Some(endpoint.template()));
    let Some(endpoint) = endpoint else {
        return next.run(request).await;
    };
    let start = Instant::now();
    let before = thread_cpu();
    let response = next.run(request).await;
    let used = thread_cpu().saturating_sub(before);
    if response.status().is_success() {
        meter.add(endpoint, start, used);
    }
    response
}
