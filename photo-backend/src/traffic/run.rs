use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::counts::Counters;
use super::targets::Picked;
use super::{Mix, Targets, TrafficOptions};
use crate::Endpoint;

const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const LOOK_UP_EVERY: Duration = Duration::from_millis(20);
const PREFETCH: &[u8] = br#"{"prefetch_stories":true"#;

/// What can be changed while traffic runs.
#[derive(Debug)]
pub(super) struct Shared {
    rate_bits: AtomicU64,
    users: AtomicU32,
    stopped: AtomicBool,
}

impl Shared {
    pub(super) fn new(rate: f64, users: u32) -> Self {
        Self {
            rate_bits: AtomicU64::new(rate.to_bits()),
            users: AtomicU32::new(users),
            stopped: AtomicBool::new(false),
        }
    }

    pub(super) fn set_rate(&self, rate: f64) {
        self.rate_bits.store(rate.to_bits(), Ordering::Relaxed);
    }

    pub(super) fn set_users(&self, users: u32) {
        self.users.store(users, Ordering::Relaxed);
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    fn rate(&self) -> f64 {
        f64::from_bits(self.rate_bits.load(Ordering::Relaxed))
    }
}

/// Sends until it is stopped. Blocks.
pub(super) fn run(
    options: &TrafficOptions,
    shared: &Shared,
    counters: &Arc<Counters>,
    targets: &Targets,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, "the traffic has no runtime"),
    };
    runtime.block_on(async {
        let mut sender = Sender::new(options, counters, targets);
        let mut rate = shared.rate();
        let mut next = Instant::now() + pause(rate, &mut sender.rng);
        while !shared.stopped.load(Ordering::Relaxed) {
            let now = Instant::now();
            if rate.to_bits() != shared.rate().to_bits() {
                // A Poisson process has no memory: it may begin anew at any time.
                rate = shared.rate();
                next = now + pause(rate, &mut sender.rng);
            }
            while next <= now {
                sender.arrival(shared.users.load(Ordering::Relaxed));
                next += pause(rate, &mut sender.rng);
            }
            sleep_until(next.min(now + LOOK_UP_EVERY)).await;
            sender.tidy();
        }
        sender.finish().await;
    });
}

/// How long until the next arrival.
fn pause(rate: f64, rng: &mut Rng) -> Duration {
    const NEVER: Duration = Duration::from_secs(3600);
    let seconds = -(1.0 - rng.f64()).ln() / rate;
    Duration::try_from_secs_f64(seconds).map_or(NEVER, |pause| pause.min(NEVER))
}

struct Sender {
    mix: Arc<Mix>,
    rng: Rng,
    client: Client<HttpConnector, Full<Bytes>>,
    slots: Arc<Semaphore>,
    targets: Targets,
    counters: Arc<Counters>,
    open: JoinSet<()>,
}

impl Sender {
    fn new(options: &TrafficOptions, counters: &Arc<Counters>, targets: &Targets) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            mix: Arc::new(Mix::new(options.seeded_users)),
            rng: Rng::with_seed(options.seed),
            client: Client::builder(TokioExecutor::new()).build(connector),
            slots: Arc::new(Semaphore::new(options.in_flight)),
            targets: targets.clone(),
            counters: Arc::clone(counters),
            open: JoinSet::new(),
        }
    }

    /// One user does one thing, and what follows from it.
    fn arrival(&mut self, users: u32) {
        let endpoint = Mix::endpoint(&mut self.rng);
        let user = self.rng.u32(1..=users.max(1));
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            return self.counters.shed();
        };
        let Some(target) = self.targets.pick(&mut self.rng) else {
            return self.counters.shed();
        };
        let visit = Visit {
            mix: Arc::clone(&self.mix),
            client: self.client.clone(),
            counters: Arc::clone(&self.counters),
            user,
            rng: self.rng.fork(),
        };
        let targets = self.targets.clone();
        self.open.spawn(async move {
            let _slot = slot;
            visit.go(endpoint, target, &targets).await;
        });
    }

    fn tidy(&mut self) {
        while self.open.try_join_next().is_some() {}
    }

    async fn finish(mut self) {
        while self.open.join_next().await.is_some() {}
    }
}

struct Visit {
    mix: Arc<Mix>,
    client: Client<HttpConnector, Full<Bytes>>,
    counters: Arc<Counters>,
    user: u32,
    rng: Rng,
}

impl Visit {
    async fn go(mut self, endpoint: Endpoint, target: Picked, targets: &Targets) {
        let prefetch = self.ask(endpoint, &target).await;
        drop(target);
        if prefetch && let Some(target) = targets.pick(&mut self.rng) {
            self.ask(Endpoint::Stories, &target).await;
        }
    }

    /// Sends one request and reads the whole answer. Whether it asks for the stories too.
    async fn ask(&mut self, endpoint: Endpoint, target: &Picked) -> bool {
        let request = self
            .mix
            .request(endpoint, self.user, target.base(), &mut self.rng);
        let answer = async {
            let response = self
                .client
                .request(request)
                .await
                .map_err(|error| chain(&error))?;
            let status = response.status();
            let mut body = response.into_body();
            let mut prefetch = false;
            let mut first = true;
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| chain(&error))?;
                if first && let Some(data) = frame.data_ref() {
                    prefetch = endpoint == Endpoint::Feed && data.starts_with(PREFETCH);
                    first = false;
                }
            }
            if status.is_success() {
                Ok(prefetch)
            } else {
                Err(status.to_string())
            }
        };
        match timeout(ANSWER_WITHIN, answer).await {
            Ok(Ok(prefetch)) => {
                self.counters.ok(endpoint);
                if endpoint == Endpoint::Upload {
                    self.mix.uploaded();
                }
                prefetch
            }
            Ok(Err(error)) => {
                self.counters.error(endpoint, error);
                false
            }
            Err(_) => {
                self.counters
                    .error(endpoint, format!("no answer within {ANSWER_WITHIN:?}"));
                false
            }
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_have_the_mean_of_the_rate_and_no_rate_means_never() {
        let mut rng = Rng::with_seed(5);
        let sum: Duration = (0..20_000).map(|_| pause(500.0, &mut rng)).sum();
        let mean = sum.as_secs_f64() / 20_000.0;
        assert!((mean * 500.0 - 1.0).abs() < 0.03, "{mean}");
        for rate in [0.0, -1.0, f64::NAN] {
            assert!(pause(rate, &mut rng) >= Duration::from_secs(3600), "{rate}");
        }
    }
}
