//! Reading a body as far as it is allowed to go, and for as long.

use std::time::Duration;

use appweight_wire::Format;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::CollectorOptions;
use crate::encoding::Encoding;
use crate::problem::Refusal;

/// A client that still writes does not read: a body over the limit is read on and thrown away, up to
/// so many times the limit, so that the client learns why it is refused instead of a broken pipe.
const PATIENCE: usize = 8;
/// So many times as long as a part of a body may take, all of it may.
const PARTS: u32 = 12;
/// The largest body of what is posted, a deploy or what is said of an alert, bytes: all that one may hold has 7 kB, and six
/// times as many written in the longest way that JSON knows.
const POST: usize = 64 * 1_024;
/// Memory that posted bodies may take while they are read, bytes.
const POSTS: usize = 256 * POST;
/// Where there is none left the client comes again after so many seconds.
const POST_RETRY_S: u64 = 2;

/// How far a body is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes.
    pub(crate) length: usize,
    /// How long each part of it may take to come.
    pub(crate) patience: Duration,
}

impl Limits {
    pub(crate) fn of(options: &CollectorOptions) -> Self {
        Self {
            length: options.body_limit,
            patience: options.body_patience,
        }
    }
}

/// What is posted: small bodies, as many at once as there is room for. Not in the room of batches: a roll-out is told of also
/// where those take all of theirs.
pub(crate) struct Posts(Semaphore);

impl Default for Posts {
    fn default() -> Self {
        Self(Semaphore::new(POSTS))
    }
}

impl Posts {
    /// The whole body, decompressed.
    pub(crate) async fn read(
        &self,
        options: &CollectorOptions,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Bytes, Refusal> {
        let encoding = Encoding::of(headers)?;
        let mut limits = Limits::of(options);
        limits.length = limits.length.min(POST);
        let Ok(_room) = self
            .0
            .try_acquire_many(length_of(headers, limits.length) as u32)
        else {
            throw_away(headers, body, limits).await;
            let detail = "More is posted than there is room for; nothing of this was stored. Send it again later.";
            return Err(Refusal::busy(POST_RETRY_S, detail));
        };
        let sent = read(headers, body, limits).await?;
        encoding.decode(sent, limits.length)
    }

    /// All the room, as many clients would take it whose bodies do not come.
    #[cfg(test)]
    pub(crate) fn all(&self) -> tokio::sync::SemaphorePermit<'_> {
        self.0.try_acquire_many(POSTS as u32).unwrap()
    }
}

/// A body that is awaited no longer than its client may take: one that has lost its network in the midst of it would hold
/// the room that it was promised for ever.
struct Reader {
    body: Body,
    patience: Duration,
    until: Instant,
}

/// The client has kept its reader waiting for too long.
struct TooSlow;

impl Reader {
    fn new(body: Body, patience: Duration) -> Self {
        Self {
            body,
            patience,
            until: Instant::now() + patience * PARTS,
        }
    }

    async fn next(&mut self) -> Result<Option<Result<Frame<Bytes>, axum::Error>>, TooSlow> {
        let until = self.until.min(Instant::now() + self.patience);
        timeout_at(until, self.body.frame())
            .await
            .map_err(|_| TooSlow)
    }
}

impl From<TooSlow> for Refusal {
    fn from(_: TooSlow) -> Self {
        Self::of(
            StatusCode::REQUEST_TIMEOUT,
            ".",
            "The body took too long to come; nothing was stored. Send it again.",
        )
    }
}

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

/// Refuses whatever is not announced as JSON.
pub(crate) fn json(headers: &HeaderMap) -> Result<(), Refusal> {
    match format_of(headers) {
        Ok(Format::Json) => Ok(()),
        Ok(_) => Err(Refusal::of(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Content-Type",
            "send application/json",
        )),
        Err(refusal) => Err(refusal),
    }
}

pub(crate) fn too_long(limit: usize) -> Refusal {
    Refusal::of(
        StatusCode::PAYLOAD_TOO_LARGE,
        ".",
        format!("The body is over the limit of {limit} bytes: send several smaller ones."),
    )
}

/// The length that the headers announce, or else the most that is taken.
pub(crate) fn length_of(headers: &HeaderMap, limit: usize) -> usize {
    announced(headers).map_or(limit, |length| {
        usize::try_from(length).unwrap_or(limit).min(limit)
    })
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    let length = headers.get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

/// Reads a body that is not wanted and throws it away, so that the client reads the answer instead of
/// finding a broken pipe.
pub(crate) async fn throw_away(headers: &HeaderMap, body: Body, limits: Limits) {
    if headers.contains_key(header::EXPECT) {
        return;
    }
    let (mut body, mut length) = (Reader::new(body, limits.patience), 0);
    while let Ok(Some(Ok(frame))) = body.next().await {
        length += frame.data_ref().map_or(0, Bytes::len);
        if length > limits.length.saturating_mul(PATIENCE) {
            return;
        }
    }
}

/// The whole body as it was sent, if it is not longer than the limit.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Body,
    limits: Limits,
) -> Result<Bytes, Refusal> {
    let limit = limits.length;
    let mut fits = announced(headers).is_none_or(|length| length <= limit as u64);
    if !fits && headers.contains_key(header::EXPECT) {
        return Err(too_long(limit));
    }
    let mut body = Reader::new(body, limits.patience);
    let (mut kept, mut length) = (BytesMut::new(), 0);
    while let Some(frame) = body.next().await? {
        let frame = frame.map_err(|error| {
            Refusal::of(
                StatusCode::BAD_REQUEST,
                ".",
                format!("The body broke off: {error}."),
            )
        })?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        length += data.len();
        fits &= length <= limit;
        if fits {
            kept.extend_from_slice(&data);
        } else if length > limit.saturating_mul(PATIENCE) {
            break;
        } else {
            kept = BytesMut::new();
        }
    }
    if fits {
        Ok(kept.freeze())
    } else {
        Err(too_long(limit))
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::testing::{Bench, Halted, batch};

    #[tokio::test]
    async fn who_stops_in_the_midst_of_a_body_gives_its_room_back() {
        let bench = Bench::with(|options| options.body_patience = Duration::from_millis(300));
        let halted = Request::put(format!("/v1/batches/{}", batch(1, 1, "a").id()))
            .header(header::CONTENT_TYPE, "application/msgpack")
            .header(header::CONTENT_LENGTH, 64 * 1024)
            .body(Body::new(Halted))
            .unwrap();
        let room = || bench.collector.app().committer.room_bytes();
        let (all, free) = room();
        assert_eq!(all, free);
        let mut halted = std::pin::pin!(bench.send(halted));
        tokio::select! {
            answer = &mut halted => panic!("{}", answer.status),
            () = async {
                while room().1 == all {
                    tokio::task::yield_now().await;
                }
            } => {}
        }
        halted.await.assert_problem(408, Some("."));
        assert_eq!(room(), (all, all));
    }

    #[tokio::test]
    async fn a_body_that_is_not_wanted_is_not_waited_for_either() {
        let limits = Limits {
            length: 1_024,
            patience: Duration::from_millis(10),
        };
        let headers = HeaderMap::new();
        let thrown_away = throw_away(&headers, Body::new(Halted), limits);
        let over = tokio::time::timeout(Duration::from_secs(60), thrown_away).await;
        assert!(over.is_ok());
    }
}
