//! Names within the limits of the wire format, and a bounded number of them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use appweight_wire::{Flag, limits};

use crate::costliest::Bar;

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
    pub(crate) name: Arc<str>,
    /// What a request must cost to be the costliest.
    pub(crate) bar: Bar,
    flags: RwLock<Vec<Flag>>,
}

impl Endpoint {
    fn new(name: Arc<str>) -> Self {
        Self {
            name,
            bar: Bar::default(),
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

    /// The flag's value of that number.
    pub(crate) fn flag(&self, number: u8) -> Option<Flag> {
        let flags = self.flags.read().unwrap_or_else(PoisonError::into_inner);
        flags.get(usize::from(number)).cloned()
    }
}

/// The endpoints that a process has seen, numbered from 1. Names come from routes, but an endpoint
/// hook may pass on whatever a client sent, so their number is bounded.
#[derive(Debug)]
pub(crate) struct Endpoints {
    by_name: RwLock<HashMap<Arc<str>, u32>>,
    /// Filled from the start on, and read without a lock.
    by_number: Box<[OnceLock<Endpoint>]>,
}

impl Endpoints {
    pub(crate) fn new() -> Self {
        let endpoints = Self {
            by_name: RwLock::default(),
            by_number: (0..=ENDPOINTS).map(|_| OnceLock::new()).collect(),
        };
        endpoints.number(OTHER_NAME);
        endpoints
    }

    /// The number of the endpoint of that name; [`OTHER`] once there are too many.
    pub(crate) fn number(&self, name: &str) -> u32 {
        let name = told(name);
        let known = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = known.get(&*name) {
            return *number;
        }
        drop(known);
        let mut known = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = known.get(&*name) {
            return *number;
        }
        let at = known.len();
        let (Some(place), Ok(number)) = (self.by_number.get(at), u32::try_from(at)) else {
            return OTHER;
        };
        let name: Arc<str> = Arc::from(&*name);
        place.get_or_init(|| Endpoint::new(Arc::clone(&name)));
        known.insert(name, number);
        number
    }

    /// Whether there are all that there will ever be.
    fn are_all_there(&self) -> bool {
        self.by_number
            .last()
            .is_some_and(|last| last.get().is_some())
    }

    /// The endpoint of that number.
    #[inline]
    pub(crate) fn get(&self, number: u32) -> &Endpoint {
        let endpoint = self.by_number.get(number as usize);
        endpoint
            .and_then(OnceLock::get)
            .or_else(|| self.by_number.first()?.get())
            .expect("the first endpoint is there from the start")
    }
}

/// What a thread remembers of the names it has seen, so that it need not ask for their numbers: a hash
/// table, found by what a name says, since a nested router makes a new one for each request.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    /// A power of two, twice as many as there are names in it at least; none at first.
    slots: Box<[Slot]>,
    taken: usize,
}

/// Four bytes, since every thread has its own.
#[derive(Debug, Clone, Copy)]
struct Slot {
    /// The endpoint's number; [`OTHER`] where there is none, which is never remembered.
    number: u16,
    /// A part of the hash that did not choose the slot.
    tag: u16,
}

impl Slot {
    const EMPTY: Self = Self { number: 0, tag: 0 };

    fn is_empty(self) -> bool {
        self.number == Self::EMPTY.number
    }
}

const FEWEST_SLOTS: usize = 32;

impl Numbers {
    /// The number of that name.
    #[inline]
    pub(crate) fn of(&mut self, name: &str, endpoints: &Endpoints) -> u32 {
        let hash = hash(name);
        match self.find(name, hash, endpoints) {
            Some(number) => number,
            None => self.ask(name, hash, endpoints),
        }
    }

    #[inline]
    fn find(&self, name: &str, hash: u32, endpoints: &Endpoints) -> Option<u32> {
        let mut at = hash as usize;
        while !self.slots.is_empty() {
            at &= self.slots.len() - 1;
            let slot = self.slots.get(at)?;
            if slot.is_empty() {
                break;
            }
            let number = slot.number.into();
            if slot.tag == tag(hash) && *endpoints.get(number).name == *name {
                return Some(number);
            }
            at += 1;
        }
        None
    }

    #[cold]
    fn ask(&mut self, name: &str, hash: u32, endpoints: &Endpoints) -> u32 {
        if endpoints.are_all_there() {
            return self.of_all(name, endpoints);
        }
        let number = endpoints.number(name);
        // There is no bound to what is counted as another, nor to the names that are made clean.
        if number != OTHER
            && *endpoints.get(number).name == *name
            && let Ok(number) = u16::try_from(number)
        {
            if self.taken * 2 >= self.slots.len() {
                self.grow(endpoints);
            }
            self.insert(number, hash);
            self.taken += 1;
        }
        number
    }

