//! Both builds as services side by side: what code costs depends on what runs beside it.

use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::{EndpointTruth, TruthError, TruthOptions};
use crate::interval::change_of;
use crate::meter::{Count, Meter};
use crate::serve::{ServeError, ServeOptions, Server};
use crate::traffic::{Targets, Traffic, TrafficOptions};
use crate::{Endpoint, Store, Variants};

/// Each starts both services anew: how a process happens to lay out its memory makes it dearer or cheaper by some percent for
/// as long as it lives, which no longer look at the same two would tell.
const ROUNDS: u32 = 8;
/// Until caches are warm and connections open.
const WARM_UP: Duration = Duration::from_millis(500);
/// Of an endpoint, on each side of a round.
const MIN_REQUESTS: u64 = 8;
const WORKERS: usize = 2;

/// The CPU time of the endpoints, by sending both builds the same traffic, mixed as in a day: the
/// other endpoints are what keeps caches as cold as they are in service.
pub(super) fn compare(
    options: &TruthOptions,
    endpoints: &[Endpoint],
) -> Result<Vec<EndpointTruth>, TruthError> {
    let users = Store::open(&options.database)?.users()?;
    let rounds: Vec<Sides<Meter>> = (0..ROUNDS)
        .map(|number| round(options, endpoints, users, number))
        .collect::<Result<_, _>>()?;
    endpoints
        .iter()
        .map(|&endpoint| {
            let counts = rounds.iter().map(|meters| Sides {
                base: meters.base.count(endpoint),
                changed: meters.changed.count(endpoint),
            });
            set_against(endpoint, &counts.collect::<Vec<_>>())
        })
        .collect()
}

/// Of the build without the variant and of the one with it.
struct Sides<T> {
    base: T,
    changed: T,
}

/// What each side's requests took in one round.
fn round(
    options: &TruthOptions,
    endpoints: &[Endpoint],
    users: u32,
    number: u32,
) -> Result<Sides<Meter>, TruthError> {
    let begun = Instant::now() + WARM_UP;
    let meters = Sides {
        base: Meter::new(endpoints.to_vec(), begun),
        changed: Meter::new(endpoints.to_vec(), begun),
    };
    let mut sides = [
        (options.also, &meters.base),
        (options.also.with(options.variant), &meters.changed),
    ];
    // Whatever the first or the second has of it, each side has it as often.
    if number % 2 == 1 {
        sides.reverse();
    }
    let targets = Targets::new();
    let start = |(variants, meter)| Side::start(&options.database, variants, meter, &targets);
    let [first, second] = sides;
    let sides = [start(first)?, start(second)?];
    let traffic = Traffic::start(
        TrafficOptions {
            seed: options.seed.wrapping_add(number.into()),
            users,
            seeded_users: users,
            rate: options.rate,
            ..TrafficOptions::default()
        },
        targets,
    )?;
    std::thread::sleep(WARM_UP + options.duration / ROUNDS);
    let counts = tokio::runtime::Builder::new_current_thread()
        .build()?
        .block_on(traffic.stop());
    for side in sides {
        side.stop()?;
    }
    match counts.last_error {
        Some(answer) => Err(TruthError::Failed { answer }),
        None => Ok(meters),
    }
}

fn set_against(endpoint: Endpoint, rounds: &[Sides<Count>]) -> Result<EndpointTruth, TruthError> {
    let least = rounds
        .iter()
        .map(|round| round.base.requests.min(round.changed.requests))
        .min()
        .unwrap_or_default();
    if least < MIN_REQUESTS {
        return Err(TruthError::TooShort {
            endpoint: endpoint.template().to_owned(),
            requests: least,
            needed: MIN_REQUESTS,
        });
    }
    let logs: Vec<f64> = rounds
        .iter()
        .map(|round| (mean_ns(round.changed) / mean_ns(round.base)).ln())
        .collect();
    let interval = change_of(&logs);
    let total = |of: fn(&Sides<Count>) -> Count| rounds.iter().map(of).sum::<Count>();
    let (base, changed) = (total(|round| round.base), total(|round| round.changed));
    Ok(EndpointTruth {
        endpoint: endpoint.template().to_owned(),
        method: endpoint.method().to_string(),
        change: interval.change,
        low: interval.low,
        high: interval.high,
        base_ns: mean_ns(base),
        variant_ns: mean_ns(changed),
        requests: [base.requests, changed.requests],
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
