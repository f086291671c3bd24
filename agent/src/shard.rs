//! What one thread has counted since the last flush.

use std::collections::{BTreeMap, HashMap};
use std::mem;

use appweight_wire::{
    ActiveUsers, Age, Cell, CellKey, Flag, InstructionSource, Kind, RequestRecord,
};

use crate::cells::{Cells, Marks, OpenCell, Place};
use crate::costliest::{Cost, Costliest, Costliests};
use crate::names::{Endpoints, OTHER};
use crate::outside;
use crate::profiled::EndedProfile;
use crate::usage::Usage;

/// Request records that a thread keeps between two flushes, a few hundred bytes each.
const RECORDS: usize = 10_000;
/// Profiled requests that a thread keeps between two flushes, some kilobytes each.
const PROFILES: usize = 1_000;
/// Cells of flags that a thread keeps between two flushes, some hundred bytes each.
const FLAG_CELLS: usize = 4_096;
/// How many that have ended a thread keeps before it adds them to their cells, some hundred bytes each.
const WAITING: usize = 16;

/// A request or task that has ended.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    pub(crate) kind: Kind,
    /// The endpoint's number.
    pub(crate) endpoint: u32,
    /// How many it stands for.
    pub(crate) weight: u32,
    pub(crate) end_us: u64,
    pub(crate) wall_ns: u64,
    pub(crate) usage: Usage,
    pub(crate) status: Option<u16>,
    pub(crate) error: bool,
    /// It goes on after the cell's end, and is counted as a request when it ends.
    pub(crate) unfinished: bool,
    /// It has a record of its own.
    pub(crate) is_recorded: bool,
    pub(crate) age: Age,
    pub(crate) flags: Vec<Flag>,
    pub(crate) user: Option<u64>,
}

impl Ended {
    fn marks(&self) -> Marks {
        Marks {
            error: self.error,
            unfinished: self.unfinished,
        }
    }
}

/// What is kept of every request or task, counted or not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tallied {
    pub(crate) kind: Kind,
    /// The endpoint's number.
    pub(crate) endpoint: u32,
    pub(crate) end_us: u64,
    pub(crate) error: bool,
    pub(crate) user: Option<u64>,
}

/// How spans of time are cut, and how instructions are counted: the same in all shards.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spans {
    pub(crate) cell_us: u64,
    pub(crate) process_us: u64,
    pub(crate) instruction_source: InstructionSource,
    /// What makes a request costly; `None` if the costliest are not recorded.
    pub(crate) cost: Option<Cost>,
}

#[derive(Debug, Default)]
pub(crate) struct Shard {
    /// What has ended and is not in its cell yet. Added up together, they keep neither the requests' code nor their data from
    /// the CPU's caches, and wait for cells that have left these at the same time instead of one after the other.
    waiting: Vec<Ended>,
    /// How many of these are to be added; the rest is room.
    are_waiting: usize,
    /// Of the span in which requests end now.
    cells: Cells,
    /// Of earlier spans, not fetched yet.
    over: Vec<Cells>,
    flag_cells: HashMap<(u64, Place, u8), OpenCell>,
    #[expect(
        clippy::vec_box,
        reason = "a list of records would leave half as much behind as it grows"
    )]
    records: Vec<Box<RequestRecord>>,
    profiles: Vec<EndedProfile>,
    /// Of the process record's span in which requests end now.
    counts: Counts,
    counts_over: Vec<Counts>,
    /// CPU time that the thread used outside of what it measured, ns.
    outside_ns: u64,
    tally: Tally,
}

/// The requests of one span of the process record.
#[derive(Debug, Default)]
struct Counts {
    start_us: u64,
    /// Requests and errors by the endpoint's number.
    endpoints: Vec<(u32, u32)>,
    users: Option<ActiveUsers>,
}

impl Counts {
    #[cold]
    fn meet(&mut self, at: usize) {
        self.endpoints.resize(at + 1, (0, 0));
    }
}

