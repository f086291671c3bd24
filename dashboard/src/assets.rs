//! The style sheet and the script, compiled in. Their addresses carry a hash of what they hold,
//! so that a browser may keep them for a year and still never shows an old one.

use axum::response::IntoResponse;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

const STYLE: &str = include_str!("../assets/style.css");
const SCRIPT: &str = include_str!("../assets/app.js");
const STYLE_HASH: u64 = fnv1a(STYLE.as_bytes());
const SCRIPT_HASH: u64 = fnv1a(SCRIPT.as_bytes());

const FOR_A_YEAR: &str = "public, max-age=31536000, immutable";

pub(crate) fn style_href() -> String {
    format!("/assets/style.css?v={STYLE_HASH:016x}")
}

pub(crate) fn script_href() -> String {
    format!("/assets/app.js?v={SCRIPT_HASH:016x}")
}

pub(crate) async fn style() -> impl IntoResponse {
    (
        [
            (CONTENT_TYPE, "text/css; charset=utf-8"),
            (CACHE_CONTROL, FOR_A_YEAR),
        ],
        STYLE,
    )
}

pub(crate) async fn script() -> impl IntoResponse {
    (
        [
            (CONTENT_TYPE, "text/javascript; charset=utf-8"),
            (CACHE_CONTROL, FOR_A_YEAR),
        ],
        SCRIPT,
    )
}

/// FNV-1a: told apart at compile time is all that is asked of it.
const fn fnv1a(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        i += 1;
    }
    hash
}
