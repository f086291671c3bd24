use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use crate::StoreError;

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("the header x-user must hold a user's id")]
    NoUser,
    #[error("there is no such {0}")]
    NotFound(&'static str),
    #[error("the body must be a JPEG: {0}")]
    NotAPhoto(#[from] image::ImageError),
    #[error("the body must be {0}")]
    BadBody(&'static str),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the answer could not be encoded: {0}")]
    Encode(#[from] serde_json::Error),
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::NoUser => StatusCode::UNAUTHORIZED,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::NotAPhoto(_) | Self::BadBody(_) => StatusCode::BAD_REQUEST,
            Self::Store(_) | Self::Encode(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        if status.is_server_error() {
            tracing::error!(error = %self, "a request failed");
        }
        (status, axum::Json(json!({ "error": self.to_string() }))).into_response()
    }
}
