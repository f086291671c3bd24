use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};

use super::Access;

impl Access {
    /// Lets only those through to the routes who may read. A browser asks its reader for the token, as
    /// the password of any user.
    pub fn guard_pages(&self, pages: Router) -> Router {
        self.guard(pages, Some("Basic realm=\"AppWeight\", charset=\"UTF-8\""))
    }

    pub(crate) fn guard_api<S: Clone + Send + Sync + 'static>(&self, api: Router<S>) -> Router<S> {
        self.guard(api, None)
    }

    fn guard<S: Clone + Send + Sync + 'static>(
        &self,
        router: Router<S>,
        challenge: Option<&'static str>,
    ) -> Router<S> {
        if !self.asks_readers() {
            return router;
        }
        let access = Arc::new(self.clone());
        router.layer(from_fn(move |request: Request, next: Next| {
            let access = Arc::clone(&access);
            async move {
                match access.reader(request.headers()) {
                    Ok(()) => next.run(request).await,
                    Err(refusal) => challenged(refusal.into_response(), challenge),
                }
            }
        }))
    }
}

fn challenged(mut response: Response, challenge: Option<&'static str>) -> Response {
    if let Some(challenge) = challenge {
        let challenge = HeaderValue::from_static(challenge);
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}