    /// Once no more names are taken, each thread knows them all, so that those that are counted as others, however many there
    /// are, need no lock.
    fn of_all(&mut self, name: &str, endpoints: &Endpoints) -> u32 {
        if self.taken < ENDPOINTS {
            self.slots = vec![Slot::EMPTY; (2 * ENDPOINTS).next_power_of_two()].into_boxed_slice();
            self.taken = ENDPOINTS;
            for number in (1_u16..).take(ENDPOINTS) {
                let hash = hash(&endpoints.get(number.into()).name);
                self.insert(number, hash);
            }
        }
        let name = told(name);
        self.find(&name, hash(&name), endpoints).unwrap_or(OTHER)
    }

    fn grow(&mut self, endpoints: &Endpoints) {
        let more = (self.slots.len() * 2).max(FEWEST_SLOTS);
        let before = mem::replace(&mut self.slots, vec![Slot::EMPTY; more].into_boxed_slice());
        for slot in before.into_iter().filter(|slot| !slot.is_empty()) {
            let hash = hash(&endpoints.get(slot.number.into()).name);
            self.insert(slot.number, hash);
        }
    }

    fn insert(&mut self, number: u16, hash: u32) {
        let last = self.slots.len() - 1;
        let mut at = hash as usize & last;
        while !self.slots[at].is_empty() {
            at = (at + 1) & last;
        }
        let tag = tag(hash);
        self.slots[at] = Slot { number, tag };
    }
}

/// What an endpoint of that name is called.
fn told(name: &str) -> Cow<'_, str> {
    if name.is_empty() {
        Cow::Borrowed(UNMATCHED)
    } else {
        clean(name)
    }
}

fn tag(hash: u32) -> u16 {
    (hash >> 16) as u16
}

/// Mixes a name's bytes, eight at a time, by multiplication (as wyhash does). Names are few, and whoever
/// chooses them to collide slows his own service down.
#[inline]
fn hash(name: &str) -> u32 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |sum: u64, word: u64| {
        let product = u128::from(sum ^ word) * u128::from(ODD);
        (product >> 64) as u64 ^ product as u64
    };
    let bytes = name.as_bytes();
    let mut sum = bytes.len() as u64 ^ ODD;
    // The last word overlaps the one before, so that no byte is left over.
    let Some(last) = bytes.last_chunk::<8>() else {
        return mix(sum, short(bytes)) as u32;
    };
    for word in bytes[..bytes.len() - 1].as_chunks::<8>().0 {
        sum = mix(sum, u64::from_le_bytes(*word));
    }
    mix(sum, u64::from_le_bytes(*last)) as u32
}

/// All bytes of a name of less than eight, in one word.
#[inline]
fn short(bytes: &[u8]) -> u64 {
    match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>(), bytes) {
        (Some(first), Some(last), _) => {
            u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last))
        }
        (.., [first, .., last]) => {
            let middle = bytes[bytes.len() / 2];
            u64::from(*first) << 16 | u64::from(middle) << 8 | u64::from(*last)
        }
        (.., [only]) => u64::from(*only),
        (.., []) => 0,
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
            assert_eq!(*endpoints.get(number).name == *name, index < ENDPOINTS);
        }
        assert_eq!(endpoints.number("/7"), 8);
        assert_eq!(endpoints.number(OTHER_NAME), OTHER);
        assert_eq!(&*endpoints.get(u32::MAX).name, OTHER_NAME);
        assert_eq!(
            (numbers.taken, numbers.slots.len()),
            (ENDPOINTS, 2_048),
            "others take no room"
        );
    }

    #[test]
    fn once_there_are_all_names_a_thread_knows_those_that_it_never_met_and_asks_nobody() {
        let endpoints = Endpoints::new();
        let mut early = Numbers::default();
        early.of("/0", &endpoints);
        endpoints.number("");
        endpoints.number("a\nb");
        for index in 0..ENDPOINTS {
            endpoints.number(&format!("/{index}"));
        }
        assert!(endpoints.are_all_there());
        // A lock that is held: whoever asked would wait for ever.
        let held = endpoints.by_name.write().unwrap();
        for mut numbers in [early, Numbers::default()] {
            for beyond in ["/new", "other", "/newer", "x\ny"] {
                assert_eq!(numbers.of(beyond, &endpoints), OTHER);
            }
            for (name, number) in [
                ("/0", 1),
                ("", 2),
                ("unmatched", 2),
                ("a\nb", 3),
                ("a?b", 3),
            ] {
                assert_eq!(numbers.of(name, &endpoints), number, "{name}");
            }
            assert_eq!(numbers.of("/7", &endpoints), 10);
            assert_eq!((numbers.taken, numbers.slots.len()), (ENDPOINTS, 2_048));
        }
        drop(held);
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
        assert_eq!(&*endpoints.get(b).name, "/b");
        // And asks once for each, wherever it lies.
        let again = String::from("/a");
        assert_eq!(numbers.of(&again, &endpoints), a);
        assert_eq!(numbers.taken, 2);
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
