use foldhash::HashMap;

use super::endpoint::Cell;
use super::flag::FlagPair;
use super::stream::Place;

/// The value that others are held against.
const OFF: &str = "off";

/// A flag's value that is held against "off".
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
    shares: HashMap<(usize, usize), f64>,
    pub(crate) pairs: HashMap<usize, FlagPair>,
}

impl Arm {
    /// The share of an endpoint's requests in a cluster that have the value.
    pub(crate) fn share_of(&self, endpoint: usize, cluster: usize) -> f64 {
        let known = self.shares.get(&(endpoint, cluster));
        known.copied().unwrap_or(self.share)
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
}

impl Flags {
    /// Takes a minute's cells; `spread` is the variance of a request's log cost by endpoint. Returns how many
    /// values are new.
    pub(crate) fn add_minute(
        &mut self,
        minute: i64,
        cells: &[FlagCell],
        spread: impl Fn(usize) -> f64,
    ) -> usize {
        let before = self.arms.len();
        for cell in cells.iter().filter(|cell| cell.value != OFF) {
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
                    shares: HashMap::default(),
                    pairs: HashMap::default(),
                });
            }
        }
        for arm in &mut self.arms {
            arm.shares.clear();
            // Old requests of this value, of "off", of all: by endpoint, cluster and deploy.
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
                } else if cell.value == OFF {
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