/// Counts that only grow.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    /// Requests that ended.
    pub(crate) requests: u64,
    /// Tasks that ended.
    pub(crate) tasks: u64,
    /// How many of both were not counted.
    pub(crate) passed: u64,
    /// Records, profiled requests and counts in flag cells that found no room.
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
        self.passed += more.passed;
        self.dropped += more.dropped;
        self.other_endpoint += more.other_endpoint;
        self.uncounted_flags += more.uncounted_flags;
    }
}

impl Shard {
    /// Counts a request or task, now or with those after it.
    #[inline]
    pub(crate) fn count(
        &mut self,
        spans: &Spans,
        endpoints: &Endpoints,
        tell: impl FnOnce(&mut Ended),
    ) {
        self.outside_ns += outside::take();
        if self.are_waiting == self.waiting.len() {
            self.make_room(spans, endpoints);
        }
        if let Some(ended) = self.waiting.get_mut(self.are_waiting) {
            tell(ended);
            self.are_waiting += 1;
        }
    }

    #[cold]
    fn make_room(&mut self, spans: &Spans, endpoints: &Endpoints) {
        self.settle(spans, endpoints);
        self.waiting.resize_with(WAITING, Ended::default);
    }

    /// Adds what waits to its cells.
    pub(crate) fn settle(&mut self, spans: &Spans, endpoints: &Endpoints) {
        let mut waiting = mem::take(&mut self.waiting);
        for ended in waiting.iter_mut().take(self.are_waiting) {
            self.add(ended, spans, endpoints);
            ended.flags = Vec::new();
        }
        self.waiting = waiting;
        self.are_waiting = 0;
    }

    #[inline]
    fn add(&mut self, ended: &Ended, spans: &Spans, endpoints: &Endpoints) {
        // Asked so that no division is needed as long as the span is the same.
        if ended.end_us.wrapping_sub(self.cells.start_us) >= spans.cell_us {
            self.begin_span(ended.end_us - ended.end_us % spans.cell_us);
        }
        let place = Place {
            endpoint: ended.endpoint,
            kind: ended.kind,
            age: ended.age,
            weight: ended.weight,
        };
        let costliest = self.cells.add(
            place,
            ended.wall_ns,
            &ended.usage,
            ended.marks(),
            spans.cost,
        );
        let span = || self.cells.start_us / spans.cell_us;
        if let Some(cost) = costliest
            && let bar = &endpoints.get(ended.endpoint).bar
            && bar.is_passed(ended.kind, span(), cost)
        {
            self.cells.keep(Costliest::new(ended, place, cost));
        }
        if !ended.unfinished {
            self.tally(
                Tallied {
                    kind: ended.kind,
                    endpoint: ended.endpoint,
                    end_us: ended.end_us,
                    error: ended.error,
                    user: ended.user,
                },
                spans,
            );
        }
        if !ended.flags.is_empty() {
            self.count_flags(ended, self.cells.start_us, place, endpoints);
        }
    }

    #[cold]
    fn begin_span(&mut self, start_us: u64) {
        let before = mem::take(&mut self.cells);
        if before.len() > 0 {
            self.over.push(before);
        }
        self.cells.start_us = start_us;
    }

    /// Keeps that one ended which is not counted.
    pub(crate) fn pass(&mut self, passing: Tallied, spans: &Spans) {
        self.tally.passed += 1;
        self.tally(passing, spans);
    }

    #[inline]
    fn tally(&mut self, ended: Tallied, spans: &Spans) {
        let Tallied {
            kind,
            endpoint,
            end_us,
            error,
            user,
        } = ended;
        self.tally.other_endpoint += u64::from(endpoint == OTHER);
        if kind == Kind::Task {
            self.tally.tasks += 1;
            return;
        }
        self.tally.requests += 1;
        if end_us.wrapping_sub(self.counts.start_us) >= spans.process_us {
            self.begin_counts(end_us - end_us % spans.process_us);
        }
        let at = endpoint as usize;
        if self.counts.endpoints.len() <= at {
            self.counts.meet(at);
        }
        if let Some((requests, errors)) = self.counts.endpoints.get_mut(at) {
            *requests = requests.saturating_add(1);
            *errors = errors.saturating_add(u32::from(error));
        }
        if let Some(user) = user {
            self.counts.users.get_or_insert_default().insert_hash(user);
        }
    }

