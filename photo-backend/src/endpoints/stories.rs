use std::sync::Arc;

use appweight_agent::profiled;
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use crate::app::{App, Viewer};
use crate::error::ApiError;
use crate::ranking::{Features, Model};
use crate::store::StoryRow;
use crate::views::{answer, encode, picture_url};
use crate::{Variant, measured};

const FOLLOWEES: u32 = 30;
const PAGE: usize = 30;

#[derive(Serialize)]
struct Tray<'a> {
    tray: Vec<Reel<'a>>,
}

#[derive(Serialize)]
struct Reel<'a> {
    author_id: i64,
    username: &'a str,
    is_verified: bool,
    profile_picture: String,
    seen_until: i64,
    stories: Vec<Story>,
}

#[derive(Serialize)]
struct Story {
    id: i64,
    taken_at: i64,
    duration_ms: i64,
    is_new: bool,
    url: String,
}

/// `GET /stories`: the reels of those whom the viewer follows, the most wanted first.
#[profiled]
pub(crate) async fn stories(
    State(app): State<Arc<App>>,
    Viewer(viewer): Viewer,
) -> Result<Response, ApiError> {
    let rows = measured::sqlite(|| app.store.stories(viewer, FOLLOWEES))?;
    let reels = if app.variants.has(Variant::StoriesUncached) {
        rank(&rows, &Model::load(&app.store)?)
    } else {
        rank(&rows, Model::cached(&app)?)
    };
    let body = encode(&Tray {
        tray: reels.into_iter().filter_map(reel).collect(),
    })?;
    Ok(answer(body))
}

/// The rows of each author as one reel, best first.
#[profiled]
fn rank<'a>(rows: &'a [StoryRow], model: &Model) -> Vec<&'a [StoryRow]> {
    let newest = rows
        .iter()
        .map(|story| story.taken_at)
        .max()
        .unwrap_or_default();
    let mut scored: Vec<(f64, &[StoryRow])> = rows
        .chunk_by(|left, right| left.author_id == right.author_id)
        .filter_map(|reel| {
            let last = reel.last()?;
            let score = model.score(&Features {
                age_s: newest - last.taken_at,
                affinity: last.affinity,
                likes: 0,
                comments: 0,
                friends_liked: 0,
                seen: last.seen_until >= last.id,
                verified: last.verified,
            });
            Some((score, reel))
        })
        .collect();
    scored.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    scored
        .into_iter()
        .take(PAGE)
        .map(|(_, reel)| reel)
        .collect()
}

#[profiled]
fn reel(rows: &[StoryRow]) -> Option<Reel<'_>> {
    let first = rows.first()?;
    Some(Reel {
        author_id: first.author_id,
        username: &first.username,
        is_verified: first.verified,
        profile_picture: picture_url(first.author_id),
        seen_until: first.seen_until,
        stories: rows
            .iter()
            .map(|story| Story {
                id: story.id,
                taken_at: story.taken_at,
                duration_ms: story.duration_ms,
                is_new: story.id > story.seen_until,
                url: format!("https://photos.example/stories/{}.jpg", story.id),
            })
            .collect(),
    })
}
