//! Names within the limits of the wire format, and a bounded number of them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use appweight_wire::{Flag, limits};

/// How many endpoints and tasks a process counts by name.
const ENDPOINTS: usize = 1_000;
/// How many pairs of flag and value an endpoint is counted for.
const FLAG_VALUES: usize = 64;
/// Where the endpoints beyond the limit are counted.
const OTHER: &str = "other";

/// An endpoint or task by name, with the flags seen on it.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) id: u32,
    pub(crate) name: String,
    flags: RwLock<Vec<Flag>>,
}

impl Endpoint {
    fn new(id: u32, name: String) -> Self {
        Self {
            id,
            name,
            flags: RwLock::default(),
        }
    }

    /// The number of a flag's value here; `None` if there are too many already.
    pub(crate) fn flag_number(&self, flag: &Flag) -> Option<u8> {
        let find = |flags: &[Flag]| flags.iter().position(|known| known == flag);
        let known = find(&self.flags.read().unwrap_or_else(PoisonError::into_inner));
        let at = known.or_else(|| {
            let mut flags = self.flags.write().unwrap_or_else(PoisonError::into_inner);
            find(&flags).or_else(|| {
                (flags.len() < FLAG_VALUES).then(|| {
                    flags.push(flag.clone());
                    flags.len() - 1
                })
            })
        })?;
        u8::try_from(at).ok()
    }
}

/// The endpoints that a process has seen. Names come from routes, but an endpoint hook may pass on
/// whatever a client sent, so their number is bounded.
#[derive(Debug)]
pub(crate) struct Endpoints {
    known: RwLock<HashMap<String, Arc<Endpoint>>>,
    other: Arc<Endpoint>,
}

impl Endpoints {
    pub(crate) fn new() -> Self {
        Self {
            known: RwLock::default(),
            other: Arc::new(Endpoint::new(u32::MAX, OTHER.to_owned())),
        }
    }

    /// The endpoint of that name, and whether it is one of its own rather than [`OTHER`].
    pub(crate) fn resolve(&self, name: &str) -> (Arc<Endpoint>, bool) {
        let name = if name.is_empty() {
            Cow::Borrowed("unmatched")
        } else {
            clean(name)
        };
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(endpoint) = known.get(&*name) {
            return (endpoint.clone(), true);
        }
        let full = known.len() >= ENDPOINTS;
        drop(known);
        if full || name == OTHER {
            return (self.other.clone(), name == OTHER);
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let count = known.len();
        if let Some(endpoint) = known.get(&*name) {
            return (endpoint.clone(), true);
        }
        if count >= ENDPOINTS {
            return (self.other.clone(), false);
        }
        let id = u32::try_from(count).unwrap_or(u32::MAX);
        let endpoint = Arc::new(Endpoint::new(id, name.clone().into_owned()));
        known.insert(name.into_owned(), endpoint.clone());
        (endpoint, true)
    }
}

/// A name that the wire format takes: at most 200 bytes and no control characters. One record with
/// a longer name would cost the whole batch.
pub(crate) fn clean(name: &str) -> Cow<'_, str> {
    let mut end = name.len().min(limits::NAME_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    let name = &name[..end];
    if !name.chars().any(char::is_control) {
        return Cow::Borrowed(name);
    }
    // A question mark is one byte, a control character at least one: it stays within the limit.
    Cow::Owned(name.replace(char::is_control, "?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_at_a_character_and_lose_control_characters() {
        assert_eq!(clean("/users/{id}"), "/users/{id}");
        assert_eq!(clean("a\nb\u{85}"), "a?b?");
        let long = "ä".repeat(150);
        assert_eq!(clean(&long).len(), limits::NAME_BYTES);
        let odd = format!("x{long}");
        assert_eq!(clean(&odd).len(), limits::NAME_BYTES - 1);
    }

    #[test]
    fn the_first_thousand_names_are_kept_and_the_rest_are_other() {
        let endpoints = Endpoints::new();
        for index in 0..ENDPOINTS + 50 {
            let (endpoint, own) = endpoints.resolve(&format!("/{index}"));
            assert_eq!(own, index < ENDPOINTS);
            assert_eq!(endpoint.name == OTHER, !own);
        }
        assert_eq!(endpoints.resolve("/7").0.id, 7);
    }

    #[test]
    fn flag_values_are_bounded_per_endpoint() {
        let endpoints = Endpoints::new();
        let (endpoint, _) = endpoints.resolve("/");
        let flag = |value: usize| Flag {
            name: "ranker".into(),
            value: value.to_string(),
        };
        for value in 0..FLAG_VALUES {
            assert_eq!(endpoint.flag_number(&flag(value)), u8::try_from(value).ok());
        }
        assert_eq!(endpoint.flag_number(&flag(FLAG_VALUES)), None);
        assert_eq!(endpoint.flag_number(&flag(3)), Some(3));
    }
}
