mod feed;
mod inbox;
mod social;
mod stories;
mod timeline;
mod upload;

pub(crate) use feed::feed;
pub(crate) use inbox::inbox;
pub(crate) use social::{comment, follow, like, seen};
pub(crate) use stories::stories;
pub(crate) use timeline::timeline;
pub(crate) use upload::upload;

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in seconds since the Unix epoch.
fn now_s() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .unwrap_or_default()
}
