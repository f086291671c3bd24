//! The cells of one thread and one span of time, small and found by number.

use appweight_wire::{Age, Cell, CellKey, Distribution, Kind, Wide};

use crate::buckets::Buckets;
use crate::costliest::{Cost, Costliest};
use crate::usage::Usage;

/// What a cell is found by within its span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    /// The endpoint's number.
    pub(crate) endpoint: u32,
    pub(crate) kind: Kind,
    pub(crate) age: Age,
    /// How many requests each of the cell's stands for.
    pub(crate) weight: u32,
}

impl Place {
    /// Where the cell's place is found: in which of the four lists, and where in it.
    #[inline]
    fn index(self) -> (usize, usize) {
        let kind = usize::from(self.kind == Kind::Task);
        let age = usize::from(self.age == Age::Warm);
        (kind * 2 + age, self.endpoint as usize)
    }
}

/// All cells of one span.
#[derive(Debug, Default)]
pub(crate) struct Cells {
    pub(crate) start_us: u64,
    /// By [`Place::index`], each where it was counted in last. One by one on the heap, so that their room serves the next
    /// span's when they are over.
    lists: [Vec<Option<Box<OpenCell>>>; 4],
    /// Those of places where requests of another weight were counted since.
    #[expect(
        clippy::vec_box,
        reason = "they go back and forth between here and the lists"
    )]
    others: Vec<Box<OpenCell>>,
    len: usize,
    /// Since the last fetch; each cell knows where its own lies.
    costliest: Vec<Costliest>,
}

impl Cells {
    /// Adds what a request used to its cell. What it cost, if none of the cell cost as much before.
    #[inline]
    pub(crate) fn add(
        &mut self,
        place: Place,
        wall_ns: u64,
        usage: &Usage,
        marks: Marks,
        cost: Option<Cost>,
    ) -> Option<u64> {
        let (list, at) = place.index();
        let cell = match self.lists[list].get_mut(at) {
            Some(Some(cell)) if cell.place.weight == place.weight => cell,
            _ => self.open(place),
        };
        let costliest = cell.costliest(usage, cost);
        cell.add(wall_ns, usage, marks);
        costliest
    }

    /// Keeps the costliest of a cell that was counted in just now, in the place of the one before.
    #[cold]
    pub(crate) fn keep(&mut self, costliest: Costliest) {
        let (list, at) = costliest.place.index();
        let Some(Some(cell)) = self.lists[list].get_mut(at) else {
            return;
        };
        // What lies there may be another's, since they were fetched.
        match self.costliest.get_mut(cell.costliest_at as usize) {
            Some(before) if before.place == costliest.place => *before = costliest,
            _ => {
                cell.costliest_at = u32::try_from(self.costliest.len()).unwrap_or(u32::MAX);
                self.costliest.push(costliest);
            }
        }
    }

    /// Takes those that became the costliest since the last time.
    pub(crate) fn take_costliest(&mut self) -> Vec<Costliest> {
        std::mem::take(&mut self.costliest)
    }

    /// The cell of that place, where the one that was counted in last is of another weight or there
    /// is none.
    #[cold]
    fn open(&mut self, place: Place) -> &mut OpenCell {
        let (list, at) = place.index();
        let list = &mut self.lists[list];
        if list.len() <= at {
            list.resize_with(at + 1, || None);
        }
        let slot = &mut list[at];
        let known = self.others.iter().position(|cell| cell.place == place);
        let cell = match known.filter(|_| slot.is_some()) {
            Some(known) => self.others.swap_remove(known),
            None => {
                self.len += 1;
                Box::new(OpenCell::new(place))
            }
        };
        self.others.extend(slot.take());
        slot.insert(cell)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// All of them.
    pub(crate) fn into_open(self) -> impl Iterator<Item = OpenCell> {
        let last = self.lists.into_iter().flatten().flatten();
        last.chain(self.others).map(|cell| *cell)
    }
}

/// What a request is counted as, beside what it used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Marks {
    pub(crate) error: bool,
    /// It goes on after the cell's end.
    pub(crate) unfinished: bool,
}

/// A [`Cell`] while it is counted in.
#[derive(Debug)]
pub(crate) struct OpenCell {
    pub(crate) place: Place,
    n: u32,
    errors: u32,
    /// Where its costliest request may lie.
    costliest_at: u32,
    cpu_ns: Sums,
    wall_ns: Sums,
    more: Option<Box<More>>,
}

