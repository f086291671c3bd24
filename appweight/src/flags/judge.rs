use std::collections::{BTreeMap, BTreeSet};

use foldhash::HashMap;

use super::MOST_VALUES;
use super::collect::{Counts, FlagCells, Place, Value};
use crate::detect::{Against, Cell, DayStream, FlagCell, Flags, OFF};
use crate::live::{MINUTE_US, minute_of};

/// Minutes without requests after which a flag is over, and its watch ends.
const OVER_AFTER: i64 = 60;
/// The variance of a request's log cost is taken for no less: the mean of many equal ones would pass for exact.
const LEAST_SPREAD: f64 = 1e-9;

/// A flag whose requests are split by its values.
#[derive(Debug)]
pub(super) struct Split {
    pub(super) flag: String,
    /// The value that is not judged by itself.
    pub(super) base: String,
    /// Whether requests told it; else they are those that told no value.
    pub(super) is_base_told: bool,
    /// By value.
    pub(super) parts: BTreeMap<String, Value>,
    /// Values that are judged.
    pub(super) judged: Vec<String>,
}

/// What was seen of all flags, minute by minute.
pub(super) struct Watched {
    pub(super) flags: Flags,
    /// By arm and endpoint: the minute that made it sure.
    pub(super) sure_since: HashMap<(usize, usize), i64>,
    /// By flag: its last look, and whether it was over by then.
    pub(super) last: HashMap<String, (i64, bool)>,
}

/// The flags of these cells, and how many values are left out.
pub(super) fn splits(cells: &mut FlagCells) -> (Vec<Split>, u32) {
    let told = std::mem::take(&mut cells.values);
    let mut splits: Vec<Split> = told
        .into_iter()
        .map(|(flag, parts)| split(flag, parts, cells))
        .collect();
    let mut all: Vec<(u64, usize, String)> = Vec::new();
    for (at, split) in splits.iter().enumerate() {
        let judged = split.parts.iter().filter(|(name, _)| **name != split.base);
        all.extend(judged.map(|(name, value)| (requests(value), at, name.clone())));
    }
    all.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| (a.1, &a.2).cmp(&(b.1, &b.2))));
    let left_out = all.len().saturating_sub(MOST_VALUES);
    for (_, at, name) in all.into_iter().take(MOST_VALUES) {
        splits[at].judged.push(name);
    }
    splits.retain(|split| !split.judged.is_empty());
    (splits, u32::try_from(left_out).unwrap_or(u32::MAX))
}

fn split(flag: String, mut parts: BTreeMap<String, Value>, cells: &FlagCells) -> Split {
    let most_common = parts.iter().max_by_key(|(_, value)| requests(value));
    let mut base = most_common
        .map(|(name, _)| name.clone())
        .unwrap_or_default();
    let is_base_told = parts.len() > 1;
    if parts.contains_key(OFF) && is_base_told {
        OFF.clone_into(&mut base);
    }
    if !is_base_told {
        let rest = parts.get(&base).map(|value| rest(value, cells));
        base = format!("not {base}");
        parts.extend(rest.map(|rest| (base.clone(), rest)));
    }
    Split {
        flag,
        base,
        is_base_told,
        parts,
        judged: Vec::new(),
    }
}

/// The requests that did not have a value, of endpoints of which others had it.
fn rest(value: &Value, cells: &FlagCells) -> Value {
    let endpoints: BTreeSet<usize> = value.places.keys().map(|place| place.endpoint).collect();
    let mut rest = Value::default();
    for (place, whole) in &cells.whole {
        if endpoints.contains(&place.endpoint) {
            let counts = match value.places.get(place) {
                Some(part) => whole.without(part),
                None => *whole,
            };
            if counts.requests > 0 {
                rest.places.insert(*place, counts);
            }
        }
    }
    for (place, whole) in &cells.whole_hosts {
        let part = value.hosts.get(place).copied().unwrap_or_default();
        if endpoints.contains(&place.0.1) && *whole > part {
            rest.hosts.insert(*place, whole - part);
        }
    }
    rest
}