    #[cold]
    fn begin_counts(&mut self, start_us: u64) {
        let before = mem::take(&mut self.counts);
        if !before.endpoints.is_empty() {
            self.counts_over.push(before);
        }
        self.counts.start_us = start_us;
    }

    #[cold]
    fn count_flags(&mut self, ended: &Ended, start_us: u64, place: Place, endpoints: &Endpoints) {
        let endpoint = endpoints.get(ended.endpoint);
        for flag in &ended.flags {
            let Some(number) = endpoint.flag_number(flag) else {
                self.tally.uncounted_flags += 1;
                continue;
            };
            let slot = (start_us, place, number);
            if !self.flag_cells.contains_key(&slot) && self.flag_cells.len() >= FLAG_CELLS {
                self.tally.dropped += 1;
                continue;
            }
            self.flag_cells
                .entry(slot)
                .or_insert_with(|| OpenCell::new(place))
                .add(ended.wall_ns, &ended.usage, ended.marks());
        }
    }

    /// Keeps the record of one that has ended. Says whether it is time to fetch them.
    #[cold]
    pub(crate) fn keep(&mut self, record: Box<RequestRecord>) -> bool {
        if self.records.len() < RECORDS {
            self.records.push(record);
        } else {
            self.tally.dropped += 1;
        }
        self.records.len() == RECORDS / 2
    }

    /// Keeps what was profiled of a request that has ended.
    pub(crate) fn keep_profile(&mut self, profile: EndedProfile) {
        if self.profiles.len() < PROFILES {
            self.profiles.push(profile);
        } else {
            self.tally.dropped += 1;
        }
    }

    /// Whether it waits for nothing to be over.
    pub(crate) fn is_empty(&self) -> bool {
        self.are_waiting == 0
            && self.open_cells() == 0
            && self.counts.endpoints.is_empty()
            && self.counts_over.is_empty()
    }

    /// How many cells are open.
    pub(crate) fn open_cells(&self) -> usize {
        let over: usize = self.over.iter().map(Cells::len).sum();
        self.cells.len() + over + self.flag_cells.len()
    }

    pub(crate) fn tallied(&self) -> Tally {
        self.tally
    }

    /// Takes what is complete at `now_us`: cells and counts whose spans are over, and all
    /// records and profiled requests.
    pub(crate) fn drain(
        &mut self,
        now_us: u64,
        spans: Spans,
        endpoints: &Endpoints,
        into: &mut Drained,
    ) {
        self.settle(&spans, endpoints);
        let is_over = |start: u64, width: u64| start.saturating_add(width) <= now_us;
        for cells in self.over.iter_mut().chain([&mut self.cells]) {
            let (start_us, costliest) = (cells.start_us, cells.take_costliest());
            let costliest = costliest.into_iter().map(|one| (start_us, one));
            into.costliest_found.extend(costliest);
        }
        if is_over(self.cells.start_us, spans.cell_us) {
            self.begin_span(0);
        }
        into.spans.extend(
            self.over
                .extract_if(.., |cells| is_over(cells.start_us, spans.cell_us)),
        );
        into.flag_cells.extend(
            self.flag_cells
                .extract_if(|slot, _| is_over(slot.0, spans.cell_us)),
        );
        into.records.append(&mut self.records);
        into.profiles.append(&mut self.profiles);
        if is_over(self.counts.start_us, spans.process_us) {
            let over = mem::take(&mut self.counts);
            if !over.endpoints.is_empty() {
                self.counts_over.push(over);
            }
        }
        into.counts.extend(
            self.counts_over
                .extract_if(.., |counts| is_over(counts.start_us, spans.process_us)),
        );
        into.outside_ns += mem::take(&mut self.outside_ns);
        into.tally.add(mem::take(&mut self.tally));
    }
}

