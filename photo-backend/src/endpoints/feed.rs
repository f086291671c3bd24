use std::collections::HashMap;
use std::sync::Arc;

use appweight_agent::profiled;
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use crate::app::{App, Viewer};
use crate::error::ApiError;
use crate::ranking::{Features, Model};
use crate::store::{MediaRow, UserRow};
use crate::views::{MediaView, answer, encode};
use crate::{Variant, measured};

const CANDIDATES: u32 = 80;
const PAGE: usize = 24;
const COMMENTS: u32 = 2;

#[derive(Serialize)]
struct Feed<'a> {
    /// First in the body, so that a client knows it from the first bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    prefetch_stories: Option<bool>,
    items: Vec<MediaView<'a>>,
}

/// `GET /feed`: the best of what those whom the viewer follows have posted lately.
#[profiled]
pub(crate) async fn feed(
    State(app): State<Arc<App>>,
    Viewer(viewer): Viewer,
) -> Result<Response, ApiError> {
    let candidates = measured::sqlite(|| app.store.feed_candidates(viewer, CANDIDATES))?;
    let authors = authors(&app, &candidates)?;
    let page = best(candidates, &authors, Model::cached(&app)?);
    let comments = measured::sqlite(|| app.store.comments(&page, COMMENTS))?;
    let body = encode(&Feed {
        prefetch_stories: app.variants.has(Variant::StoriesPrefetch).then_some(true),
        items: page
            .iter()
            .map(|media| MediaView::new(media, authors.get(&media.author_id), &comments))
            .collect(),
    })?;
    Ok(answer(body))
}

/// The authors of all candidates: what is known of them counts in the ranking.
#[profiled]
fn authors(app: &App, candidates: &[MediaRow]) -> Result<HashMap<i64, UserRow>, ApiError> {
    let mut authors = HashMap::with_capacity(candidates.len());
    if app.variants.has(Variant::FeedEachAuthor) {
        for media in candidates {
            if let Some(author) = measured::sqlite(|| app.store.user(media.author_id))? {
                authors.insert(author.id, author);
            }
        }
    } else {
        let mut ids: Vec<i64> = candidates.iter().map(|media| media.author_id).collect();
        ids.sort_unstable();
        ids.dedup();
        for author in measured::sqlite(|| app.store.users_in(&ids))? {
            authors.insert(author.id, author);
        }
    }
    Ok(authors)
}

#[profiled]
fn best(
    candidates: Vec<MediaRow>,
    authors: &HashMap<i64, UserRow>,
    model: &Model,
) -> Vec<MediaRow> {
    let newest = candidates
        .iter()
        .map(|media| media.taken_at)
        .max()
        .unwrap_or_default();
    let mut scored: Vec<(f64, MediaRow)> = candidates
        .into_iter()
        .map(|media| {
            let author = authors.get(&media.author_id);
            let score = model.score(&Features {
                age_s: newest - media.taken_at,
                affinity: media.affinity,
                likes: media.like_count,
                comments: media.comment_count,
                friends_liked: media.friends_liked,
                seen: media.has_liked,
                verified: author.is_some_and(|author| author.verified),
            });
            (score, media)
        })
        .collect();
    scored.sort_by(|(a, left), (b, right)| b.total_cmp(a).then(right.id.cmp(&left.id)));
    scored
        .into_iter()
        .take(PAGE)
        .map(|(_, media)| media)
        .collect()
}