pub(super) fn requests(value: &Value) -> u64 {
    let counts = value.places.values();
    counts.fold(0, |sum, counts| sum.saturating_add(counts.requests))
}

/// Looks at all of them in each minute up to, but not including, `until`, as the detector does.
pub(super) fn watch(splits: &[Split], false_discoveries: f64, until: i64) -> Watched {
    let spreads = spreads(splits);
    let spread = |endpoint: usize| spreads.get(&endpoint).copied().unwrap_or(f64::INFINITY);
    let mut by_start: BTreeMap<u64, Vec<FlagCell>> = BTreeMap::new();
    for split in splits {
        for (name, value) in &split.parts {
            for (place, counts) in &value.places {
                if counts.sums.n > 0.0 {
                    let cells = by_start.entry(place.start_us).or_default();
                    cells.push(cell(&split.flag, name, place, counts));
                }
            }
        }
    }
    let judged = splits
        .iter()
        .map(|split| (split.flag.clone(), split.judged.clone()));
    let mut watched = Watched {
        flags: Flags::against(Against::Others(judged.collect())),
        sure_since: HashMap::default(),
        last: HashMap::default(),
    };
    let mut stream = DayStream::new(false_discoveries);
    let mut starts = by_start.into_iter().peekable();
    while let Some((start_us, cells)) = starts.next() {
        let minute = minute_of(start_us);
        for cell in &cells {
            match watched.last.get_mut(&cell.flag) {
                Some(last) => last.0 = minute,
                None => _ = watched.last.insert(cell.flag.clone(), (minute, false)),
            }
        }
        watched.flags.add_minute(minute, &cells, spread);
        let is_last_of_minute =
            !matches!(starts.peek(), Some((next, _)) if next / MINUTE_US == start_us / MINUTE_US);
        if is_last_of_minute {
            let seen = watched.last.clone();
            look(&mut watched, &mut stream, |flag| {
                (seen.get(flag)?.0 == minute).then_some((minute, false))
            });
        }
    }
    let ended = watched.last.clone();
    look(&mut watched, &mut stream, |flag| {
        let (last, _) = ended.get(flag)?;
        (last + OVER_AFTER <= until).then_some((last + OVER_AFTER, true))
    });
    watched
}

/// Looks at the flags of which `of` says the minute, and whether they are over.
fn look(watched: &mut Watched, stream: &mut DayStream, of: impl Fn(&str) -> Option<(i64, bool)>) {
    for (at, arm) in watched.flags.arms.iter_mut().enumerate() {
        let Some((minute, is_over)) = of(&arm.flag) else {
            continue;
        };
        for endpoint in arm.look(minute, is_over, stream) {
            watched.sure_since.insert((at, endpoint), minute);
        }
        watched.last.insert(arm.flag.clone(), (minute, is_over));
    }
}

/// The variance of a request's log cost by endpoint, among requests of the same time, deploy, cluster and value.
fn spreads(splits: &[Split]) -> HashMap<usize, f64> {
    let mut sums: HashMap<usize, (f64, f64)> = HashMap::default();
    let parts = splits.iter().flat_map(|split| split.parts.values());
    for (place, counts) in parts.flat_map(|value| &value.places) {
        let of = counts.sums;
        if of.n > 1.0 {
            let sum = sums.entry(place.endpoint).or_default();
            sum.0 += (of.square_log - of.log * of.log / of.n).max(0.0);
            sum.1 += of.n - 1.0;
        }
    }
    sums.into_iter()
        .map(|(endpoint, (squares, freedom))| (endpoint, (squares / freedom).max(LEAST_SPREAD)))
        .collect()
}

fn cell(flag: &str, value: &str, place: &Place, counts: &Counts) -> FlagCell {
    FlagCell {
        flag: flag.to_owned(),
        value: value.to_owned(),
        cell: Cell {
            endpoint: place.endpoint,
            cluster: place.cluster,
            host: 0,
            deploy: place.deploy,
            n: counts.sums.n,
            sum: counts.sums.sum,
            sum_log: counts.sums.log,
            sum_square_log: counts.sums.square_log,
            spent: counts.spent(),
        },
    }
}
