//! Profiles of one process, added up until their span is over.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use appweight_wire::{Age, Function, InstructionSource, Kind, ProfileRecord, Taken, limits};

use super::contexts::{Context, Contexts};
use super::record;
use crate::names::Endpoints;

/// All profiles whose span is not over yet, bounded in memory.
///
/// It lies behind `Core::with_profiles`, which takes a lock: only the agent's own threads call it, never a request.
///
/// To add a profile:
///
/// 1. Ask for the number of each function, once: [`Profiles::function`]. Keep the numbers; they stay valid as long as
///    the process.
/// 2. Give a [`Part`]: the tree of one request, or of any number of requests of one (kind, endpoint, age) that ended
///    in one span, with the values that each timer has for each node. Node 0 is the request itself.
///
/// Parts with the same span, kind, endpoint, age, way of taking and timers are added, node by node. When the span
/// is over, the thread that seals batches takes one record for each. What finds no room is given up as a whole, and
/// [`Profiles::add`] says so; the caller has nothing to count.
#[derive(Debug, Default)]
pub(crate) struct Profiles {
    functions: Vec<Function>,
    numbers: HashMap<Function, FunctionId>,
    open: HashMap<Key, Merged>,
    /// In all of `open`.
    nodes: usize,
    lost: u64,
}

/// A function's number in [`Profiles`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FunctionId(pub(super) u32);

/// What is added at once.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    /// When it ended, µs since the Unix epoch: the span that it belongs to.
    pub(crate) end_us: u64,
    pub(crate) kind: Kind,
    /// The endpoint's number; `None` for samples of the whole process that belong to no request.
    pub(crate) endpoint: Option<u32>,
    pub(crate) age: Age,
    pub(crate) taken: Taken,
    /// How many requests it is of.
    pub(crate) requests: u64,
    /// Samples in the tree.
    pub(crate) samples: u64,
    /// Samples that were taken and lost.
    pub(crate) lost_samples: u64,
    /// Nodes that found no room in the tree.
    pub(crate) folded: u64,
    pub(crate) timers: &'a [TimerName],
    /// As in [`Contexts`].
    pub(crate) nodes: &'a [Context<FunctionId>],
    /// The same, a value for each timer.
    pub(crate) own: &'a [i64],
}

/// What a timer is called, see `TimerValues`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct TimerName {
    pub(crate) name: String,
    pub(crate) unit: String,
    pub(crate) cost: TimerCost,
}

/// The timer's own cost at each call, in thousandths of its unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct TimerCost {
    pub(crate) taken_off_milli: u64,
    /// What may be left of it, too much or too little.
    pub(crate) left_milli: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    start_us: u64,
    kind: Kind,
    endpoint: Option<u32>,
    age: Age,
    taken: Taken,
    timers: Vec<TimerName>,
}

/// The parts of one key.
#[derive(Debug)]
pub(super) struct Merged {
    pub(super) requests: u64,
    pub(super) samples: u64,
    pub(super) lost_samples: u64,
    pub(super) folded: u64,
    pub(super) contexts: Contexts<FunctionId>,
}

/// Nodes of one tree, before those that cost next to nothing are folded away.
const NODES: usize = 10_000;
/// Nodes in all trees: some 100 bytes each.
const ALL_NODES: usize = 100_000;
/// Beyond, functions are one.
const FUNCTIONS: usize = limits::PROFILE_NODES;
/// Its name.
const OTHER: &str = "(other functions)";

impl Profiles {
    /// The number of that function; of one that stands for all others once there are 20,000.
    pub(crate) fn function(&mut self, function: &Function) -> FunctionId {
        if let Some(number) = self.numbers.get(function) {
            return *number;
        }
        let function = if self.functions.len() + 1 < FUNCTIONS {
            record::clean(function)
        } else {
            Function::named(OTHER)
        };
        let next = FunctionId(u32::try_from(self.functions.len()).unwrap_or(u32::MAX));
        let number = *self.numbers.entry(function.clone()).or_insert(next);
        if number == next {
            self.functions.push(function);
        }
        number
    }

