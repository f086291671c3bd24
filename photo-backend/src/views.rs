//! How rows are shown: the shapes of the JSON answers.

use appweight_agent::profiled;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use serde::{Serialize, Serializer};

use crate::error::ApiError;
use crate::store::{CommentRow, MediaRow, UserRow};

const RENDITIONS: [u32; 6] = [1080, 750, 640, 480, 320, 150];
const SCANS: usize = 10;
const PAGE_BYTES: usize = 64 * 1024;

/// A body of JSON.
#[profiled]
pub(crate) fn encode(page: &impl Serialize) -> Result<Bytes, ApiError> {
    let mut body = Vec::with_capacity(PAGE_BYTES);
    serde_json::to_writer(&mut body, page)?;
    Ok(body.into())
}

/// An answer with that body.
pub(crate) fn answer(body: Bytes) -> Response {
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

/// A user beside what they made.
#[derive(Debug, Serialize)]
pub(crate) struct UserView<'a> {
    id: i64,
    username: &'a str,
    full_name: &'a str,
    is_verified: bool,
    profile_picture: String,
}

impl<'a> UserView<'a> {
    pub(crate) fn new(user: &'a UserRow) -> Self {
        Self {
            id: user.id,
            username: &user.username,
            full_name: &user.full_name,
            is_verified: user.verified,
            profile_picture: picture_url(user.id),
        }
    }
}

/// A post.
#[derive(Debug, Serialize)]
pub(crate) struct MediaView<'a> {
    id: i64,
    code: String,
    taken_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<UserView<'a>>,
    caption: &'a str,
    location: &'a str,
    like_count: i64,
    comment_count: i64,
    has_liked: bool,
    friends_liked: i64,
    comments: Vec<CommentView<'a>>,
    renditions: Vec<Rendition>,
}

#[derive(Debug, Serialize)]
struct CommentView<'a> {
    id: i64,
    username: &'a str,
    created_at: i64,
    text: &'a str,
}

impl<'a> CommentView<'a> {
    fn new(comment: &'a CommentRow) -> Self {
        Self {
            id: comment.id,
            username: &comment.username,
            created_at: comment.created_at,
            text: &comment.text,
        }
    }
}

/// Written straight into the JSON: a page has more than a hundred.
#[derive(Debug, Clone, Copy)]
struct RenditionUrl {
    media: i64,
    width: u32,
    height: u32,
}

impl Serialize for RenditionUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self {
            media,
            width,
            height,
        } = self;
        serializer.collect_str(&format_args!(
            "https://photos.example/media/{media}/{width}x{height}.jpg"
        ))
    }
}

#[derive(Debug, Serialize)]
struct Rendition {
    width: u32,
    height: u32,
    url: RenditionUrl,
    /// About how many bytes each scan of the progressive JPEG takes, so that a client on a slow
    /// network can stop early.
    scan_bytes: [u32; SCANS],
}

impl<'a> MediaView<'a> {
    #[profiled]
    pub(crate) fn new(
        media: &'a MediaRow,
        author: Option<&'a UserRow>,
        comments: &'a [CommentRow],
    ) -> Self {
        Self {
            id: media.id,
            code: short_code(media.id),
            taken_at: media.taken_at,
            author: author.map(UserView::new),
            caption: &media.caption,
            location: &media.location,
            like_count: media.like_count,
            comment_count: media.comment_count,
            has_liked: media.has_liked,
            friends_liked: media.friends_liked,
            comments: comments
                .iter()
                .filter(|comment| comment.media_id == media.id)
                .map(CommentView::new)
                .collect(),
            renditions: RENDITIONS
                .into_iter()
                .filter(|&width| width <= media.width)
                .map(|width| {
                    let height = media.height * width / media.width.max(1);
                    Rendition {
                        width,
                        height,
                        url: RenditionUrl {
                            media: media.id,
                            width,
                            height,
                        },
                        scan_bytes: scan_bytes(width * height),
                    }
                })
                .collect(),
        }
    }
}

/// About a tenth of the bytes comes with each scan.
fn scan_bytes(pixels: u32) -> [u32; SCANS] {
    let mut bytes = 0;
    [(); SCANS].map(|()| {
        bytes += pixels / 90;
        bytes
    })
}

/// Where a user's picture is.
pub(crate) fn picture_url(user: i64) -> String {
    format!(
        "https://photos.example/users/{}/picture.jpg",
        short_code(user)
    )
}

/// An id in base 64, as it stands in links.
fn short_code(id: i64) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut rest = id.unsigned_abs();
    let mut code = Vec::with_capacity(11);
    loop {
        code.push(char::from(DIGITS[(rest % 64) as usize]));
        rest /= 64;
        if rest == 0 {
            break;
        }
    }
    code.into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_base_64() {
        assert_eq!(short_code(0), "A");
        assert_eq!(short_code(63), "_");
        assert_eq!(short_code(64), "BA");
        assert_eq!(short_code(64 * 64 + 1), "BAB");
    }
}
