//! What one thread has counted since the last flush.

use std::collections::{BTreeMap, HashMap};
use std::mem;
use std::sync::Arc;

use appweight_wire::{
    ActiveUsers, Age, Cell, CellKey, Flag, InstructionSource, Kind, RequestRecord,
};

use crate::names::{Endpoint, Endpoints};
use crate::usage::Usage;

/// Request records that a thread keeps between two flushes, a few hundred bytes each.
const RECORDS: usize = 10_000;
/// Cells of flags that a thread keeps between two flushes, about a kilobyte each.
const FLAG_CELLS: usize = 4_096;
/// Names that a thread keeps a short way to.
const SHORT_WAYS: usize = 4_096;

/// A request or task that has ended.
pub(crate) struct Ended<'a> {
    pub(crate) kind: Kind,
    pub(crate) endpoint: &'a str,
    pub(crate) end_us: u64,
    pub(crate) wall_ns: u64,
    pub(crate) usage: Usage,
    pub(crate) error: bool,
    pub(crate) age: Age,
    pub(crate) flags: &'a [Flag],
    pub(crate) user: Option<u64>,
}

/// How spans of time are cut, and how instructions are counted: the same in all shards.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spans {
    pub(crate) cell_us: u64,
    pub(crate) process_us: u64,
    pub(crate) instruction_source: InstructionSource,
}

/// A cell's key in short: start, kind, endpoint, age, number of the flag's value.
type Slot = (u64, Kind, u32, Age, Option<u8>);

#[derive(Debug, Default)]
pub(crate) struct Shard {
    cells: HashMap<Slot, Cell>,
    flag_cells: usize,
    records: Vec<RequestRecord>,
    spans: BTreeMap<u64, Span>,
    short_ways: HashMap<Box<str>, Arc<Endpoint>>,
    tally: Tally,
}

/// What happened in one span of the process record.
#[derive(Debug, Default)]
pub(crate) struct Span {
    /// Requests and errors by endpoint.
    pub(crate) endpoints: HashMap<String, (u64, u64)>,
    pub(crate) users: Option<ActiveUsers>,
}

/// Counts that only grow.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    /// Requests that ended.
    pub(crate) requests: u64,
    /// Tasks that ended.
    pub(crate) tasks: u64,
    /// Records and counts in flag cells that found no room.
    pub(crate) dropped: u64,
    /// Requests and tasks counted under "other".
    pub(crate) other_endpoint: u64,
    /// Flags of requests that were not counted: their endpoint has too many values.
    pub(crate) uncounted_flags: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, more: Self) {
        self.requests += more.requests;
        self.tasks += more.tasks;
        self.dropped += more.dropped;
        self.other_endpoint += more.other_endpoint;
        self.uncounted_flags += more.uncounted_flags;
    }
}

impl Shard {
    /// Counts a request or task, and keeps its record if it has one.
    pub(crate) fn count(
        &mut self,
        ended: &Ended<'_>,
        record: Option<RequestRecord>,
        spans: Spans,
        endpoints: &Endpoints,
    ) {
        let endpoint = self.endpoint(ended.endpoint, endpoints);
        if let Some(record) = record {
            self.keep(RequestRecord {
                endpoint: endpoint.name.clone(),
                ..record
            });
        }
        let start_us = ended.end_us - ended.end_us % spans.cell_us;
        let slot = (start_us, ended.kind, endpoint.id, ended.age, None);
        let new_cell = |flag: Option<&Flag>| {
            Cell::new(CellKey {
                start_us,
                width_us: spans.cell_us,
                kind: ended.kind,
                endpoint: endpoint.name.clone(),
                instruction_source: spans.instruction_source,
                age: ended.age,
                flag: flag.cloned(),
            })
        };
        add(
            self.cells.entry(slot).or_insert_with(|| new_cell(None)),
            ended,
        );
        for flag in ended.flags {
            let Some(number) = endpoint.flag_number(flag) else {
                self.tally.uncounted_flags += 1;
                continue;
            };
            let slot = (start_us, ended.kind, endpoint.id, ended.age, Some(number));
            if let Some(cell) = self.cells.get_mut(&slot) {
                add(cell, ended);
            } else if self.flag_cells < FLAG_CELLS {
                self.flag_cells += 1;
                add(
                    self.cells
                        .entry(slot)
                        .or_insert_with(|| new_cell(Some(flag))),
                    ended,
                );
            } else {
                self.tally.dropped += 1;
            }
        }
        match ended.kind {
            Kind::Task => self.tally.tasks += 1,
            Kind::Request => {
                self.tally.requests += 1;
                let span = self
                    .spans
                    .entry(ended.end_us - ended.end_us % spans.process_us)
                    .or_default();
                span.count(&endpoint.name, 1, u64::from(ended.error));
                if let Some(user) = ended.user {
                    span.users.get_or_insert_default().insert_hash(user);
                }
            }
        }
    }

