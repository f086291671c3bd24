//! Both builds as services side by side: what code costs depends on what runs beside it.

use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::{EndpointTruth, TruthError, TruthOptions};
use crate::interval::relative_change;
use crate::meter::{Count, Meter};
use crate::serve::{ServeError, ServeOptions, Server};
use crate::traffic::{Targets, Traffic, TrafficOptions};
use crate::{Endpoint, Store, Variants};

/// Until caches are warm and connections open.
const WARM_UP: Duration = Duration::from_secs(1);
/// The two builds are set against each other in spans so short that the machine's mood is the same.
const SPAN: Duration = Duration::from_millis(100);
const MIN_SPANS: usize = 8;
const WORKERS: usize = 2;

/// The CPU time of the endpoints, by sending both builds the same traffic, mixed as in a day: the
/// other endpoints are what keeps caches as cold as they are in service.
pub(super) fn compare(
    options: &TruthOptions,
    endpoints: &[Endpoint],
) -> Result<Vec<EndpointTruth>, TruthError> {
    let users = Store::open(&options.database)?.users()?;
    let begun = Instant::now() + WARM_UP;
    let meter = || Meter::new(endpoints.to_vec(), begun, SPAN);
    let (base, changed) = (meter(), meter());
    let targets = Targets::new();
    let sides = [
        Side::start(&options.database, options.also, &base, &targets)?,
        Side::start(
            &options.database,
            options.also.with(options.variant),
            &changed,
            &targets,
        )?,
    ];
    let traffic = Traffic::start(
        TrafficOptions {
            seed: options.seed,
            users,
            seeded_users: users,
            rate: options.rate,
            ..TrafficOptions::default()
        },
        targets,
    )?;
    std::thread::sleep(WARM_UP + options.duration);
    let counts = tokio::runtime::Builder::new_current_thread()
        .build()?
        .block_on(traffic.stop());
    for side in sides {
        side.stop()?;
    }
    if let Some(answer) = counts.last_error {
        return Err(TruthError::Failed { answer });
    }
    endpoints
        .iter()
        .map(|&endpoint| set_against(endpoint, &base, &changed))
        .collect()
}

fn set_against(
    endpoint: Endpoint,
    base: &Meter,
    changed: &Meter,
) -> Result<EndpointTruth, TruthError> {
    let (base, changed) = (base.counts(endpoint), changed.counts(endpoint));
    let spans: Vec<(Count, Count)> = base
        .iter()
        .filter_map(|(span, before)| Some((*before, *changed.get(span)?)))
        .collect();
    if spans.len() < MIN_SPANS {
        return Err(TruthError::TooShort {
            spans: spans.len(),
            needed: MIN_SPANS,
        });
    }
    let means: Vec<(f64, f64)> = spans
        .iter()
        .map(|(before, after)| (mean_ns(*before), mean_ns(*after)))
        .collect();
    let total = |side: fn(&(Count, Count)) -> Count| {
        spans
            .iter()
            .map(side)
            .fold(Count::default(), |all, count| Count {
                requests: all.requests + count.requests,
                used: all.used + count.used,
            })
    };
    let (before, after) = (total(|pair| pair.0), total(|pair| pair.1));
    let interval = relative_change(&means);
    Ok(EndpointTruth {
        endpoint: endpoint.template().to_owned(),
        method: endpoint.method().to_string(),
        change: interval.change,
        low: interval.low,
        high: interval.high,
        base_ns: mean_ns(before),
        variant_ns: mean_ns(after),
        requests: [before.requests, after.requests],
    })
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52 requests")]
fn mean_ns(count: Count) -> f64 {
    count.used.as_secs_f64() * 1e9 / count.requests as f64
}

/// One build as a service, with threads and database connections of its own.
struct Side {
    thread: JoinHandle<Result<(), ServeError>>,
    stop: oneshot::Sender<()>,
}

impl Side {
    fn start(
        database: &Path,
        variants: Variants,
        meter: &Meter,
        targets: &Targets,
    ) -> Result<Self, TruthError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .enable_all()
            .build()?;
        let server = runtime
            .block_on(Server::bind(ServeOptions {
                listen: ([127, 0, 0, 1], 0).into(),
                database: database.to_owned(),
                measure: None,
                idle_layer: false,
                variants,
            }))?
            .metered(meter.clone());
        targets
            .add(&format!("http://{}", server.address()))
            .map_err(std::io::Error::other)?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("side".into())
            .spawn(move || {
                runtime.block_on(server.run(async {
                    stopped.await.ok();
                }))
            })?;
        Ok(Self { thread, stop })
    }

    fn stop(self) -> Result<(), TruthError> {
        // If it has ended already, joining it tells why.
        self.stop.send(()).ok();
        match self.thread.join() {
            Ok(ended) => Ok(ended?),
            Err(_) => Err(std::io::Error::other("a side of the comparison panicked").into()),
        }
    }
}