/// What a cell may have beside what each has.
#[derive(Debug, Default)]
struct More {
    unfinished: u32,
    scaled: u32,
    instructions: Option<Sums>,
    allocated_bytes: Option<Box<Sums>>,
}

impl OpenCell {
    pub(crate) fn new(place: Place) -> Self {
        Self {
            place,
            n: 0,
            errors: 0,
            costliest_at: 0,
            cpu_ns: Sums::default(),
            wall_ns: Sums::default(),
            more: None,
        }
    }

    #[inline]
    pub(crate) fn add(&mut self, wall_ns: u64, usage: &Usage, marks: Marks) {
        self.n = self.n.saturating_add(1);
        if marks.error || marks.unfinished {
            self.mark(marks);
        }
        self.wall_ns.observe(wall_ns);
        if let Some(cpu_ns) = usage.cpu_ns() {
            self.cpu_ns.observe(cpu_ns);
        }
        if let Some(allocated) = usage.allocated() {
            let more = self.more.get_or_insert_default();
            let sums = more.allocated_bytes.get_or_insert_default();
            sums.observe(allocated.bytes);
        }
        if let Some(instructions) = usage.instructions() {
            let more = self.more.get_or_insert_default();
            more.instructions
                .get_or_insert_default()
                .observe(instructions);
            more.scaled = more.scaled.saturating_add(u32::from(usage.scaled()));
        }
    }

    #[cold]
    fn mark(&mut self, marks: Marks) {
        self.errors = self.errors.saturating_add(u32::from(marks.error));
        if marks.unfinished {
            let more = self.more.get_or_insert_default();
            more.unfinished = more.unfinished.saturating_add(1);
        }
    }

    /// What that cost, if none that was added cost as much.
    #[inline]
    fn costliest(&self, usage: &Usage, cost: Option<Cost>) -> Option<u64> {
        let cost = cost?;
        let known = match cost {
            Cost::Instructions => self
                .more
                .as_ref()
                .and_then(|more| more.instructions.as_ref()),
            Cost::Cpu => Some(&self.cpu_ns),
        };
        cost.of(usage)
            .filter(|cost| known.is_none_or(|known| known.n() == 0 || *cost > known.max))
    }

    /// As it goes to the collector.
    pub(crate) fn into_cell(self, key: CellKey) -> Cell {
        let mut cell = Cell::new(key);
        cell.n = self.n.into();
        cell.weight = cell.n.saturating_mul(self.place.weight.into());
        cell.errors = self.errors.into();
        cell.cpu_ns = self.cpu_ns.into_distribution();
        cell.wall_ns = self.wall_ns.into_distribution();
        if let Some(more) = self.more {
            let more = *more;
            cell.unfinished = more.unfinished.into();
            cell.scaled = more.scaled.into();
            cell.instructions = more.instructions.and_then(Sums::into_distribution);
            cell.allocated_bytes = more
                .allocated_bytes
                .and_then(|sums| sums.into_distribution());
        }
        cell
    }
}

/// A [`Distribution`] in a third of its room: a thread may have a thousand cells, a process a
/// hundred threads.
#[derive(Debug)]
struct Sums {
    sum: u64,
    sum_squares: Sum128,
    sum_logs: u64,
    sum_squared_logs: Sum128,
    /// The largest there is, without a value.
    min: u64,
    max: u64,
    buckets: Buckets,
}

impl Default for Sums {
    fn default() -> Self {
        Self {
            sum: 0,
            sum_squares: Sum128::default(),
            sum_logs: 0,
            sum_squared_logs: Sum128::default(),
            min: u64::MAX,
            max: 0,
            buckets: Buckets::default(),
        }
    }
}

/// Two words instead of a `u128`, whose alignment would cost more than its sum.
#[derive(Debug, Clone, Copy, Default)]
struct Sum128([u64; 2]);

impl Sum128 {
    /// Adds the square; what is too much for it is the largest there is.
    #[inline]
    fn add_square(&mut self, value: u64) {
        let square = u128::from(value) * u128::from(value);
        let (sum, is_too_large) = self.get().overflowing_add(square);
        self.0 = [(sum >> 64) as u64, sum as u64];
        if is_too_large {
            self.saturate();
        }
    }