    fn keep(&mut self, record: RequestRecord) {
        if self.records.len() < RECORDS {
            self.records.push(record);
        } else {
            self.tally.dropped += 1;
        }
    }

    fn endpoint(&mut self, name: &str, endpoints: &Endpoints) -> Arc<Endpoint> {
        if let Some(endpoint) = self.short_ways.get(name) {
            return Arc::clone(endpoint);
        }
        let (endpoint, own) = endpoints.resolve(name);
        if !own {
            self.tally.other_endpoint += 1;
        } else if self.short_ways.len() < SHORT_WAYS {
            self.short_ways
                .insert(Box::from(name), Arc::clone(&endpoint));
        }
        endpoint
    }

    /// Whether it waits for nothing to be over.
    pub(crate) fn is_empty(&self) -> bool {
        self.cells.is_empty() && self.spans.is_empty()
    }

    /// How many cells are open.
    pub(crate) fn open_cells(&self) -> usize {
        self.cells.len()
    }

    pub(crate) fn tally(&self) -> Tally {
        self.tally
    }

    /// Takes what is complete at `now_us`: cells and spans that are over, and all records.
    pub(crate) fn drain(&mut self, now_us: u64, spans: Spans, into: &mut Drained) {
        let over = |start: u64, width: u64| start.saturating_add(width) <= now_us;
        let mut flag_cells = 0;
        for (slot, cell) in self.cells.extract_if(|slot, _| over(slot.0, spans.cell_us)) {
            flag_cells += usize::from(slot.4.is_some());
            into.add_cell(slot, cell);
        }
        self.flag_cells -= flag_cells;
        into.records.append(&mut self.records);
        while let Some(entry) = self.spans.first_entry()
            && over(*entry.key(), spans.process_us)
        {
            into.span.add(entry.remove());
        }
        into.tally.add(mem::take(&mut self.tally));
    }
}

fn add(cell: &mut Cell, ended: &Ended<'_>) {
    cell.n += 1;
    cell.weight += 1;
    cell.errors += u64::from(ended.error);
    cell.wall_ns.get_or_insert_default().observe(ended.wall_ns);
    if let Some(cpu_ns) = ended.usage.cpu_ns() {
        cell.cpu_ns.get_or_insert_default().observe(cpu_ns);
    }
    if let Some(instructions) = ended.usage.instructions() {
        cell.instructions
            .get_or_insert_default()
            .observe(instructions);
        cell.scaled += u64::from(ended.usage.scaled());
    }
}

impl Span {
    fn count(&mut self, endpoint: &str, requests: u64, errors: u64) {
        let counts = match self.endpoints.get_mut(endpoint) {
            Some(counts) => counts,
            None => self.endpoints.entry(endpoint.to_owned()).or_default(),
        };
        counts.0 += requests;
        counts.1 += errors;
    }

    fn add(&mut self, other: Self) {
        for (endpoint, (requests, errors)) in other.endpoints {
            self.count(&endpoint, requests, errors);
        }
        if let Some(users) = other.users {
            self.users.get_or_insert_default().unite(&users);
        }
    }
}

/// What came out of the shards, cells of several threads added up.
#[derive(Debug, Default)]
pub(crate) struct Drained {
    cells: HashMap<Slot, Cell>,
    pub(crate) records: Vec<RequestRecord>,
    pub(crate) span: Span,
    pub(crate) tally: Tally,
}

impl Drained {
    fn add_cell(&mut self, slot: Slot, cell: Cell) {
        match self.cells.get_mut(&slot) {
            Some(known) => known.add(&cell),
            None => {
                self.cells.insert(slot, cell);
            }
        }
    }

    /// Takes the cells, oldest first.
    pub(crate) fn take_cells(&mut self) -> Vec<Cell> {
        let mut cells: Vec<Cell> = self.cells.drain().map(|(_, cell)| cell).collect();
        cells.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        cells
    }
}
