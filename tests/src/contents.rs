use std::collections::BTreeMap;
use std::fmt::Debug;

use appweight_wire::{Cell, CellKey, ProcessRecord, RequestRecord};

use crate::collector::Counted;
use crate::drawn::{Drawn, MINUTE_US};

/// What of an endpoint's requests is known in a span of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) requests: u64,
    pub(crate) weight: u64,
    pub(crate) errors: u64,
    pub(crate) cpu_ns: u64,
}

/// What all functions of an endpoint's profile add up to, by name: calls and own cost.
pub(crate) type Functions = BTreeMap<String, (u64, i64)>;

/// All that clients sent, or that a store holds of it.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// Cells by deploy and key, those of flags among them, whichever hosts they are of.
    pub(crate) cells: BTreeMap<(String, CellKey), Cell>,
    /// Request records by deploy, host and start.
    pub(crate) requests: Records<RequestRecord>,
    /// Process records by deploy, host and the process's age.
    pub(crate) processes: Records<ProcessRecord>,
    /// Profiled requests and their functions by deploy and endpoint.
    pub(crate) profiles: BTreeMap<(String, String), (u64, Functions)>,
}

/// Records in order, each as often as it is there.
pub(crate) type Records<R> = BTreeMap<(String, String, u64), Vec<R>>;

impl Contents {
    /// What these batches bring.
    pub(crate) fn of<'a>(batches: impl Iterator<Item = &'a Drawn>) -> Self {
        let mut all = Self::default();
        for drawn in batches {
            let (batch, origin) = (&drawn.batch, &drawn.batch.origin);
            for cell in &drawn.cells {
                all.add_cell(&origin.deploy, cell);
            }
            for record in &batch.requests {
                let key = (origin.deploy.clone(), origin.host.clone(), record.start_us);
                all.requests.entry(key).or_default().push(record.clone());
            }
            for record in &batch.processes {
                all.add_process(&origin.deploy, &origin.host, record.clone());
            }
            for profile in &batch.profiles {
                let key = (origin.deploy.clone(), profile.endpoint.clone());
                let (requests, functions) = all.profiles.entry(key).or_default();
                *requests += profile.requests;
                for (node, function) in profile.node_functions.iter().enumerate().skip(1) {
                    let name = &profile.functions[*function as usize].name;
                    let (calls, own) = functions.entry(name.clone()).or_default();
                    *calls += profile.calls[node];
                    *own += profile.timers[0].own[node];
                }
            }
        }
        all
    }

    /// Adds a cell to those of the same deploy and key.
    pub(crate) fn add_cell(&mut self, deploy: &str, cell: &Cell) {
        let key = (deploy.to_owned(), cell.key.clone());
        let new = || Cell::new(cell.key.clone());
        self.cells.entry(key).or_insert_with(new).add(cell);
    }

    /// Adds a process record.
    pub(crate) fn add_process(&mut self, deploy: &str, host: &str, record: ProcessRecord) {
        let key = (deploy.to_owned(), host.to_owned(), record.process_age_us);
        self.processes.entry(key).or_default().push(record);
    }

    /// What the cells of a deploy hold, by endpoint.
    pub(crate) fn counted(&self, deploy: &str) -> BTreeMap<String, Sums> {
        let mut counted: BTreeMap<String, Sums> = BTreeMap::new();
        for ((of, key), cell) in &self.cells {
            if of == deploy && key.flag.is_none() {
                let sums = counted.entry(key.endpoint.clone()).or_default();
                sums.requests += cell.n;
                sums.weight += cell.weight;
                sums.errors += cell.errors;
                sums.cpu_ns += cell.cpu_ns.as_ref().map_or(0, |values| values.sum);
            }
        }
        counted
    }

    /// What all processes did, by minute: their requests and instructions.
    pub(crate) fn weighed(&self) -> BTreeMap<u64, (u64, u64)> {
        let mut weighed: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
        for record in self.processes.values().flatten() {
            let start_us = record.start_us - record.start_us % MINUTE_US;
            let (requests, instructions) = weighed.entry(start_us).or_default();
            *requests += record.endpoints.iter().map(|of| of.requests).sum::<u64>();
            *instructions += record.instructions.unwrap_or(0);
        }
        weighed
    }
}

impl Sums {
    /// Of the cells of an endpoint. The sum is exact: whole numbers this small lie further apart than a mean of theirs is off.
    pub(crate) fn counted(counted: &Counted) -> Self {
        Self {
            requests: counted.requests,
            weight: counted.weight,
            errors: counted.errors,
            cpu_ns: (counted.cpu_ns * counted.requests as f64).round() as u64,
        }
    }
}

/// Whether a store holds what was sent, key by key; if not, what the first key is at which it does not.
pub(crate) fn same<K: Ord + Debug, V: PartialEq + Debug>(
    what: &str,
    found: &BTreeMap<K, V>,
    sent: &BTreeMap<K, V>,
) -> Result<(), String> {
    let keys = found.keys().chain(sent.keys());
    let differ: Vec<&K> = keys
        .filter(|key| found.get(*key) != sent.get(*key))
        .collect();
    match differ.iter().min() {
        None => Ok(()),
        Some(first) => Err(format!(
            "{what}: {} found, {} sent; at {first:?}, the first of those that differ, {:?} instead of {:?}",
            found.len(),
            sent.len(),
            found.get(*first),
            sent.get(*first)
        )),
    }
}
