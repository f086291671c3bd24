use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
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
    span: Duration,
    by_span: Mutex<BTreeMap<(Endpoint, u128), Count>>,
}

/// Requests and the CPU time that they took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) requests: u64,
    pub(crate) used: Duration,
}

impl Meter {
    /// Counts by spans of time from `begun` on; requests before it are not counted.
    pub(crate) fn new(endpoints: Vec<Endpoint>, begun: Instant, span: Duration) -> Self {
        Self(Arc::new(Counts {
            endpoints,
            begun,
            span,
            by_span: Mutex::default(),
        }))
    }

    pub(crate) fn wrap(&self, service: Router) -> Router {
        service.layer(from_fn_with_state(self.clone(), measure))
    }

    /// What was counted, by number of the span.
    pub(crate) fn counts(&self, endpoint: Endpoint) -> BTreeMap<u128, Count> {
        let by_span = self.0.by_span.lock();
        by_span
            .unwrap_or_else(PoisonError::into_inner)
            .range((endpoint, 0)..=(endpoint, u128::MAX))
            .map(|((_, span), count)| (*span, *count))
            .collect()
    }

    fn add(&self, endpoint: Endpoint, start: Instant, used: Duration) {
        let Some(since) = start.checked_duration_since(self.0.begun) else {
            return;
        };
        let span = since.as_nanos() / self.0.span.as_nanos().max(1);
        let mut by_span = self
            .0
            .by_span
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let count = by_span.entry((endpoint, span)).or_default();
        count.requests += 1;
        count.used += used;
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
