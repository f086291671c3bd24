//! Long lists, a page at a time.

use axum::Json;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::params::Params;
use crate::problem::Refusal;

/// One page of a list. Where the list goes on, the answer's `Link` says what to ask for.
#[derive(Debug)]
pub(crate) struct Page<T> {
    pub(super) items: Vec<T>,
    pub(super) next: Option<HeaderValue>,
}

impl<T> Page<T> {
    /// The first `limit` of `items`, of which there is one more if the list goes on. The next page is that
    /// of the cursor which is made of the last item on this one, and holds for this list alone.
    pub(super) fn of<C: Serialize>(
        mut items: Vec<T>,
        limit: u32,
        params: &Params,
        cursor: impl FnOnce(&T) -> C,
    ) -> Self {
        let limit = limit as usize;
        let next = match limit.checked_sub(1).and_then(|last| items.get(last)) {
            Some(last) if items.len() > limit => link(params, &cursor(last)),
            _ => None,
        };
        items.truncate(limit);
        Self { items, next }
    }
}

impl<T: Serialize> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        let mut response = Json(self.items).into_response();
        if let Some(next) = self.next {
            response.headers_mut().insert(header::LINK, next);
        }
        response
    }
}

/// Where a page begins: what the link to it was made of. `None` is the first one. Refused is what no page of the very list
/// had that is asked for: elsewhere it would pass over what nobody has seen.
pub(super) fn cursor<C: DeserializeOwned>(params: &Params) -> Result<Option<C>, Refusal> {
    let Some(text) = params.given("cursor") else {
        return Ok(None);
    };
    let json = URL_SAFE_NO_PAD.decode(text).ok();
    let cursor = json.and_then(|json| serde_json::from_slice::<(u64, C)>(&json).ok());
    match cursor {
        Some((list, cursor)) if list == list_of(params) => Ok(Some(cursor)),
        _ => {
            let detail = "It is none that the Link of a page of this list had, asked for with the same parameters.";
            Err(Refusal::of(StatusCode::BAD_REQUEST, "cursor", detail))
        }
    }
}

/// A reference relative to what was asked (RFC 8288), so that it holds behind a proxy too.
fn link(params: &Params, cursor: &impl Serialize) -> Option<HeaderValue> {
    let json = serde_json::to_vec(&(list_of(params), cursor)).ok()?;
    let asked = params.uri().query().unwrap_or_default().split('&');
    let mut pairs: Vec<&str> = asked
        .filter(|pair| !pair.is_empty() && pair.split('=').next() != Some("cursor"))
        .collect();
    let cursor = format!("cursor={}", URL_SAFE_NO_PAD.encode(json));
    pairs.push(&cursor);
    HeaderValue::try_from(format!("<?{}>; rel=\"next\"", pairs.join("&"))).ok()
}

/// Tells lists apart: by what is asked, and everything that says which of it. Whoever turns pages may change how long they are.
fn list_of(params: &Params) -> u64 {
    let filter = params.all();
    let filter: Vec<_> = filter
        .filter(|(name, _)| !["cursor", "limit"].contains(name))
        .collect();
    let asked = format!("{:?}", (params.uri().path(), filter));
    let digest = Sha256::digest(asked);
    u64::from_le_bytes(std::array::from_fn(|at| digest[at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(items: &[u32], limit: u32, uri: &str) -> Page<u32> {
        Page::of(items.to_vec(), limit, &params(uri), |last| (*last, "x"))
    }

    fn params(uri: &str) -> Params {
        let uri = uri.parse().unwrap();
        Params::of(&uri, &["service", "limit", "cursor"]).unwrap()
    }

    #[test]
    fn a_page_that_is_not_the_last_links_to_the_next() {
        let whole = page(&[1, 2], 2, "/list?limit=2");
        assert_eq!((whole.items, whole.next), (vec![1, 2], None));
        assert!(page(&[], 2, "/list").next.is_none());
        let cut = page(&[1, 2, 3], 2, "/list?cursor=old&service=a%20b");
        assert_eq!(cut.items, [1, 2]);
        let next = cut.next.unwrap();
        let next = next.to_str().unwrap();
        let uri = next
            .strip_prefix("<")
            .unwrap()
            .strip_suffix(">; rel=\"next\"")
            .unwrap();
        assert!(uri.starts_with("?service=a%20b&cursor="), "{uri}");
        let read = |uri: &str| cursor::<(u32, String)>(&params(uri));
        let first = Some((2, "x".to_owned()));
        assert_eq!(read(&format!("/list{uri}")).unwrap(), first);
        // The page may be longer, and written otherwise; another list it may not be.
        let other = uri.replace("%20", "+") + "&limit=7";
        assert_eq!(read(&format!("/list{other}")).unwrap(), first);
        assert!(read(&format!("/others{uri}")).is_err());
        for service in ["", "service=a&", "service=&"] {
            let other = uri.replace("service=a%20b&", service);
            assert!(read(&format!("/list{other}")).is_err(), "{other}");
        }
        assert!(cursor::<u32>(&params(&format!("/list{uri}"))).is_err());
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for text in ["", "x", "%00", "bm9uZQ", "====", "MQ"] {
            let params = params(&format!("/list?cursor={text}"));
            assert!(cursor::<u32>(&params).is_err(), "{text}");
        }
    }
}