    #[cold]
    fn saturate(&mut self) {
        self.0 = [u64::MAX; 2];
    }

    #[inline]
    fn get(self) -> u128 {
        u128::from(self.0[0]) << 64 | u128::from(self.0[1])
    }
}

impl Sums {
    #[inline]
    fn n(&self) -> u32 {
        self.buckets.n()
    }

    #[inline]
    fn observe(&mut self, value: u64) {
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        let log = Distribution::log_of(value);
        self.sum = self.sum.saturating_add(value);
        self.sum_squares.add_square(value);
        // At most 2^22, of at most 2^32 values.
        self.sum_logs += log;
        self.sum_squared_logs.add_square(log);
        self.buckets.count(Distribution::bucket_of(value));
    }

    fn into_distribution(self) -> Option<Distribution> {
        (self.n() > 0).then(|| Distribution {
            n: self.n().into(),
            sum: self.sum,
            sum_squares: Wide(self.sum_squares.get()),
            sum_logs: self.sum_logs,
            sum_squared_logs: Wide(self.sum_squared_logs.get()),
            min: self.min,
            max: self.max,
            histogram: self.buckets.into_counts(),
        })
    }
}

#[cfg(test)]
mod tests {
    use appweight_wire::InstructionSource;

    use super::*;

    #[test]
    fn a_cell_adds_up_as_the_distributions_do() {
        let mut open = OpenCell::new(Place {
            endpoint: 1,
            kind: Kind::Request,
            age: Age::Warm,
            weight: 2,
        });
        let mut expected = Distribution::default();
        for number in 0..1_000_u64 {
            let value = number * number * 37;
            expected.observe(value);
            let marks = Marks {
                error: number % 10 == 0,
                unfinished: number % 100 == 0,
            };
            open.add(value, &Usage::new(), marks);
        }
        let key = CellKey {
            start_us: 60,
            width_us: 60,
            kind: Kind::Request,
            endpoint: "/".to_owned(),
            instruction_source: InstructionSource::HardwareUser,
            age: Age::Warm,
            flag: None,
        };
        let cell = open.into_cell(key);
        assert_eq!((cell.n, cell.weight, cell.errors), (1_000, 2_000, 100));
        assert_eq!(cell.unfinished, 10);
        assert_eq!(cell.wall_ns, Some(expected));
        assert_eq!(cell.cpu_ns.map(|cpu| (cpu.n, cpu.sum)), Some((1_000, 0)));
    }

    #[test]
    fn each_place_has_its_own_cell() {
        let mut cells = Cells::default();
        let places: Vec<Place> = [Kind::Request, Kind::Task]
            .into_iter()
            .flat_map(|kind| [Age::WarmingUp, Age::Warm].map(|age| (kind, age)))
            .flat_map(|(kind, age)| {
                [0, 7].map(|endpoint| Place {
                    endpoint,
                    kind,
                    age,
                    weight: 1,
                })
            })
            .collect();
        for round in 1..=3 {
            for place in &places {
                cells.add(*place, 5, &Usage::new(), Marks::default(), None);
            }
            assert_eq!(cells.len(), places.len(), "round {round}");
        }
        let counted: Vec<(Place, u32)> =
            cells.into_open().map(|cell| (cell.place, cell.n)).collect();
        assert!(places.iter().map(|place| (*place, 3)).eq(counted));
    }

    #[test]
    fn requests_that_stand_for_different_numbers_have_cells_of_their_own() {
        let mut cells = Cells::default();
        for weight in [1, 1, 8, 1, 8, 8, 4] {
            let place = Place {
                endpoint: 3,
                kind: Kind::Request,
                age: Age::Warm,
                weight,
            };
            cells.add(place, 5, &Usage::new(), Marks::default(), None);
        }
        assert_eq!(cells.len(), 3);
        let mut counted: Vec<(u32, u32)> = cells
            .into_open()
            .map(|cell| (cell.place.weight, cell.n))
            .collect();
        counted.sort_unstable();
        assert_eq!(counted, [(1, 3), (4, 1), (8, 3)]);
    }

    #[test]
    fn an_open_cell_is_small() {
        assert!(size_of::<OpenCell>() <= 224, "{}", size_of::<OpenCell>());
    }
}
