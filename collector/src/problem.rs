use appweight::api::Problem;
use appweight_wire::DecodeError;
use axum::extract::rejection::PathRejection;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::store::StoreError;

/// A request that is refused: answered as `application/problem+json` (RFC 9457).
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    field: Option<String>,
    detail: String,
    retry_after_s: Option<u64>,
}

/// A store that fails is asked again after so many seconds.
const STORE_RETRY_S: u64 = 5;

impl Refusal {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            field: None,
            detail: detail.into(),
            retry_after_s: (status == StatusCode::SERVICE_UNAVAILABLE).then_some(STORE_RETRY_S),
        }
    }

    /// Too much waits already: come again in so many seconds.
    pub(crate) fn busy(retry_after_s: u64, detail: &str) -> Self {
        Self {
            retry_after_s: Some(retry_after_s),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, detail)
        }
    }

    pub(crate) fn of(
        status: StatusCode,
        field: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            field: Some(field.into()),
            ..Self::new(status, detail)
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    #[cfg(test)]
    pub(crate) fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let of_encoding = self.field.as_deref() == Some("Content-Encoding");
        let problem = Problem {
            kind: "about:blank".into(),
            title: self.status.canonical_reason().unwrap_or("Refused").into(),
            status: self.status.as_u16(),
            detail: self.detail,
            field: self.field,
        };
        let mut response = (self.status, axum::Json(problem)).into_response();
        let json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        if let Some(seconds) = self.retry_after_s {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"AppWeight\"");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
        }
        if of_encoding {
            // What would have been understood (RFC 7694).
            response
                .headers_mut()
                .insert(header::ACCEPT_ENCODING, HeaderValue::from_static("zstd"));
        }
        response
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store could not do what was asked");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("Nothing was changed: {error}. Try again later."),
        )
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        let status = match error {
            DecodeError::Malformed { .. } => StatusCode::BAD_REQUEST,
            DecodeError::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Self::of(status, error.field(), error.to_string())
    }
}

impl From<PathRejection> for Refusal {
    fn from(rejection: PathRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}
