//! The best way to cut a series into segments.

use super::SHORTEST;
use super::fit::Fits;

/// Where segments begin, but for the first, so that what is left of the values, squared and in variances,
/// plus the penalty of each segment is least.
///
/// Pruned as in Killick et al. 2012: a start that is worse by more than the penalty never becomes the
/// best again, once a segment fits between.
pub(super) fn partition(fits: &Fits, count: usize, variance: f64, penalty: f64) -> Vec<usize> {
    // The best cost of all before a place, and where the last segment of that begins.
    let mut best: Vec<(f64, usize)> = vec![(f64::INFINITY, 0); count + 1];
    best[0] = (-penalty, 0);
    // With the place from which on each cannot be the best.
    let mut candidates: Vec<(usize, usize)> = vec![(0, usize::MAX)];
    for until in SHORTEST..=count {
        let mut costs = Vec::with_capacity(candidates.len());
        candidates.retain(|(_, out)| *out > until);
        for &(from, _) in &candidates {
            let cost = best[from].0 + fits.left(from, until) / variance;
            costs.push(cost);
            if cost + penalty < best[until].0 {
                best[until] = (cost + penalty, from);
            }
        }
        for ((_, out), cost) in candidates.iter_mut().zip(costs) {
            if cost > best[until].0 {
                *out = (*out).min(until + SHORTEST);
            }
        }
        // With the next value, what begins here is long enough.
        let start = until + 1 - SHORTEST;
        if start >= SHORTEST {
            candidates.push((start, usize::MAX));
        }
    }
    let mut starts = Vec::new();
    let mut at = best[count].1;
    while at > 0 {
        starts.push(at);
        at = best[at].1;
    }
    starts.reverse();
    starts
}
