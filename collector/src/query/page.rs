//! Long lists, a page at a time.

use axum::Json;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderValue, StatusCode, Uri, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

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
    /// of the cursor which is made of the last item on this one.
    pub(super) fn of<C: Serialize>(
        mut items: Vec<T>,
        limit: u32,
        uri: &Uri,
        cursor: impl FnOnce(&T) -> C,
    ) -> Self {
        let limit = limit as usize;
        let next = match limit.checked_sub(1).and_then(|last| items.get(last)) {
            Some(last) if items.len() > limit => link(uri, &cursor(last)),
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

/// Where a page begins: what the link to it was made of. `None` is the first one.
pub(super) fn cursor<C: DeserializeOwned>(params: &Params) -> Result<Option<C>, Refusal> {
    let Some(text) = params.given("cursor") else {
        return Ok(None);
    };
    let json = URL_SAFE_NO_PAD.decode(text).ok();
    let cursor = json.and_then(|json| serde_json::from_slice(&json).ok());
    cursor.map(Some).ok_or_else(|| {
        let detail = "It is none that the Link of a page of this list had.";
        Refusal::of(StatusCode::BAD_REQUEST, "cursor", detail)
    })
}

/// A reference relative to what was asked (RFC 8288), so that it holds behind a proxy too.
fn link(uri: &Uri, cursor: &impl Serialize) -> Option<HeaderValue> {
    let json = serde_json::to_vec(cursor).ok()?;
    let asked = uri.query().unwrap_or_default().split('&');
    let mut pairs: Vec<&str> = asked
        .filter(|pair| !pair.is_empty() && pair.split('=').next() != Some("cursor"))
        .collect();
    let cursor = format!("cursor={}", URL_SAFE_NO_PAD.encode(json));
    pairs.push(&cursor);
    HeaderValue::try_from(format!("<?{}>; rel=\"next\"", pairs.join("&"))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(items: &[u32], limit: u32, uri: &str) -> Page<u32> {
        Page::of(items.to_vec(), limit, &uri.parse().unwrap(), |last| {
            (*last, "x")
        })
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
        let uri: Uri = format!("/list{uri}").parse().unwrap();
        assert!(
            uri.query().unwrap().starts_with("service=a%20b&cursor="),
            "{uri}"
        );
        let params = Params::of(&uri, &["service", "cursor"]).unwrap();
        let read: Option<(u32, String)> = cursor(&params).unwrap();
        assert_eq!(read, Some((2, "x".to_owned())));
        // That of another list is none of this one.
        assert!(cursor::<u32>(&params).is_err());
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for text in ["", "x", "%00", "bm9uZQ", "===="] {
            let uri: Uri = format!("/list?cursor={text}").parse().unwrap();
            let params = Params::of(&uri, &["cursor"]).unwrap();
            assert!(cursor::<u32>(&params).is_err(), "{text}");
        }
    }
}
