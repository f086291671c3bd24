//! What `fuzz/` feeds with anything at all.

use axum::body::Bytes;

use crate::encoding::Encoding;

/// A body that is said to be compressed.
///
/// # Panics
/// If it becomes longer than a body may be.
pub fn compressed_body(body: &[u8]) {
    const LIMIT: usize = 1 << 20;
    if let Ok(decoded) = Encoding::Zstd.decode(Bytes::copy_from_slice(body), LIMIT) {
        assert!(decoded.len() <= LIMIT, "{} bytes", decoded.len());
    }
}
