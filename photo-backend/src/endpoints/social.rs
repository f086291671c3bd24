//! The small writes.

use std::sync::Arc;

use appweight_agent::profiled;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::now_s;
use crate::app::{App, Viewer};
use crate::error::ApiError;
use crate::measured;
use crate::views::{answer, encode};

const MAX_COMMENT_BYTES: usize = 2200;

#[derive(Deserialize)]
struct Seen {
    author_id: i64,
    story_id: i64,
}

#[derive(Deserialize)]
struct Comment {
    text: String,
}

/// `POST /seen`: the viewer has seen an author's stories up to this one.
#[profiled]
pub(crate) async fn seen(
    State(app): State<Arc<App>>,
    Viewer(viewer): Viewer,
    body: Bytes,
) -> Result<Response, ApiError> {
    let seen: Seen = serde_json::from_slice(&body)
        .map_err(|_| ApiError::BadBody("JSON with the numbers author_id and story_id"))?;
    measured::sqlite(|| app.store.seen(viewer, seen.author_id, seen.story_id))?;
    Ok(answer(encode(&json!({ "seen_until": seen.story_id }))?))
}

/// `POST /media/{id}/likes`
#[profiled]
pub(crate) async fn like(
    State(app): State<Arc<App>>,
    Viewer(viewer): Viewer,
    Path(media): Path<i64>,
) -> Result<Response, ApiError> {
    let likes =
        measured::sqlite(|| app.store.like(media, viewer))?.ok_or(ApiError::NotFound("photo"))?;
    Ok(answer(encode(&json!({ "like_count": likes }))?))
}

/// `POST /media/{id}/comments`
#[profiled]
pub(crate) async fn comment(
    State(app): State<Arc<App>>,
    Viewer(viewer): Viewer,
    Path(media): Path<i64>,
    body: Bytes,
) -> Result<Response, ApiError> {
    let comment = serde_json::from_slice::<Comment>(&body)
        .ok()
        .filter(|comment| !comment.text.is_empty() && comment.text.len() <= MAX_COMMENT_BYTES)
        .ok_or(ApiError::BadBody("JSON with a text of 1 to 2200 bytes"))?;
    let id = measured::sqlite(|| app.store.comment(media, viewer, now_s(), &comment.text))?
        .ok_or(ApiError::NotFound("photo"))?;
    Ok(answer(encode(&json!({ "id": id }))?))
}

/// `POST /users/{id}/follow`
#[profiled]
pub(crate) async fn follow(
    State(app): State<Arc<App>>,
    Viewer(viewer): Viewer,
    Path(user): Path<i64>,
) -> Result<Response, ApiError> {
    let followers =
        measured::sqlite(|| app.store.follow(viewer, user))?.ok_or(ApiError::NotFound("user"))?;
    Ok(answer(encode(&json!({ "follower_count": followers }))?))
}
