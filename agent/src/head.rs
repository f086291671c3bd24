use http::{Extensions, HeaderMap, Method, Request, Uri, Version};

/// What a hook sees of a request: its head, borrowed.
///
/// It is read where it lies: [`http::request::Parts`] would have to be taken out of the request and put back, some hundred
/// bytes for each request.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct RequestHead<'a> {
    /// As `GET`.
    pub method: &'a Method,
    /// As the service sees it: what a router has stripped is not there.
    pub uri: &'a Uri,
    /// Of HTTP.
    pub version: Version,
    /// All headers.
    pub headers: &'a HeaderMap,
    /// What layers outside of the agent's, and the router, have added.
    pub extensions: &'a Extensions,
}

impl<'a> RequestHead<'a> {
    #[inline]
    pub(crate) fn of<B>(request: &'a Request<B>) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            version: request.version(),
            headers: request.headers(),
            extensions: request.extensions(),
        }
    }
}
