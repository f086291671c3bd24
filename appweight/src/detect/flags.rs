use foldhash::HashMap;

use super::endpoint::Cell;
use super::evidence::{part_of_level, z_of};
use super::flag::FlagPair;
use super::stream::{DayStream, Place};

/// The value that others are held against where nothing else is said.
pub(crate) const OFF: &str = "off";

/// What a flag's value is held against.
#[derive(Debug, Clone, Default)]
pub(crate) enum Against {
    /// The value "off".
    #[default]
    Off,
    /// All other values of the flag. By flag those that are judged: of two values one is the other's mirror.
    Others(HashMap<String, Vec<String>>),
}

impl Against {
    fn is_judged(&self, cell: &FlagCell) -> bool {
        match self {
            Self::Off => cell.value != OFF,
            Self::Others(judged) => judged
                .get(&cell.flag)
                .is_some_and(|values| values.contains(&cell.value)),
        }
    }

    fn is_other(&self, value: &str) -> bool {
        match self {
            Self::Off => value == OFF,
            Self::Others(_) => true,
        }
    }
}

/// A flag's value that is judged.
#[derive(Debug, Clone)]
pub(crate) struct Arm {
    pub(crate) flag: String,
    pub(crate) value: String,
    /// The share of requests with this value, all endpoints together, when last seen.
    pub(crate) share: f64,
    /// The first minute without cells.
    pub(crate) over_since: Option<i64>,
    pub(crate) is_told: bool,
    pub(crate) alarms: Vec<usize>,
    /// Once judged: its place in the day's stream of tests.
    pub(crate) place: Option<Place>,
    /// The standard errors from which an endpoint is called, at the last look.
    pub(crate) called_at: f64,
    shares: HashMap<(usize, usize), f64>,
    pub(crate) pairs: HashMap<usize, FlagPair>,
}

impl Arm {
    /// The share of an endpoint's requests in a cluster that have the value.
    pub(crate) fn share_of(&self, endpoint: usize, cluster: usize) -> f64 {
        let known = self.shares.get(&(endpoint, cluster));
        known.copied().unwrap_or(self.share)
    }

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

    /// Takes a minute's cells; `spread` is the variance of a request's log cost by endpoint. Returns how many
    /// values are new.
    pub(crate) fn add_minute(
        &mut self,
        minute: i64,
        cells: &[FlagCell],
        spread: impl Fn(usize) -> f64,
    ) -> usize {
        let before = self.arms.len();
        for cell in cells.iter().filter(|cell| self.against.is_judged(cell)) {
            let same = |arm: &Arm| arm.flag == cell.flag && arm.value == cell.value;
            if !self.arms.iter().any(same) {
                self.arms.push(Arm {
                    flag: cell.flag.clone(),
                    value: cell.value.clone(),
                    share: 0.0,
                    over_since: None,
                    is_told: false,
                    alarms: Vec::new(),
                    place: None,
                    called_at: f64::INFINITY,
                    shares: HashMap::default(),
                    pairs: HashMap::default(),
                });
            }
        }
        for arm in &mut self.arms {
            arm.shares.clear();
            // Requests of this value, of what it is held against, of all: by endpoint, cluster and deploy.
            let mut sides: HashMap<(usize, usize, usize), [Side; 3]> = HashMap::default();
            for cell in cells.iter().filter(|cell| cell.flag == arm.flag) {
                let of = &cell.cell;
                let three = sides
                    .entry((of.endpoint, of.cluster, of.deploy))
                    .or_default();
                let mut add = |side: usize| {
                    three[side].n += of.n;
                    three[side].sum_log += of.sum_log;
                };
                if cell.value == arm.value {
                    add(0);
                } else if self.against.is_other(&cell.value) {
                    add(1);
                }
                add(2);
            }
            if sides.is_empty() {
                if arm.over_since.is_none() {
                    arm.over_since = Some(minute);
                    arm.share = arm.share.round();
                }
                continue;
            }
            arm.over_since = None;
            let mut keys: Vec<(usize, usize, usize)> = sides.keys().copied().collect();
            keys.sort_unstable();
            let mut shares: HashMap<(usize, usize), (f64, f64)> = HashMap::default();
            for key in keys {
                let [with, without, all] = sides[&key];
                let share = shares.entry((key.0, key.1)).or_default();
                share.0 += with.n;
                share.1 += all.n;
                if with.n > 0.0 && without.n > 0.0 {
                    let variance = spread(key.0) * (1.0 / with.n + 1.0 / without.n);
                    let difference = with.sum_log / with.n - without.sum_log / without.n;
                    arm.pairs
                        .entry(key.0)
                        .or_default()
                        .add(difference, variance);
                }
            }
            let (with, all) = shares
                .values()
                .fold((0.0, 0.0), |sum, share| (sum.0 + share.0, sum.1 + share.1));
            arm.share = with / all;
            arm.shares = shares
                .into_iter()
                .map(|(key, (with, all))| (key, with / all))
                .collect();
        }
        self.arms.len() - before
    }
}