/// What came out of the shards. It is added up by the one who fetched it, so that no thread waits
/// for that.
#[derive(Debug, Default)]
pub(crate) struct Drained {
    /// Of the shard that was fetched last.
    spans: Vec<Cells>,
    flag_cells: Vec<((u64, Place, u8), OpenCell)>,
    /// Those of all shards added up, by the begin of their span and the number of their flag.
    cells: HashMap<(u64, Place, Option<u8>), Cell>,
    #[expect(clippy::vec_box, reason = "as threads kept them")]
    pub(crate) records: Vec<Box<RequestRecord>>,
    pub(crate) profiles: Vec<EndedProfile>,
    /// By the begin of their span, as threads found them.
    costliest_found: Vec<(u64, Costliest)>,
    costliest: Costliests,
    counts: Vec<Counts>,
    /// What threads used outside of what they measured, ns.
    pub(crate) outside_ns: u64,
    pub(crate) tally: Tally,
}

/// What happened in a span of the process record.
#[derive(Debug, Default)]
pub(crate) struct Span {
    /// Requests and errors by endpoint.
    pub(crate) endpoints: BTreeMap<String, (u64, u64)>,
    pub(crate) users: Option<ActiveUsers>,
}

impl Drained {
    /// Adds up what came out of one shard, and gives back its room: 64 threads with a thousand cells each have tens of
    /// megabytes of them, and count in new ones already.
    pub(crate) fn add_up(&mut self, spans: Spans, endpoints: &Endpoints) {
        let cells = &mut self.cells;
        let mut add = |start_us: u64, number: Option<u8>, open: OpenCell| {
            let place = open.place;
            let endpoint = endpoints.get(place.endpoint);
            let key = CellKey {
                start_us,
                width_us: spans.cell_us,
                kind: place.kind,
                endpoint: endpoint.name.to_string(),
                instruction_source: spans.instruction_source,
                age: place.age,
                flag: number.and_then(|number| endpoint.flag(number)),
            };
            let cell = open.into_cell(key);
            cells
                .entry((start_us, place, number))
                .and_modify(|known| known.add(&cell))
                .or_insert(cell);
        };
        for span in self.spans.drain(..) {
            let start_us = span.start_us;
            for open in span.into_open() {
                add(start_us, None, open);
            }
        }
        for ((start_us, _, number), open) in self.flag_cells.drain(..) {
            add(start_us, Some(number), open);
        }
    }

    /// Takes the cells, oldest first.
    pub(crate) fn take_cells(&mut self) -> Vec<Cell> {
        let mut cells: Vec<Cell> = mem::take(&mut self.cells).into_values().collect();
        cells.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        cells
    }

    /// Takes the records of the costliest requests of spans that are over at `now_us`.
    pub(crate) fn take_costliest(
        &mut self,
        now_us: u64,
        spans: Spans,
        endpoints: &Endpoints,
    ) -> Vec<RequestRecord> {
        for (start_us, found) in self.costliest_found.drain(..) {
            self.costliest.add(start_us, found);
        }
        self.costliest.take(now_us, spans, endpoints)
    }

    /// What each endpoint saw in that span, by its number.
    pub(crate) fn seen(&self, start_us: u64) -> HashMap<u32, u64> {
        let mut seen = HashMap::new();
        for ((start, place, flag), cell) in &self.cells {
            if *start == start_us && flag.is_none() {
                *seen.entry(place.endpoint).or_default() += cell.weight;
            }
        }
        seen
    }

    /// Takes the counts of the process record.
    pub(crate) fn take_span(&mut self, endpoints: &Endpoints) -> Span {
        let mut span = Span::default();
        for counts in self.counts.drain(..) {
            for (number, (requests, errors)) in (0..).zip(counts.endpoints) {
                if requests > 0 {
                    let name = &endpoints.get(number).name;
                    let sums = match span.endpoints.get_mut(&**name) {
                        Some(sums) => sums,
                        None => span.endpoints.entry(name.to_string()).or_default(),
                    };
                    sums.0 += u64::from(requests);
                    sums.1 += u64::from(errors);
                }
            }
            if let Some(users) = counts.users {
                span.users.get_or_insert_default().unite(&users);
            }
        }
        span
    }
}
