use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;

use appweight_wire::Kind;

use crate::evidence::PlacedCell;
use crate::live::{Counted, MINUTE_US, Sums};

const HOUR_US: u64 = 60 * MINUTE_US;

/// The cells of a service's flags, added up as they are read: any part of the time first.
#[derive(Debug, Default)]
pub struct FlagCells {
    pub(super) counted: Option<Counted>,
    pub(super) endpoints: Names<(Kind, String)>,
    pub(super) clusters: Names<String>,
    deploys: Names<String>,
    /// By flag and value.
    pub(super) values: BTreeMap<String, BTreeMap<String, Value>>,
    /// All requests, with and without flags.
    pub(super) whole: BTreeMap<Place, Counts>,
    pub(super) whole_hosts: BTreeMap<HostPlace, u64>,
    /// Minutes that were read.
    pub(super) minutes: BTreeSet<u64>,
}

/// What is compared by itself: the requests of a cell's time, deploy, endpoint and cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) start_us: u64,
    pub(super) deploy: usize,
    pub(super) endpoint: usize,
    pub(super) cluster: usize,
}

/// Where hosts can be told from each other: an hour of an endpoint in a cluster, and in it a group of hosts.
pub(super) type HostPlace = ((u64, usize, usize), u8);

/// The requests that had a value.
#[derive(Debug, Default)]
pub(super) struct Value {
    pub(super) places: BTreeMap<Place, Counts>,
    pub(super) hosts: BTreeMap<HostPlace, u64>,
}

/// Requests, and what those cost that were measured.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) requests: u64,
    pub(super) errors: u64,
    pub(super) sums: Sums,
}

impl FlagCells {
    /// Adds the cells of a span of time: those kept per flag, and those that hold all requests.
    pub fn add(&mut self, flags: &[PlacedCell], whole: &[PlacedCell]) {
        if self.counted.is_none() {
            self.counted = Counted::of(whole);
        }
        let Some(counted) = self.counted else {
            return;
        };
        for placed in whole {
            let place = self.place(placed);
            self.minutes.insert(place.start_us / MINUTE_US);
            self.whole.entry(place).or_default().add(placed, counted);
            *self
                .whole_hosts
                .entry(host_place(place, placed))
                .or_default() += placed.cell.n;
        }
        for placed in flags {
            let Some(flag) = &placed.cell.key.flag else {
                continue;
            };
            let place = self.place(placed);
            if !self.values.contains_key(&flag.name) {
                self.values.insert(flag.name.clone(), BTreeMap::new());
            }
            let Some(values) = self.values.get_mut(&flag.name) else {
                continue;
            };
            if !values.contains_key(&flag.value) {
                values.insert(flag.value.clone(), Value::default());
            }
            let Some(value) = values.get_mut(&flag.value) else {
                continue;
            };
            value.places.entry(place).or_default().add(placed, counted);
            *value.hosts.entry(host_place(place, placed)).or_default() += placed.cell.n;
        }
    }

    fn place(&mut self, placed: &PlacedCell) -> Place {
        let key = &placed.cell.key;
        Place {
            start_us: key.start_us,
            deploy: self.deploys.number(&placed.deploy),
            endpoint: self.endpoints.number(&(key.kind, key.endpoint.clone())),
            cluster: self.clusters.number(&placed.cluster),
        }
    }
}

fn host_place(place: Place, placed: &PlacedCell) -> HostPlace {
    let hour = place.start_us / HOUR_US;
    ((hour, place.endpoint, place.cluster), placed.host_group)
}

impl Counts {
    fn add(&mut self, placed: &PlacedCell, counted: Counted) {
        let cell = &placed.cell;
        self.requests = self.requests.saturating_add(cell.n);
        self.errors = self.errors.saturating_add(cell.errors);
        if let Some(distribution) = counted.read(placed) {
            self.sums.add(distribution, cell.weight);
        }
    }

    /// Adds others to it.
    pub(super) fn join(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.errors = self.errors.saturating_add(other.errors);
        self.sums.n += other.sums.n;
        self.sums.weight += other.sums.weight;
        self.sums.sum += other.sums.sum;
        self.sums.log += other.sums.log;
        self.sums.square_log += other.sums.square_log;
    }

    /// What remains of it without a part.
    pub(super) fn without(&self, part: &Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(part.requests),
            errors: self.errors.saturating_sub(part.errors),
            sums: Sums {
                n: self.sums.n - part.sums.n,
                weight: self.sums.weight - part.sums.weight,
                sum: self.sums.sum - part.sums.sum,
                log: self.sums.log - part.sums.log,
                square_log: self.sums.square_log - part.sums.square_log,
            },
        }
    }

    /// What all requests cost that it stands for.
    pub(super) fn spent(&self) -> f64 {
        if self.sums.n > 0.0 {
            self.sums.sum / self.sums.n * self.sums.weight
        } else {
            0.0
        }
    }
}

/// Texts by number.
#[derive(Debug)]
pub(super) struct Names<T> {
    numbers: HashMap<T, usize>,
    pub(super) all: Vec<T>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self {
            numbers: HashMap::new(),
            all: Vec::new(),
        }
    }
}

impl<T: Clone + Eq + Hash> Names<T> {
    fn number(&mut self, name: &T) -> usize {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        self.numbers.insert(name.clone(), self.all.len());
        self.all.push(name.clone());
        self.all.len() - 1
    }
}
