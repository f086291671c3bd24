//! The layers that are compared.

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::time::Instant;

use appweight_agent::Agent;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use axum::routing::get;
use tower::{Layer, Service};

use crate::clock;

fn routes() -> Router {
    Router::new()
        .route("/once/{id}", get(async || "hello"))
        .route(
            "/yields/{id}",
            get(async || {
                for _ in 0..8 {
                    tokio::task::yield_now().await;
                }
                "hello"
            }),
        )
}

static COUNTING: LazyLock<Agent> = LazyLock::new(|| agent(0));
static RECORDING: LazyLock<Agent> = LazyLock::new(|| agent(100));
static RECORDING_ALL: LazyLock<Agent> = LazyLock::new(|| agent(1));

fn agent(record_one_in: u64) -> Agent {
    Agent::builder()
        .service("peers")
        .collector("http://127.0.0.1:1")
        .record_one_in(record_one_in)
        .start()
}

/// The router without a layer, with one that does nothing, and with each of the others: made when asked for, as some
/// start threads or measure clocks.
pub const ALL: [(&str, fn() -> Router); 10] = [
    ("none", routes),
    ("no-op", || routes().layer(NoOp)),
    ("no-op, two CPU clock reads per poll", || {
        routes().layer(Reading)
    }),
    ("AppWeight, all counted", || {
        routes().layer(COUNTING.layer())
    }),
    ("AppWeight, all counted, 1 in 100 recorded", || {
        routes().layer(RECORDING.layer())
    }),
    ("AppWeight, every one recorded", || {
        routes().layer(RECORDING_ALL.layer())
    }),
    ("tokio-metrics TaskMonitor", || {
        routes().layer(Monitored::new())
    }),
    ("tower-http TraceLayer, no subscriber", || {
        routes().layer(tower_http::trace::TraceLayer::new_for_http())
    }),
    ("axum-prometheus", || {
        routes().layer(axum_prometheus::PrometheusMetricLayer::pair().0)
    }),
    ("axum-tracing-opentelemetry, 1 %, null exporter", || {
        routes().layer(axum_tracing_opentelemetry::middleware::OtelAxumLayer::default())
    }),
];

/// What single readings cost.
pub fn readings() -> Vec<(&'static str, f64)> {
    vec![
        ("Instant::now", each(|| black_box(Instant::now()))),
        (
            "CPU clock of the agent",
            each(|| black_box(appweight_agent::thread_cpu_ns())),
        ),
        (
            "clock_gettime(CLOCK_THREAD_CPUTIME_ID)",
            each(|| black_box(clock(libc::CLOCK_THREAD_CPUTIME_ID))),
        ),
    ]
}

fn each<T>(mut read: impl FnMut() -> T) -> f64 {
    const TIMES: u32 = 100_000;
    let start = Instant::now();
    for _ in 0..TIMES {
        read();
    }
    start.elapsed().as_nanos() as f64 / f64::from(TIMES)
}

/// A layer with a future of its own that does nothing: what any layer costs.
#[derive(Clone)]
struct NoOp;

#[derive(Clone)]
struct NoOpService<S>(S);

impl<S> Layer<S> for NoOp {
    type Service = NoOpService<S>;

    fn layer(&self, inner: S) -> NoOpService<S> {
        NoOpService(inner)
    }
}

impl<S> Service<Request<Body>> for NoOpService<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Passed<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Passed<S::Future> {
        Passed {
            inner: self.0.call(request),
        }
    }
}

pin_project_lite::pin_project! {
    struct Passed<F> {
        #[pin]
        inner: F,
    }
}

impl<F: Future> Future for Passed<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.project().inner.poll(context)
    }
}

/// The same with what counting CPU time cannot do without: a reading before and after each poll.
#[derive(Clone)]
struct Reading;

#[derive(Clone)]
struct ReadingService<S>(S);

impl<S> Layer<S> for Reading {
    type Service = ReadingService<S>;

    fn layer(&self, inner: S) -> ReadingService<S> {
        ReadingService(inner)
    }
}

impl<S> Service<Request<Body>> for ReadingService<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Read<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Read<S::Future> {
        Read {
            inner: self.0.call(request),
            used: 0,
        }
    }
}

pin_project_lite::pin_project! {
    struct Read<F> {
        #[pin]
        inner: F,
        used: u64,
    }
}

impl<F: Future> Future for Read<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let before = appweight_agent::thread_cpu_ns();
        let polled = this.inner.poll(context);
        let after = appweight_agent::thread_cpu_ns();
        if let (Some(before), Some(after)) = (before, after) {
            *this.used += after.saturating_sub(before);
        }
        if polled.is_ready() {
            black_box(*this.used);
        }
        polled
    }
}

/// Each request as a task of a monitor.
#[derive(Clone)]
struct Monitored(tokio_metrics::TaskMonitor);

impl Monitored {
    fn new() -> Self {
        Self(tokio_metrics::TaskMonitor::new())
    }
}

#[derive(Clone)]
struct MonitoredService<S>(S, tokio_metrics::TaskMonitor);

impl<S> Layer<S> for Monitored {
    type Service = MonitoredService<S>;

    fn layer(&self, inner: S) -> MonitoredService<S> {
        MonitoredService(inner, self.0.clone())
    }
}

impl<S> Service<Request<Body>> for MonitoredService<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = tokio_metrics::Instrumented<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.1.instrument(self.0.call(request))
    }
}

/// Sets OpenTelemetry up as services do, one trace in a hundred, for its own spans alone: what other
/// layers say through `tracing` is nobody's.
pub fn trace_one_in_a_hundred() {
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
    use tracing_subscriber::filter::{LevelFilter, Targets};
    use tracing_subscriber::prelude::*;

    let provider = SdkTracerProvider::builder()
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
            0.01,
        ))))
        .with_batch_exporter(Null)
        .build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("peers"));
    let only_its_own = Targets::new().with_target("otel::tracing", LevelFilter::TRACE);
    tracing_subscriber::registry()
        .with(only_its_own)
        .with(layer)
        .init();
}

/// Takes spans and does nothing.
#[derive(Debug)]
struct Null;

impl opentelemetry_sdk::trace::SpanExporter for Null {
    async fn export(
        &self,
        _: Vec<opentelemetry_sdk::trace::SpanData>,
    ) -> opentelemetry_sdk::error::OTelSdkResult {
        Ok(())
    }
}
