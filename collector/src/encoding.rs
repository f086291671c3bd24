//! Undoing the compression of a body, never further than the body may be long.

use std::cell::RefCell;
use std::io::Read;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use zstd::bulk::Decompressor;
use zstd::stream::read::Decoder;

use crate::body;
use crate::problem::Refusal;

/// A frame may ask to look back so far (8 MiB, as RFC 8878 recommends): the decoder sets that much
/// memory aside.
const WINDOW_LOG: u32 = 23;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Zstd,
}

impl Encoding {
    /// What the headers announce.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut announced = headers.get_all(header::CONTENT_ENCODING).iter();
        let refused = |named: &str| {
            Refusal::of(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Content-Encoding",
                format!("{named} is not understood: send zstd, or leave it out"),
            )
        };
        let encoding = match announced.next().map(|value| value.to_str()) {
            None => Self::Identity,
            Some(Ok(name)) if name.trim().eq_ignore_ascii_case("zstd") => Self::Zstd,
            Some(Ok(name)) if name.trim().eq_ignore_ascii_case("identity") => Self::Identity,
            Some(Ok(name)) => return Err(refused(name)),
            Some(Err(_)) => return Err(refused("What stands there")),
        };
        match announced.next() {
            None => Ok(encoding),
            Some(_) => Err(refused("More than one")),
        }
    }

    /// The body as it was before it was compressed, if that is not longer than `limit` bytes.
    pub(crate) fn decode(self, body: Bytes, limit: usize) -> Result<Bytes, Refusal> {
        match self {
            Self::Identity => Ok(body),
            Self::Zstd => unzstd(&body, limit).map(Bytes::from),
        }
    }
}

/// What zstd needs to work is kept by each thread: to make it takes as long as to read a small body.
fn at_one_go(body: &[u8], length: usize) -> std::io::Result<Vec<u8>> {
    thread_local! {
        static DECOMPRESSOR: RefCell<Decompressor<'static>> = RefCell::default();
    }
    DECOMPRESSOR.with_borrow_mut(|decompressor| decompressor.decompress(body, length))
}

fn unzstd(body: &[u8], limit: usize) -> Result<Vec<u8>, Refusal> {
    // Usually the frame tells its length, and all is decompressed at one go. Where it does not, or lies, or others
    // follow it, what comes out is read up to the limit.
    if let Ok(Some(length)) = zstd::zstd_safe::get_frame_content_size(body) {
        if length > limit as u64 {
            return Err(body::too_long(limit));
        }
        if let Ok(decoded) = at_one_go(body, length as usize) {
            return Ok(decoded);
        }
    }
    let broken = |error: std::io::Error| {
        Refusal::of(
            StatusCode::BAD_REQUEST,
            ".",
            format!("The body is not what zstd makes: {error}."),
        )
    };
    let mut decoder = Decoder::with_buffer(body).map_err(broken)?;
    decoder.window_log_max(WINDOW_LOG).map_err(broken)?;
    let mut decoded = Vec::new();
    decoder
        .take(limit as u64 + 1)
        .read_to_end(&mut decoded)
        .map_err(broken)?;
    if decoded.len() > limit {
        return Err(body::too_long(limit));
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 10_000;

    fn decode(body: Vec<u8>) -> Result<Bytes, Refusal> {
        Encoding::Zstd.decode(Bytes::from(body), LIMIT)
    }

    #[track_caller]
    fn assert_refused(decoded: Result<Bytes, Refusal>, status: StatusCode) {
        assert_eq!(decoded.map_err(|refusal| refusal.status()), Err(status));
    }

    /// Compressed without a word about its length.
    fn streamed(content: &[u8]) -> Vec<u8> {
        zstd::stream::encode_all(content, 1).unwrap()
    }

    #[test]
    fn what_is_compressed_comes_out_up_to_the_limit() {
        for length in [0, 1, LIMIT - 1, LIMIT] {
            let content = vec![7; length];
            for body in [
                zstd::bulk::compress(&content, 1).unwrap(),
                streamed(&content),
            ] {
                assert_eq!(decode(body).unwrap(), content);
            }
        }
        let halves = [streamed(b"one "), streamed(b"two")].concat();
        assert_eq!(
            decode(halves).unwrap(),
            "one two",
            "frames may follow one another"
        );
    }

    #[test]
    fn a_bomb_is_refused_before_it_goes_off() {
        let too_large = StatusCode::PAYLOAD_TOO_LARGE;
        let content = vec![0; LIMIT + 1];
        assert_refused(decode(streamed(&content)), too_large);
        let bomb = zstd::bulk::compress(&vec![0; 200 << 20], 1).unwrap();
        assert!(bomb.len() < 50_000);
        assert_refused(decode(bomb.clone()), too_large);
        let many: Vec<u8> = (0..100)
            .flat_map(|_| streamed(&content[..LIMIT / 2]))
            .collect();
        assert_refused(decode(many), too_large);
        // Its head says that it is small.
        let mut liar = zstd::bulk::compress(&content, 1).unwrap();
        let length = u16::try_from(LIMIT + 1 - 256).unwrap().to_le_bytes();
        let at = liar.windows(2).position(|two| two == length).unwrap();
        liar[at..at + 2].copy_from_slice(&[1, 0]);
        assert_refused(decode(liar), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn a_frame_that_asks_for_much_memory_is_refused() {
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        std::io::Write::write_all(&mut encoder, b"a few bytes").unwrap();
        std::io::Write::flush(&mut encoder).unwrap();
        assert_refused(decode(encoder.finish().unwrap()), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn what_is_broken_is_refused() {
        let body = zstd::bulk::compress(b"some bytes", 1).unwrap();
        for length in 1..body.len() {
            assert_refused(decode(body[..length].to_vec()), StatusCode::BAD_REQUEST);
        }
        assert_refused(decode(b"not zstd".to_vec()), StatusCode::BAD_REQUEST);
        let more = [body.as_slice(), b"more"].concat();
        assert_refused(decode(more), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn the_header_names_one_known_encoding() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_ENCODING, value.parse().unwrap());
            }
            Encoding::of(&headers).map_err(|refusal| refusal.status())
        };
        assert_eq!(of(&[]), Ok(Encoding::Identity));
        assert_eq!(of(&["identity"]), Ok(Encoding::Identity));
        assert_eq!(of(&["zstd"]), Ok(Encoding::Zstd));
        assert_eq!(of(&[" ZSTD "]), Ok(Encoding::Zstd));
        for unknown in [&["gzip"][..], &["zstd, gzip"], &["zstd", "zstd"], &[""]] {
            assert_eq!(of(unknown), Err(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
    }
}
