//! Addresses of pages and questions. Every name in one is somebody else's text.

use appweight::api::ProfileDiff;
use appweight_wire::{Deploy, Taken};

/// Percent-encodes all but the characters that are themselves anywhere in an address.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for &byte in text.as_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                out.push('%');
                out.push(char::from(HEX[usize::from(byte >> 4)]));
                out.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
    // A segment of dots alone would be taken for a step up the path.
    if matches!(out.as_str(), "." | "..") {
        out = out.replace('.', "%2E");
    }
    out
}

/// A path with those parameters that are there.
pub(crate) fn with_query(path: &str, parameters: &[(&str, Option<String>)]) -> String {
    let mut out = path.to_owned();
    let mut join = '?';
    for (name, value) in parameters {
        if let Some(value) = value {
            out.push(join);
            out.push_str(name);
            out.push('=');
            out.push_str(&encode(value));
            join = '&';
        }
    }
    out
}

pub(crate) fn home(service: &str) -> String {
    with_query("/", &[("service", Some(service.to_owned()))])
}

pub(crate) fn fleet(service: &str) -> String {
    with_query("/processes", &[("service", Some(service.to_owned()))])
}

pub(crate) fn trends(service: &str, weeks: Option<u64>) -> String {
    with_query(
        "/trends",
        &[
            ("service", Some(service.to_owned())),
            ("weeks", weeks.map(|weeks| weeks.to_string())),
        ],
    )
}

pub(crate) fn flags(service: &str) -> String {
    with_query("/flags", &[("service", Some(service.to_owned()))])
}

/// The page of one roll-out: a roll-back ships an old id again, so the start belongs to it.
pub(crate) fn deploy(deploy: &Deploy) -> String {
    with_query(
        &format!("/deploys/{}", encode(&deploy.id)),
        &[
            ("service", Some(deploy.service.clone())),
            ("started_us", Some(deploy.started_us.to_string())),
        ],
    )
}

/// The functions on that page, by that timer.
pub(crate) fn functions(of: &Deploy, timer: &str, taken: Taken) -> String {
    let mut address = deploy(of);
    for (name, value) in [("timer", timer), ("taken", taken.as_str())] {
        address.extend(["&", name, "=", &encode(value)]);
    }
    address.push_str("#functions");
    address
}

pub(crate) fn requests(service: &str, endpoint: Option<&str>, deploy: Option<&str>) -> String {
    with_query(
        "/endpoints/requests",
        &[
            ("service", Some(service.to_owned())),
            ("endpoint", endpoint.map(str::to_owned)),
            ("deploy", deploy.map(str::to_owned)),
        ],
    )
}

/// The differential flame graph of exactly these profiles.
pub(crate) fn flamegraph(found: &ProfileDiff) -> String {
    let deploys = [
        ("service", found.service.as_str()),
        ("base", &found.base),
        ("head", &found.head),
    ];
    let parameters: Vec<(&str, Option<String>)> = deploys
        .into_iter()
        .chain(found.of.parameters())
        .map(|(name, value)| (name, Some(value.to_owned())))
        .collect();
    with_query("/profiles/flamegraph.svg", &parameters)
}

/// An address from outside, if it is one that may be linked: never `javascript:` and its kin.
pub(crate) fn outside(link: &str) -> Option<&str> {
    let scheme = link.split_once("://")?.0;
    (scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http")).then_some(link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_place_in_an_address() {
        assert_eq!(encode("a/b?c&d=e#f\"<>"), "a%2Fb%3Fc%26d%3De%23f%22%3C%3E");
        assert_eq!(encode(".."), "%2E%2E");
        assert_eq!(encode("ü"), "%C3%BC");
    }

    #[test]
    fn only_web_links_are_links() {
        assert_eq!(outside("https://x/y"), Some("https://x/y"));
        assert_eq!(outside("javascript:alert(1)"), None);
        assert_eq!(outside("javascript:alert('https://x')"), None);
        assert_eq!(outside("data:text/html,x"), None);
    }
}
