//! How near change points come to those of people: the measures of van den Burg and Williams 2020, "An evaluation of change
//! point detection algorithms" (arXiv 2003.06222), as their benchmark reckons them.

use std::collections::BTreeSet;

/// So many values beside an annotated one still is the same place.
const MARGIN: usize = 5;

/// The change points that an annotator saw.
pub(crate) type Annotation = BTreeSet<usize>;

fn with_start(of: &BTreeSet<usize>) -> BTreeSet<usize> {
    of.iter().copied().chain([0]).collect()
}

/// How many of `wanted` were found, each by a place of its own: the nearest that is left, the first of two.
fn hits(wanted: &BTreeSet<usize>, found: &BTreeSet<usize>) -> usize {
    let mut left = found.clone();
    wanted
        .iter()
        .filter(|place| {
            let near = left
                .iter()
                .copied()
                .filter(|at| at.abs_diff(**place) <= MARGIN)
                .min_by_key(|at| (at.abs_diff(**place), *at));
            near.is_some_and(|at| left.remove(&at))
        })
        .count()
}

/// The harmonic mean of precision, against what any annotator saw, and recall, the mean over annotators. The first value counts
/// as a change point for everyone, so that neither is ever undefined.
pub(crate) fn f1(annotations: &[Annotation], found: &BTreeSet<usize>) -> f64 {
    let found = with_start(found);
    let anyone: BTreeSet<usize> = annotations.iter().flat_map(with_start).collect();
    let precision = hits(&anyone, &found) as f64 / found.len() as f64;
    let recalls = annotations.iter().map(|own| {
        let own = with_start(own);
        hits(&own, &found) as f64 / own.len() as f64
    });
    let recall = recalls.sum::<f64>() / annotations.len() as f64;
    2.0 * precision * recall / (precision + recall)
}

/// The mean over annotators of how well each of their segments is covered by the one found that is most like it (Jaccard
/// index), weighted by length.
pub(crate) fn cover(annotations: &[Annotation], found: &BTreeSet<usize>, count: usize) -> f64 {
    let found = segments(found, count);
    let covers = annotations.iter().map(|own| {
        let segments = segments(own, count).into_iter();
        let covered = segments.map(|own| {
            let best = found.iter().map(|other| alike(own, *other));
            (own.1 - own.0) as f64 * best.fold(0.0, f64::max)
        });
        covered.sum::<f64>() / count as f64
    });
    covers.sum::<f64>() / annotations.len() as f64
}

fn segments(starts: &BTreeSet<usize>, count: usize) -> Vec<(usize, usize)> {
    let bounds: Vec<usize> = with_start(starts).into_iter().chain([count]).collect();
    bounds.windows(2).map(|two| (two[0], two[1])).collect()
}

fn alike(one: (usize, usize), other: (usize, usize)) -> f64 {
    let common = one.1.min(other.1).saturating_sub(one.0.max(other.0));
    let all = one.1 - one.0 + other.1 - other.0 - common;
    common as f64 / all as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(of: &[usize]) -> BTreeSet<usize> {
        of.iter().copied().collect()
    }

    fn sets(of: &[&[usize]]) -> Vec<Annotation> {
        of.iter().map(|of| set(of)).collect()
    }

    #[track_caller]
    fn is_about(value: f64, expected: f64) {
        assert!((value - expected).abs() < 1e-12, "{value} {expected}");
    }

    #[test]
    fn a_place_counts_once_and_within_the_margin() {
        assert_eq!(hits(&set(&[10, 20]), &set(&[15, 26])), 1);
        // 12 takes 10, so that nothing is left for 14.
        assert_eq!(hits(&set(&[10, 14]), &set(&[12])), 1);
        assert_eq!(hits(&set(&[]), &set(&[3])), 0);
    }

    #[test]
    fn f1_of_cases_worked_by_hand() {
        // Nobody saw anything else than was found: precision 3/3; recall (3/3 + 3/3 + 2/2) / 3.
        is_about(
            f1(&sets(&[&[10, 20], &[12, 18], &[10]]), &set(&[10, 20])),
            1.0,
        );
        // Precision 2/3, recall (2/2 + 1/1) / 2.
        is_about(f1(&sets(&[&[30], &[]]), &set(&[30, 60])), 0.8);
        // Nothing found: precision 1/1, recall (1/1 + 1/2) / 2 = 3/4.
        is_about(f1(&sets(&[&[], &[40]]), &set(&[])), 6.0 / 7.0);
        // Found where nobody looked: precision 1/2, recall 1/2.
        is_about(f1(&sets(&[&[40]]), &set(&[60])), 0.5);
    }

    #[test]
    fn cover_of_cases_worked_by_hand() {
        is_about(cover(&sets(&[&[4]]), &set(&[4]), 10), 1.0);
        // 0..4 in 0..10 is 4/10, 4..10 is 6/10: (4 · 0.4 + 6 · 0.6) / 10.
        is_about(cover(&sets(&[&[4]]), &set(&[]), 10), 0.52);
        // Found 0..5 and 5..10: 4/5 of the first, 5/6 of the second: (4 · 4/5 + 6 · 5/6) / 10, and half for who saw none.
        is_about(
            cover(&sets(&[&[4], &[]]), &set(&[5]), 10),
            f64::midpoint(0.82, 0.5),
        );
        // An annotated first value is no segment of its own.
        is_about(cover(&sets(&[&[0, 4]]), &set(&[4]), 10), 1.0);
    }
}
