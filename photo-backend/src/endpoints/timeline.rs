use std::sync::Arc;

use appweight_agent::profiled;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Serialize;

use crate::app::{App, Viewer};
use crate::error::ApiError;
use crate::views::{MediaView, UserView, answer, encode};
use crate::{Variant, measured};

const PAGE: u32 = 20;
const COMMENTS: u32 = 3;

#[derive(Serialize)]
struct Timeline<'a> {
    user: UserView<'a>,
    biography: &'a str,
    follower_count: i64,
    media_count: i64,
    is_followed: bool,
    items: Vec<MediaView<'a>>,
}

/// `GET /users/{id}/timeline`: one user's posts, newest first.
#[profiled]
pub(crate) async fn timeline(
    State(app): State<Arc<App>>,
    Viewer(viewer): Viewer,
    Path(author): Path<i64>,
) -> Result<Response, ApiError> {
    let user = measured::sqlite(|| app.store.user(author))?.ok_or(ApiError::NotFound("user"))?;
    let is_followed = measured::sqlite(|| app.store.follows(viewer, author))?;
    let posts = measured::sqlite(|| app.store.timeline(author, viewer, PAGE))?;
    let comments = measured::sqlite(|| app.store.comments(&posts, COMMENTS))?;
    let page = Timeline {
        user: UserView::new(&user),
        biography: &user.biography,
        follower_count: user.follower_count,
        media_count: user.media_count,
        is_followed,
        items: posts
            .iter()
            .map(|media| MediaView::new(media, None, &comments))
            .collect(),
    };
    if app.variants.has(Variant::TimelineJsonTwice) {
        log_size(author, &page)?;
    }
    Ok(answer(encode(&page)?))
}

/// So that long answers can be found in the log: encodes every post once more, by way of a tree.
///
/// One post at a time, as a tree of them all is scattered over the heap and gets dearer while a process
/// grows older, beside the leak by a tenth within half a minute: every restart would look like
/// lighter code.
#[profiled]
fn log_size(author: i64, page: &Timeline<'_>) -> Result<(), ApiError> {
    let mut size = 0;
    for post in &page.items {
        size += serde_json::to_value(post)?.to_string().len();
    }
    tracing::debug!(author, size, "timeline");
    Ok(())
}
