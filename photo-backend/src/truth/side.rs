use axum::Router;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use tower::ServiceExt;

use super::TruthError;
use crate::cpu_clock::thread_cpu;
use crate::{App, Endpoint, Store, Variants, router};

/// One of the apps that are compared.
pub(crate) struct Side {
    router: Router,
}

impl Side {
    pub(crate) fn new(store: Store, variants: Variants) -> Self {
        Self {
            router: router(App::new(store, variants)),
        }
    }

    /// Answers all requests; the CPU time that it took, in ns.
    pub(crate) async fn cost(
        &mut self,
        endpoint: Endpoint,
        requests: Vec<Request<Full<Bytes>>>,
    ) -> Result<f64, TruthError> {
        let start = thread_cpu();
        for request in requests {
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
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "below 2^52 ns, which is 52 days"
        )]
        Ok((thread_cpu() - start).as_nanos() as f64)
    }
}
