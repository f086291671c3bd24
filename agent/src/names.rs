//! Names within the limits of the wire format, and a bounded number of them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use appweight_wire::{Flag, limits};

/// How many endpoints and tasks a process counts by name.
pub(crate) const ENDPOINTS: usize = 1_000;
/// How many pairs of flag and value an endpoint is counted for.
const FLAG_VALUES: usize = 64;
/// Where the endpoints beyond the limit are counted.
const OTHER_NAME: &str = "other";
/// What no route matched.
pub(crate) const UNMATCHED: &str = "unmatched";

/// The number of the endpoint that those beyond the limit are counted under.
pub(crate) const OTHER: u32 = 0;

/// An endpoint or task by name, with the flags seen on it.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) name: String,
    flags: RwLock<Vec<Flag>>,
}

impl Endpoint {
    fn new(name: String) -> Arc<Self> {
        Arc::new(Self {
            name,
            flags: RwLock::default(),
        })
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

    /// The flag's value of that number.
    pub(crate) fn flag(&self, number: u8) -> Option<Flag> {
        let flags = self.flags.read().unwrap_or_else(PoisonError::into_inner);
        flags.get(usize::from(number)).cloned()
    }
}

/// The endpoints that a process has seen, numbered from 1. Names come from routes, but an endpoint
/// hook may pass on whatever a client sent, so their number is bounded.
#[derive(Debug)]
pub(crate) struct Endpoints(RwLock<Known>);

#[derive(Debug)]
struct Known {
    by_name: HashMap<String, u32>,
    by_number: Vec<Arc<Endpoint>>,
}

impl Endpoints {
    pub(crate) fn new() -> Self {
        Self(RwLock::new(Known {
            by_name: HashMap::from([(OTHER_NAME.to_owned(), OTHER)]),
            by_number: vec![Endpoint::new(OTHER_NAME.to_owned())],
        }))
    }

    /// The number of the endpoint of that name; [`OTHER`] once there are too many.
    pub(crate) fn number(&self, name: &str) -> u32 {
        let name = if name.is_empty() {
            Cow::Borrowed(UNMATCHED)
        } else {
            clean(name)
        };
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = known.by_name.get(&*name) {
            return *number;
        }
        drop(known);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = known.by_name.get(&*name) {
            return *number;
        }
        if known.by_number.len() > ENDPOINTS {
            return OTHER;
        }
        let number = u32::try_from(known.by_number.len()).unwrap_or(OTHER);
        known
            .by_number
            .push(Endpoint::new(name.clone().into_owned()));
        known.by_name.insert(name.into_owned(), number);
        number
    }

    /// The endpoint of that number.
    pub(crate) fn get(&self, number: u32) -> Arc<Endpoint> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let endpoint = known.by_number.get(number as usize);
        Arc::clone(endpoint.unwrap_or(&known.by_number[OTHER as usize]))
    }
}

/// What a thread remembers of the names it has seen, so that it need not ask for their numbers.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    /// By address: the name of a route lies where it lay before. What lies there now is compared,
    /// since an address may come to hold another name.
    recent: Vec<Option<(Box<str>, u32)>>,
}

/// A power of two, larger than the number of routes of most services.
const RECENT: usize = 256;

impl Numbers {
    /// The number of that name.
    #[inline]
    pub(crate) fn of(&mut self, name: &str, endpoints: &Endpoints) -> u32 {
        // Allocators align to 16 bytes: the lowest bits say nothing.
        let at = (name.as_ptr() as usize >> 4) % RECENT;
        match self.recent.get(at) {
            Some(Some((known, number))) if **known == *name => *number,
            _ => self.ask(name, at, endpoints),
        }
    }

    #[cold]
    fn ask(&mut self, name: &str, at: usize, endpoints: &Endpoints) -> u32 {
        let number = endpoints.number(name);
        if number != OTHER {
            if self.recent.is_empty() {
                self.recent.resize(RECENT, None);
            }
            self.recent[at] = Some((Box::from(name), number));
        }
        number
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
        let mut numbers = Numbers::default();
        for index in 0..ENDPOINTS + 50 {
            let name = format!("/{index}");
            let number = endpoints.number(&name);
            assert_eq!(number != OTHER, index < ENDPOINTS);
            assert_eq!(numbers.of(&name, &endpoints), number);
            assert_eq!(endpoints.get(number).name == name, index < ENDPOINTS);
        }
        assert_eq!(endpoints.number("/7"), 8);
        assert_eq!(endpoints.number(OTHER_NAME), OTHER);
        assert_eq!(endpoints.get(u32::MAX).name, OTHER_NAME);
    }

    #[test]
    fn a_thread_is_not_misled_by_a_new_name_at_an_old_address() {
        let endpoints = Endpoints::new();
        let mut numbers = Numbers::default();
        let mut name = String::from("/a");
        let a = numbers.of(&name, &endpoints);
        name.replace_range(.., "/b");
        let b = numbers.of(&name, &endpoints);
        assert_ne!(a, b);
        assert_eq!(endpoints.get(b).name, "/b");
    }

    #[test]
    fn flag_values_are_bounded_per_endpoint() {
        let endpoints = Endpoints::new();
        let endpoint = endpoints.get(endpoints.number("/"));
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
