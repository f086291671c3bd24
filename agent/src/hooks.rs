//! What the service tells about a request.

use std::borrow::Cow;
use std::fmt;

use axum::extract::MatchedPath;
use http::Extensions;
use siphasher::{sip, sip128};

use crate::RequestHead;
use crate::names::UNMATCHED;

/// Says who a request is from.
pub(crate) type UserHook =
    Box<dyn for<'a> Fn(RequestHead<'a>) -> Option<Cow<'a, str>> + Send + Sync>;
/// Says which endpoint a request is for.
pub(crate) type EndpointHook = Box<dyn Fn(RequestHead<'_>) -> Option<String> + Send + Sync>;

#[derive(Default)]
pub(crate) struct Hooks {
    pub(crate) user: Option<UserHook>,
    pub(crate) endpoint: Option<EndpointHook>,
    pub(crate) user_hash: UserHash,
}

impl Hooks {
    /// The keyed hash of who the request is from. The identity itself goes no further.
    pub(crate) fn user(&self, head: RequestHead<'_>) -> Option<u64> {
        let user = self.user.as_ref()?;
        user(head).map(|identity| self.user_hash.hash(&identity))
    }

    /// The route's template: a raw path never becomes an endpoint.
    pub(crate) fn endpoint<'a>(&self, head: RequestHead<'a>) -> Cow<'a, str> {
        if let Some(name) = self.endpoint.as_ref().and_then(|endpoint| endpoint(head)) {
            return Cow::Owned(name);
        }
        Cow::Borrowed(route(head.extensions))
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Hooks")
            .field("user", &self.user.is_some())
            .field("endpoint", &self.endpoint.is_some())
            .finish_non_exhaustive()
    }
}

/// The template of the route that axum matched.
pub(crate) fn route(extensions: &Extensions) -> &str {
    extensions
        .get::<MatchedPath>()
        .map_or(UNMATCHED, MatchedPath::as_str)
}

/// SipHash-2-4 with a secret key, so that nobody who reads a sketch can try identities out.
pub(crate) struct UserHash(sip::SipHasher24);

impl UserHash {
    /// The same secret gives the same hashes in all processes of a service.
    pub(crate) fn new(secret: &str) -> Self {
        let key = sip128::SipHasher24::new()
            .hash(secret.as_bytes())
            .as_bytes();
        Self(sip::SipHasher24::new_with_key(&key))
    }

    fn hash(&self, identity: &str) -> u64 {
        self.0.hash(identity.as_bytes())
    }
}

impl Default for UserHash {
    fn default() -> Self {
        Self::new("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_depend_on_the_secret_and_never_change() {
        // The numbers of docs/wire.md: processes of one service must hash alike, whatever their versions.
        let of_document = UserHash::new("a secret");
        assert_eq!(of_document.hash("user-1"), 0x51fa_41e5_7f9c_8fbc);
        assert_eq!(of_document.hash("user-2"), 0x96cf_0fab_3148_dc2b);
        let a = UserHash::new("secret");
        assert_ne!(a.hash("user-1"), a.hash("user-2"));
        assert_ne!(a.hash("user-1"), UserHash::new("other").hash("user-1"));
    }

    #[test]
    fn the_hook_comes_before_the_route_and_the_path_is_never_used() {
        let request = http::Request::builder()
            .uri("/users/17")
            .header("x-user", "17")
            .body(())
            .unwrap();
        let head = RequestHead::of(&request);
        let mut hooks = Hooks::default();
        assert_eq!(hooks.endpoint(head), UNMATCHED);
        assert_eq!(hooks.user(head), None);
        hooks.endpoint = Some(Box::new(|_| Some("/users/{id}".to_owned())));
        assert_eq!(hooks.endpoint(head), "/users/{id}");
        hooks.user = Some(Box::new(|head| {
            Some(head.headers.get("x-user")?.to_str().ok()?.into())
        }));
        assert_eq!(hooks.user(head), Some(UserHash::default().hash("17")));
    }
}
