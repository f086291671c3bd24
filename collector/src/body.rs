//! Reading a body as far as it is allowed to go.

use appweight_wire::Format;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::problem::Refusal;

/// The format that the headers announce.
pub(crate) fn format_of(headers: &HeaderMap) -> Result<Format, Refusal> {
    let announced = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    announced
        .and_then(Format::from_content_type)
        .ok_or_else(|| {
            Refusal::of(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Content-Type",
                format!(
                    "{} is not understood: send application/msgpack or application/json",
                    announced.unwrap_or("A body without a Content-Type")
                ),
            )
        })
}

/// The whole body, if it is not longer than `limit` bytes.
pub(crate) async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Refusal> {
    let too_long = || {
        Refusal::of(
            StatusCode::PAYLOAD_TOO_LARGE,
            ".",
            format!("The body is over the limit of {limit} bytes: send several smaller ones."),
        )
    };
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(too_long());
    }
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_long()),
        Err(error) => Err(Refusal::of(
            StatusCode::BAD_REQUEST,
            ".",
            format!("The body broke off: {error}."),
        )),
    }
}
