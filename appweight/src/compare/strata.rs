//! Cells laid out by time, so that the old code is measured under the very conditions of the new.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use appweight_wire::{Age, Distribution, InstructionSource, Kind};

use crate::api::Metric;
use crate::evidence::{PlacedCell, by_cluster};
use crate::thresholds::MAX_UNPAIRED_SHARE;

/// The first four of a distribution's sums: all that a mean and its error need.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Moments {
    pub(crate) n: f64,
    pub(crate) sum: f64,
    pub(crate) sum_squares: f64,
}

impl Moments {
    fn of(distribution: &Distribution) -> Self {
        Self {
            n: distribution.n as f64,
            sum: distribution.sum as f64,
            sum_squares: distribution.sum_squares.as_f64(),
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.n += other.n;
        self.sum += other.sum;
        self.sum_squares += other.sum_squares;
    }

    pub(crate) fn mean(self) -> f64 {
        self.sum / self.n
    }

    /// The sum of squared deviations from the mean.
    pub(crate) fn deviations(self) -> f64 {
        (self.sum_squares - self.sum * self.sum / self.n).max(0.0)
    }
}

/// Old (0) or new (1).
pub(crate) const BEFORE: usize = 0;
pub(crate) const AFTER: usize = 1;

/// A cluster of cells, in the order of clusters.
#[derive(Debug, Clone)]
pub(crate) struct Cluster<T>(T);

impl<T: AsRef<str>> Ord for Cluster<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        by_cluster(self.0.as_ref(), other.0.as_ref())
    }
}

impl<T: AsRef<str>> PartialOrd for Cluster<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: AsRef<str>> PartialEq for Cluster<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T: AsRef<str>> Eq for Cluster<T> {}

/// One span of time of one part of the fleet, both sides.
pub(crate) type Pair = [Moments; 2];

/// One endpoint's requests under both deploys.
#[derive(Debug, Clone, Default)]
pub(crate) struct EndpointStrata {
    /// By cluster and start of the span.
    pub(crate) by_time: BTreeMap<(Cluster<String>, u64), Pair>,
    /// By host group, both sides.
    pub(crate) by_host_group: [BTreeMap<u8, Moments>; 2],
    /// Requests counted.
    pub(crate) requests: [u64; 2],
    /// Requests stood for.
    pub(crate) weight: [u64; 2],
    /// Failed requests.
    pub(crate) errors: [u64; 2],
}

impl EndpointStrata {
    /// The strata in which both sides have requests, neighbours joined until few requests are left
    /// without a counterpart.
    pub(crate) fn pairs(&self) -> Vec<Pair> {
        let mut strata: Vec<(Cluster<String>, Pair)> = self
            .by_time
            .iter()
            .map(|((cluster, _), pair)| (cluster.clone(), *pair))
            .collect();
        let sums = self.by_time.values().fold([0.0; 2], |sums, pair| {
            [sums[BEFORE] + pair[BEFORE].n, sums[AFTER] + pair[AFTER].n]
        });
        // The side with fewer requests decides how much can be known.
        let scarcer = if sums[BEFORE] <= sums[AFTER] {
            BEFORE
        } else {
            AFTER
        };
        loop {
            let paired: f64 = strata
                .iter()
                .filter(|(_, pair)| is_paired(pair))
                .map(|(_, pair)| pair[scarcer].n)
                .sum();
            let joined = join_neighbours(&strata);
            if paired >= sums[scarcer] * (1.0 - MAX_UNPAIRED_SHARE) || joined.len() == strata.len()
            {
                return strata
                    .into_iter()
                    .map(|(_, pair)| pair)
                    .filter(is_paired)
                    .collect();
            }
            strata = joined;
        }
    }

    fn add(&mut self, side: usize, placed: &PlacedCell, distribution: &Distribution) {
        let moments = Moments::of(distribution);
        let at = (Cluster(placed.cluster.clone()), placed.cell.key.start_us);
        self.by_time.entry(at).or_default()[side].add(moments);
        self.by_host_group[side]
            .entry(placed.host_group)
            .or_default()
            .add(moments);
        let add = |sum: &mut u64, count| *sum = sum.saturating_add(count);
        add(&mut self.requests[side], distribution.n);
        add(&mut self.weight[side], placed.cell.weight);
        add(&mut self.errors[side], placed.cell.errors);
    }
}

fn is_paired(pair: &Pair) -> bool {
    pair[BEFORE].n > 0.0 && pair[AFTER].n > 0.0
}

fn join_neighbours(strata: &[(Cluster<String>, Pair)]) -> Vec<(Cluster<String>, Pair)> {
    let mut joined: Vec<(Cluster<String>, Pair)> = Vec::with_capacity(strata.len().div_ceil(2));
    let mut open = false;
    for (cluster, pair) in strata {
        match joined.last_mut() {
            Some((last_cluster, last)) if open && last_cluster == cluster => {
                last[BEFORE].add(pair[BEFORE]);
                last[AFTER].add(pair[AFTER]);
                open = false;
            }
            _ => {
                joined.push((cluster.clone(), *pair));
                open = true;
            }
        }
    }
    joined
}

/// Lays the cells of two deploys out by endpoint. With `side_by_side`, only spans of time in which
/// the service ran both are kept.
pub(crate) fn lay_out(
    cells: &[PlacedCell],
    deploys: [&str; 2],
    metric: Metric,
    source: Option<InstructionSource>,
    side_by_side: bool,
) -> BTreeMap<(Kind, String), EndpointStrata> {
    let usable = |placed: &&PlacedCell| {
        is_usable(placed)
            && source.is_none_or(|source| placed.cell.key.instruction_source == source)
    };
    let mut present: BTreeMap<(Cluster<&str>, u64), [bool; 2]> = BTreeMap::new();
    for placed in cells.iter().filter(usable) {
        if let Some(side) = side_of(placed, deploys) {
            present
                .entry((Cluster(placed.cluster.as_str()), placed.cell.key.start_us))
                .or_default()[side] = true;
        }
    }
    // Of many cells each: looked up by hash, and sorted at the end.
    let mut endpoints: HashMap<(Kind, &str), EndpointStrata> = HashMap::new();
    for placed in cells.iter().filter(usable) {
        let at = (Cluster(placed.cluster.as_str()), placed.cell.key.start_us);
        let kept = !side_by_side || present.get(&at) == Some(&[true, true]);
        let distribution = match metric {
            Metric::Instructions => placed.cell.instructions.as_ref(),
            Metric::Cpu => placed.cell.cpu_ns.as_ref(),
        };
        if let (true, Some(side), Some(distribution)) =
            (kept, side_of(placed, deploys), distribution)
        {
            let key = &placed.cell.key;
            (endpoints.entry((key.kind, &key.endpoint)).or_default()).add(
                side,
                placed,
                distribution,
            );
        }
    }
    let endpoints = endpoints.into_iter();
    let named = endpoints.map(|((kind, name), strata)| ((kind, name.to_owned()), strata));
    named.collect()
}

/// Whether a cell says something about the code: not one kept per flag (it holds the same requests
/// once more), and not of a process whose caches are still empty.
pub(crate) fn is_usable(placed: &PlacedCell) -> bool {
    placed.cell.key.flag.is_none() && placed.cell.key.age == Age::Warm
}

pub(crate) fn side_of(placed: &PlacedCell, deploys: [&str; 2]) -> Option<usize> {
    deploys.iter().position(|deploy| *deploy == placed.deploy)
}
