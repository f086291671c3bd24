use std::sync::{Arc, Mutex, OnceLock};

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts};
use axum::routing::{get, post};
use http::request::Parts;

use crate::error::ApiError;
use crate::ranking::Model;
use crate::{Endpoint, Store, Variants, endpoints};

const MAX_UPLOAD_BYTES: usize = 8 * 1024 * 1024;

/// What the requests of one process share. Nothing is kept in statics, so that two apps with
/// different variants can be compared in one process.
#[derive(Debug)]
pub struct App {
    pub(crate) store: Store,
    pub(crate) variants: Variants,
    pub(crate) model: OnceLock<Model>,
    pub(crate) inbox_history: Mutex<Vec<Vec<u8>>>,
}

impl App {
    /// An app on a seeded store.
    #[must_use]
    pub fn new(store: Store, variants: Variants) -> Arc<Self> {
        Arc::new(Self {
            store,
            variants,
            model: OnceLock::new(),
            inbox_history: Mutex::default(),
        })
    }
}

/// The service without the agent.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route(Endpoint::Feed.template(), get(endpoints::feed))
        .route(Endpoint::Timeline.template(), get(endpoints::timeline))
        .route(Endpoint::Stories.template(), get(endpoints::stories))
        .route(Endpoint::Inbox.template(), get(endpoints::inbox))
        .route(Endpoint::Seen.template(), post(endpoints::seen))
        .route(Endpoint::Like.template(), post(endpoints::like))
        .route(Endpoint::Comment.template(), post(endpoints::comment))
        .route(Endpoint::Follow.template(), post(endpoints::follow))
        .route(Endpoint::Upload.template(), post(endpoints::upload))
        .layer(DefaultBodyLimit::max(MAX_UPLOAD_BYTES))
        .with_state(app)
}

/// Who asks: a real service would read it from a session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Viewer(pub(crate) i64);

impl<S: Sync> FromRequestParts<S> for Viewer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        parts
            .headers
            .get("x-user")
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Self)
            .ok_or(ApiError::NoUser)
    }
}