    /// Adds a part to its span. Says whether there was room; what found none is counted.
    pub(crate) fn add(&mut self, part: &Part<'_>, cell_us: u64) -> bool {
        let timers = part.timers.len();
        debug_assert_eq!(part.own.len(), part.nodes.len() * timers);
        let key = Key {
            start_us: part.end_us - part.end_us % cell_us.max(1),
            kind: part.kind,
            endpoint: part.endpoint,
            age: part.age,
            taken: part.taken,
            timers: part.timers.to_vec(),
        };
        if self.nodes + part.nodes.len() > ALL_NODES || part.nodes.is_empty() || timers == 0 {
            self.lost += 1;
            return false;
        }
        let (merged, before) = match self.open.entry(key) {
            Entry::Occupied(open) => {
                let merged = open.into_mut();
                let before = merged.contexts.nodes().len();
                (merged, before)
            }
            Entry::Vacant(none) => (none.insert(Merged::new(timers)), 0),
        };
        merged.add(part);
        self.nodes += merged.contexts.nodes().len() - before;
        true
    }

    /// How many parts found no room since the last call.
    pub(crate) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    /// Takes the records of the spans that are over at `now_us`, oldest first.
    pub(crate) fn take(
        &mut self,
        now_us: u64,
        cell_us: u64,
        source: InstructionSource,
        endpoints: &Endpoints,
    ) -> Vec<ProfileRecord> {
        let over = self
            .open
            .extract_if(|key, _| key.start_us.saturating_add(cell_us) <= now_us);
        let mut records = Vec::new();
        for (key, merged) in over {
            self.nodes -= merged.contexts.nodes().len();
            let counts = key.timers.iter().any(|timer| timer.name == "instructions");
            let mut record = record::of(merged, &key.timers, &self.functions);
            record.start_us = key.start_us;
            record.width_us = cell_us;
            record.kind = key.kind;
            record.endpoint = match key.endpoint {
                Some(number) => endpoints.get(number).name.to_string(),
                None => String::new(),
            };
            record.age = key.age;
            record.taken = key.taken;
            record.instruction_source = match (counts, key.taken) {
                (true, Taken::Scopes) => source,
                // No stacks are taken in the kernel.
                (true, Taken::Sampled) => InstructionSource::HardwareUser,
                (false, _) => InstructionSource::None,
            };
            records.push(record);
        }
        records.sort_unstable_by(|a, b| {
            let key = |r: &ProfileRecord| (r.start_us, r.kind, r.age, r.taken);
            key(a)
                .cmp(&key(b))
                .then_with(|| a.endpoint.cmp(&b.endpoint))
        });
        records
    }
}

impl Merged {
    pub(super) fn new(timers: usize) -> Self {
        Self {
            requests: 0,
            samples: 0,
            lost_samples: 0,
            folded: 0,
            contexts: Contexts::new(timers),
        }
    }

