//! The best way to cut a series into segments.

use super::SHORTEST;
use super::fit::Fits;

/// Series of more values than this are cut on a grid first.
const MOST_EXACT: usize = 2_000;
/// Steps of that grid, at most.
const GRID: usize = 1_000;
/// Rounds in which each cut of a grid moves to its best place between its neighbours.
const ROUNDS: usize = 3;

/// Where segments begin, but for the first, so that what is left of the values, squared and in variances,
/// plus the penalty of each segment is least.
///
/// Up to [`MOST_EXACT`] values exactly. Of more, cuts are first sought at every k-th place alone, and each is then moved to where it is best
/// within k of that: the time that takes grows no more with the square of the length, and two changes within k values are told as one.
pub(super) fn partition(fits: &Fits, count: usize, variance: f64, penalty: f64) -> Vec<usize> {
    if count <= MOST_EXACT {
        let places: Vec<usize> = (0..=count).collect();
        return best(fits, &places, variance, penalty);
    }
    let step = count.div_ceil(GRID).max(SHORTEST);
    let places: Vec<usize> = (0..count / step)
        .map(|at| at * step)
        .chain([count])
        .collect();
    let mut starts = best(fits, &places, variance, penalty);
    for _ in 0..ROUNDS {
        let before = starts.clone();
        for at in 0..starts.len() {
            let from = if at == 0 { 0 } else { starts[at - 1] };
            let until = starts.get(at + 1).copied().unwrap_or(count);
            let least = (before[at].saturating_sub(step)).max(from + SHORTEST);
            let most = (before[at] + step).min(until - SHORTEST);
            let left = |start: &usize| fits.left(from, *start) + fits.left(*start, until);
            let moved = (least..=most).min_by(|a, b| left(a).total_cmp(&left(b)));
            starts[at] = moved.unwrap_or(starts[at]);
        }
        if starts == before {
            break;
        }
    }
    starts
}

/// The best cuts at some of these places, of which the first and the last are the series' ends.
///
/// Pruned as in Killick et al. 2012: a start that is worse by more than the penalty never becomes the
/// best again, once a segment fits between.
fn best(fits: &Fits, places: &[usize], variance: f64, penalty: f64) -> Vec<usize> {
    // By place: the best cost of all before it, and which place the last segment of that begins at.
    let mut best: Vec<(f64, usize)> = vec![(f64::INFINITY, 0); places.len()];
    best[0] = (-penalty, 0);
    // With the place from which on each cannot be the best.
    let mut candidates: Vec<(usize, usize)> = Vec::new();
    let mut next = 0;
    let mut costs = Vec::new();
    for (at, &until) in places.iter().enumerate().skip(1) {
        candidates.retain(|(_, out)| *out > until);
        while places[next] + SHORTEST <= until {
            if next == 0 || places[next] >= SHORTEST {
                candidates.push((next, usize::MAX));
            }
            next += 1;
        }
        costs.clear();
        for &(from, _) in &candidates {
            let cost = best[from].0 + fits.left(places[from], until) / variance;
            costs.push(cost);
            if cost + penalty < best[at].0 {
                best[at] = (cost + penalty, from);
            }
        }
        for ((_, out), cost) in candidates.iter_mut().zip(&costs) {
            if *cost > best[at].0 {
                *out = (*out).min(until + SHORTEST);
            }
        }
    }
    let mut starts = Vec::new();
    let mut at = best[places.len() - 1].1;
    while at > 0 {
        starts.push(places[at]);
        at = best[at].1;
    }
    starts.reverse();
    starts
}
