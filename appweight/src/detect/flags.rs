use std::collections::BTreeMap;

use foldhash::HashMap;

use super::endpoint::Cell;
use super::evidence::{part_of_level, z_of};
use super::flag::FlagPair;
use super::ramps::Place as RampPlace;
use super::stream::{DayStream, Place};

/// The value that others are held against where nothing else is said.
pub(crate) const OFF: &str = "off";

/// Values that are held against others at most: those that were seen first.
const MOST_ARMS: usize = 256;

/// What a flag's value is held against.
#[derive(Debug, Clone)]
pub(crate) enum Against {
    /// One value of the flag: "off", if that is told, else the one that was the most common when the flag was first seen. By flag.
    One(HashMap<String, String>),
    /// All other values of the flag. By flag those that are judged: of two values one is the other's mirror.
    Others(HashMap<String, Vec<String>>),
}

impl Default for Against {
    fn default() -> Self {
        Self::One(HashMap::default())
    }
}

impl Against {
    fn is_judged(&self, cell: &FlagCell) -> bool {
        match self {
            Self::One(bases) => bases.get(&cell.flag) != Some(&cell.value),
            Self::Others(judged) => judged
                .get(&cell.flag)
                .is_some_and(|values| values.contains(&cell.value)),
        }
    }

    fn is_other(&self, cell: &FlagCell) -> bool {
        match self {
            Self::One(bases) => bases.get(&cell.flag) == Some(&cell.value),
            Self::Others(_) => true,
        }
    }

    /// Settles what the values of flags that are new are held against.
    fn take_up(&mut self, by_flag: &BTreeMap<&str, Vec<&FlagCell>>) {
        let Self::One(bases) = self else {
            return;
        };
        for (flag, cells) in by_flag {
            if bases.get(*flag).is_some_and(|base| base == OFF) {
                continue;
            }
            let mut requests: BTreeMap<&str, f64> = BTreeMap::new();
            for cell in cells {
                *requests.entry(&cell.value).or_default() += cell.cell.n;
            }
            let most = requests.iter().max_by(|a, b| a.1.total_cmp(b.1));
            let base = match most {
                Some((most, _)) if requests.len() > 1 && !requests.contains_key(OFF) => *most,
                _ => OFF,
            };
            if base == OFF && requests.contains_key(OFF) || !bases.contains_key(*flag) {
                bases.insert((*flag).to_owned(), base.to_owned());
            }
        }
    }
}

/// A flag's value that is judged.
#[derive(Debug, Clone)]
pub(crate) struct Arm {
    pub(crate) flag: String,
    pub(crate) value: String,
    /// The first minute without cells.
    pub(crate) over_since: Option<i64>,
    pub(crate) is_told: bool,
    pub(crate) alarms: Vec<usize>,
    /// Once judged: its place in the day's stream of tests.
    pub(crate) place: Option<Place>,
    /// The standard errors from which an endpoint is called, at the last look.
    pub(crate) called_at: f64,
    /// Where the flag was told in the last minute: the requests with this value.
    pub(crate) told: BTreeMap<RampPlace, f64>,
    pub(crate) pairs: HashMap<usize, FlagPair>,
}

impl Arm {
    /// Looks at all its endpoints, spending that minute's part of its level. Answers which are called that were not.
    pub(crate) fn look(&mut self, minute: i64, is_end: bool, stream: &mut DayStream) -> Vec<usize> {
        let known = self.pairs.iter().filter(|(_, pair)| !pair.is_empty());
        let mut values: Vec<(usize, f64)> = known
            .map(|(endpoint, pair)| (*endpoint, pair.estimate().z().abs()))
            .collect();
        let tests = values.len();
        values.sort_unstable_by_key(|(endpoint, _)| *endpoint);
        let place = *self.place.get_or_insert_with(|| stream.enter(minute));
        let part = part_of_level(minute - place.since, is_end);
        self.called_at = z_of(place.level * part / tests as f64);
        values.retain(|(endpoint, z)| *z >= self.called_at && !self.alarms.contains(endpoint));
        let called: Vec<usize> = values.into_iter().map(|(endpoint, _)| endpoint).collect();
        if self.alarms.is_empty() && !called.is_empty() {
            stream.note_call(place);
        }
        self.alarms.extend(&called);
        called
    }
}

/// A cell of requests split by a flag.
#[derive(Debug, Clone)]
pub(crate) struct FlagCell {
    pub(crate) flag: String,
    pub(crate) value: String,
    pub(crate) cell: Cell,
}

#[derive(Debug, Clone, Copy, Default)]
struct Side {
    n: f64,
    sum_log: f64,
}

/// All flags' values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flags {
    pub(crate) arms: Vec<Arm>,
    against: Against,
}

impl Flags {
    /// Those whose values are held against that.
    pub(crate) fn against(against: Against) -> Self {
        Self {
            arms: Vec::new(),
            against,
        }
    }

    /// Takes a minute's cells; `spread` is the variance of a request's log cost by endpoint.
    pub(crate) fn add_minute(
        &mut self,
        minute: i64,
        cells: &[FlagCell],
        spread: impl Fn(usize) -> f64,
    ) {
        let mut by_flag: BTreeMap<&str, Vec<&FlagCell>> = BTreeMap::new();
        for cell in cells {
            by_flag.entry(&cell.flag).or_default().push(cell);
        }
        self.against.take_up(&by_flag);
        for cell in cells.iter().filter(|cell| self.against.is_judged(cell)) {
            let same = |arm: &Arm| arm.flag == cell.flag && arm.value == cell.value;
            if self.arms.len() < MOST_ARMS && !self.arms.iter().any(same) {
                self.arms.push(Arm {
                    flag: cell.flag.clone(),
                    value: cell.value.clone(),
                    over_since: None,
                    is_told: false,
                    alarms: Vec::new(),
                    place: None,
                    called_at: f64::INFINITY,
                    told: BTreeMap::new(),
                    pairs: HashMap::default(),
                });
            }
        }
        for arm in &mut self.arms {
            arm.told.clear();
            // Requests of this value, and of what it is held against: by endpoint, cluster and deploy.
            let mut sides: HashMap<RampPlace, [Side; 2]> = HashMap::default();
            for &cell in by_flag.get(arm.flag.as_str()).into_iter().flatten() {
                let of = &cell.cell;
                let both = sides
                    .entry((of.endpoint, of.cluster, of.deploy))
                    .or_default();
                let mut add = |side: usize| {
                    both[side].n += of.n;
                    both[side].sum_log += of.sum_log;
                };
                if cell.value == arm.value {
                    add(0);
                } else if self.against.is_other(cell) {
                    add(1);
                }
            }
            if sides.is_empty() {
                arm.over_since.get_or_insert(minute);
                continue;
            }
            arm.over_since = None;
            let mut keys: Vec<RampPlace> = sides.keys().copied().collect();
            keys.sort_unstable();
            for key in keys {
                let [with, without] = sides[&key];
                arm.told.insert(key, with.n);
                if with.n > 0.0 && without.n > 0.0 {
                    let variance = spread(key.0) * (1.0 / with.n + 1.0 / without.n);
                    let difference = with.sum_log / with.n - without.sum_log / without.n;
                    arm.pairs
                        .entry(key.0)
                        .or_default()
                        .add(difference, variance);
                }
            }
        }
    }
}