    fn add(&mut self, part: &Part<'_>) {
        self.requests += part.requests;
        self.samples += part.samples;
        self.lost_samples += part.lost_samples;
        self.folded += part.folded;
        let timers = part.timers.len();
        // Where each of the part's nodes is here; where there is no room, its parent's.
        let mut places: Vec<u32> = Vec::with_capacity(part.nodes.len());
        for (node, own) in part.nodes.iter().zip(part.own.chunks_exact(timers)) {
            let parent = places.get(node.parent as usize).copied().unwrap_or(0);
            let child = match node.function {
                None => Some(0),
                Some(function) => self.contexts.child(parent, function, NODES),
            };
            let (place, calls) = match child {
                Some(place) => (place, node.calls),
                None => {
                    self.folded += 1;
                    (parent, 0)
                }
            };
            self.contexts.add(place, calls, own);
            places.push(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CELL_US: u64 = 60_000_000;
    const NOW_US: u64 = 1_790_000_040_000_000;

    fn timers() -> Vec<TimerName> {
        ["cpu", "allocated"]
            .map(|name| TimerName {
                name: name.to_owned(),
                unit: "x".to_owned(),
                cost: TimerCost::default(),
            })
            .to_vec()
    }

    fn add(profiles: &mut Profiles, end_us: u64, nodes: &[(u32, &str, u64)], own: &[i64]) -> bool {
        let nodes: Vec<Context<FunctionId>> = nodes
            .iter()
            .map(|&(parent, name, calls)| Context {
                parent,
                function: (name != "-").then(|| profiles.function(&Function::named(name))),
                calls,
            })
            .collect();
        let part = Part {
            end_us,
            kind: Kind::Request,
            endpoint: None,
            age: Age::Warm,
            taken: Taken::Scopes,
            requests: 1,
            samples: 0,
            lost_samples: 0,
            folded: 0,
            timers: &timers(),
            nodes: &nodes,
            own,
        };
        profiles.add(&part, CELL_US)
    }

    fn take(profiles: &mut Profiles, now_us: u64) -> Vec<ProfileRecord> {
        profiles.take(now_us, CELL_US, InstructionSource::None, &Endpoints::new())
    }

    /// Each node's path, calls and values.
    fn told(record: &ProfileRecord) -> Vec<(String, u64, Vec<i64>)> {
        let mut paths: Vec<String> = Vec::new();
        for node in 0..record.parents.len() {
            let path = match node {
                0 => String::new(),
                _ => format!(
                    "{}/{}",
                    paths[record.parents[node] as usize],
                    record.functions[record.node_functions[node] as usize].name
                ),
            };
            paths.push(path);
        }
        let own = |node: usize| record.timers.iter().map(|timer| timer.own[node]).collect();
        let told = paths.into_iter().enumerate();
        told.map(|(node, path)| (path, record.calls[node], own(node)))
            .collect()
    }

    #[test]
    fn parts_of_one_span_are_one_record_and_contexts_stay_apart() {
        let mut profiles = Profiles::default();
        let first = [(0, "-", 1), (0, "a", 1), (1, "wrap", 1), (2, "x", 3)];
        let second = [
            (0, "-", 1),
            (0, "b", 1),
            (1, "wrap", 2),
            (2, "y", 1),
            (0, "a", 1),
        ];
        assert!(add(
            &mut profiles,
            NOW_US + 1,
            &first,
            &[1, 0, 2, 0, 3, 0, 4, -7]
        ));
        assert!(add(
            &mut profiles,
            NOW_US + 2,
            &second,
            &[10, 1, 20, 1, 30, 1, 40, 1, 50, 1]
        ));
        assert!(add(&mut profiles, NOW_US + CELL_US, &first, &[1; 8]));
        assert_eq!(take(&mut profiles, NOW_US + CELL_US - 1), []);
        let records = take(&mut profiles, NOW_US + CELL_US);
        assert_eq!(records.len(), 1);
        assert_eq!((records[0].requests, records[0].start_us), (2, NOW_US));
        assert_eq!(
            told(&records[0]),
            [
                (String::new(), 2, vec![11, 1]),
                ("/a".to_owned(), 2, vec![52, 1]),
                ("/a/wrap".to_owned(), 1, vec![3, 0]),
                ("/a/wrap/x".to_owned(), 3, vec![4, -7]),
                ("/b".to_owned(), 1, vec![20, 1]),
                ("/b/wrap".to_owned(), 2, vec![30, 1]),
                ("/b/wrap/y".to_owned(), 1, vec![40, 1]),
            ]
        );
        assert_eq!(take(&mut profiles, u64::MAX).len(), 1);
        assert_eq!(profiles.nodes, 0);
    }

    #[test]
    fn what_finds_no_room_is_folded_or_counted() {
        let mut profiles = Profiles::default();
        let names: Vec<String> = (0..NODES + 50).map(|number| number.to_string()).collect();
        let mut nodes = vec![(0, "-", 1)];
        nodes.extend(names.iter().map(|name| (0, name.as_str(), 1)));
        let own = vec![1; nodes.len() * 2];
        assert!(add(&mut profiles, NOW_US, &nodes, &own));
        for minute in 1..9 {
            assert!(add(&mut profiles, NOW_US + minute * CELL_US, &nodes, &own));
        }
        assert!(!add(&mut profiles, NOW_US + 9 * CELL_US, &nodes, &own));
        assert_eq!(profiles.take_lost(), 1);
        let record = &take(&mut profiles, NOW_US + CELL_US)[0];
        let all = nodes.len() as u64;
        assert_eq!(record.folded + record.parents.len() as u64, all);
        for timer in &record.timers {
            assert_eq!(timer.own.iter().sum::<i64>(), all as i64, "nothing is lost");
        }
    }
}
