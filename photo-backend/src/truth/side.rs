use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use fastrand::Rng;
use http::Request;
use http_body_util::{BodyExt, Full};
use tower::ServiceExt;

use super::TruthError;
use crate::cpu_clock::thread_cpu;
use crate::traffic::Mix;
use crate::{App, Endpoint, Store, Variants, router};

/// One of the apps that are compared.
pub(crate) struct Side {
    router: Router,
    pace: Option<Pace>,
}

/// What comes between two measured requests, as it does in service. In a loop of one endpoint's
/// requests every cache stays warm: they cost half as much, and a change looks twice as large.
struct Pace {
    neighbour: Router,
    mix: Arc<Mix>,
    users: u32,
    rng: Rng,
}

/// About what a worker waits for its next request at the demo's load.
const PAUSE: Duration = Duration::from_millis(1);

impl Pace {
    /// A request of any endpoint but the heaviest, which would take most of the time.
    fn request(&mut self) -> Request<Full<Bytes>> {
        loop {
            let endpoint = Mix::endpoint(&mut self.rng);
            if endpoint != Endpoint::Upload {
                let user = self.rng.u32(1..=self.users);
                return self.mix.request(endpoint, user, "", &mut self.rng);
            }
        }
    }
}

impl Side {
    pub(crate) fn new(store: Store, variants: Variants) -> Self {
        Self {
            router: router(App::new(store, variants)),
            pace: None,
        }
    }

    /// Waits a moment before each request that is measured, after another was answered by a
    /// neighbour: an instance with connections of its own, whose writes make SQLite drop what ours
    /// have cached.
    pub(crate) fn paced(self, neighbour: Store, mix: Arc<Mix>, users: u32) -> Self {
        let pace = Pace {
            neighbour: router(App::new(neighbour, Variants::default())),
            mix,
            users,
            rng: Rng::with_seed(3),
        };
        Self {
            pace: Some(pace),
            ..self
        }
    }

    /// Answers all requests; the CPU time that it took, in ns.
    pub(crate) async fn cost(
        &mut self,
        endpoint: Endpoint,
        requests: Vec<Request<Full<Bytes>>>,
    ) -> Result<f64, TruthError> {
        let mut used = Duration::ZERO;
        for request in requests {
            if let Some(pace) = &mut self.pace {
                let other = pace.request();
                // Whether it succeeds is no matter: a follow of the same user twice does not.
                drop(pace.neighbour.clone().oneshot(other).await);
                std::thread::sleep(PAUSE);
            }
            let start = thread_cpu();
            let answer = match self.router.clone().oneshot(request).await {
                Ok(answer) => answer,
                Err(never) => match never {},
            };
            let status = answer.status();
            if !status.is_success() {
                return Err(TruthError::Failed {
                    endpoint,
                    status: status.as_u16(),
                });
            }
            // The service's own bodies are in memory: reading them cannot fail.
            answer.into_body().collect().await.ok();
            used += thread_cpu() - start;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "below 2^52 ns, which is 52 days"
        )]
        Ok(used.as_nanos() as f64)
    }
}
