use std::collections::BTreeMap;

use statrs::distribution::{ChiSquared, ContinuousCDF};

/// How sure it must be that shares differ by more than chance.
const DIFFER_LEVEL: f64 = 0.001;

/// Requests that had a value, and all that might have had it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Share {
    pub(super) with: f64,
    pub(super) all: f64,
}

impl Share {
    pub(super) fn part(self) -> f64 {
        self.with / self.all
    }
}

/// A value's shares in places that are set side by side, as endpoints or clusters.
///
/// They are compared inside slots of time (and of whatever else moves shares), since a ramp moves all of them: how many requests of a place had
/// the value against how many should, were the slot's share that of each place (Cochran 1954, Mantel and Haenszel 1959).
#[derive(Debug, Clone, Default)]
pub(super) struct Shares<K> {
    /// By place.
    pub(super) places: BTreeMap<K, Share>,
    /// Σ (had it − should)² / what chance makes of that.
    squares: f64,
    /// Σ n p (1 − p): over it, squares are squared differences of log odds (the one step of Yusuf and Peto 1985).
    weight: f64,
}

impl<K: Ord + Copy> Shares<K> {
    /// From how many requests of each slot and place had the value.
    pub(super) fn of<S: Ord>(counted: impl Iterator<Item = (S, K, Share)>) -> Self {
        #[derive(Default)]
        struct Sums {
            share: Share,
            should: f64,
            weight: f64,
        }
        let mut places: BTreeMap<K, Sums> = BTreeMap::new();
        for shares in by_slot(counted).into_values() {
            // A place that is alone says nothing of others.
            if shares.len() < 2 {
                continue;
            }
            let p = pooled(&shares);
            for (place, share) in shares {
                let sums = places.entry(place).or_default();
                sums.share.with += share.with;
                sums.share.all += share.all;
                sums.should += share.all * p;
                sums.weight += share.all * p * (1.0 - p);
            }
        }
        let known = places.values().filter(|sums| sums.weight > 0.0);
        let squares = known
            .map(|sums| (sums.share.with - sums.should).powi(2) / sums.weight)
            .sum();
        Self {
            squares,
            weight: places.values().map(|sums| sums.weight).sum(),
            places: places
                .into_iter()
                .map(|(at, sums)| (at, sums.share))
                .collect(),
        }
    }

    fn freedom(&self) -> f64 {
        self.places.len().saturating_sub(1) as f64
    }

    /// Whether they differ: by more than chance does, which is `chance` times that of requests drawn one by one, and by more than that of log odds.
    pub(super) fn differ(&self, chance: f64, more_than: f64) -> bool {
        let freedom = self.freedom();
        let Ok(by_chance) = ChiSquared::new(freedom) else {
            return false;
        };
        let spread = (self.squares - chance * freedom).max(0.0) / self.weight;
        self.weight > 0.0
            && by_chance.sf(self.squares / chance) < DIFFER_LEVEL
            && spread.sqrt() > more_than
    }

    /// Whether there are requests enough to see differences of that size in log odds.
    pub(super) fn would_show(&self, chance: f64, size: f64) -> bool {
        let freedom = self.freedom();
        freedom > 0.0 && self.weight * size * size > chance * freedom
    }

    /// The places with the least and the greatest share.
    pub(super) fn ends(&self) -> Option<[(K, Share); 2]> {
        let by_share = |a: &(&K, &Share), b: &(&K, &Share)| a.1.part().total_cmp(&b.1.part());
        let least = self.places.iter().min_by(by_share)?;
        let greatest = self.places.iter().max_by(by_share)?;
        Some([least, greatest].map(|(place, share)| (*place, *share)))
    }
}

/// How many times as far as by chance, one request by one, shares of groups of hosts differ in the same slot, squared: as where
/// users come back to the same host. Never less than 1.
pub(super) fn overdispersion<S: Ord, K: Ord>(counted: impl Iterator<Item = (S, K, Share)>) -> f64 {
    let (mut squares, mut freedom) = (0.0, 0.0);
    for shares in by_slot(counted).into_values() {
        let p = pooled(&shares);
        if shares.len() < 2 || p <= 0.0 || p >= 1.0 {
            continue;
        }
        let groups = shares.values();
        squares += groups
            .map(|share| (share.with - share.all * p).powi(2) / (share.all * p * (1.0 - p)))
            .sum::<f64>();
        freedom += (shares.len() - 1) as f64;
    }
    if freedom > 0.0 {
        f64::max(squares / freedom, 1.0)
    } else {
        1.0
    }
}

fn by_slot<S: Ord, K: Ord>(
    counted: impl Iterator<Item = (S, K, Share)>,
) -> BTreeMap<S, BTreeMap<K, Share>> {
    let mut slots: BTreeMap<S, BTreeMap<K, Share>> = BTreeMap::new();
    for (slot, place, share) in counted.filter(|(_, _, share)| share.all > 0.0) {
        let sum = slots.entry(slot).or_default().entry(place).or_default();
        sum.with += share.with;
        sum.all += share.all;
    }
    slots
}

fn pooled<K>(shares: &BTreeMap<K, Share>) -> f64 {
    let sum = |of: fn(&Share) -> f64| shares.values().map(of).sum::<f64>();
    sum(|share| share.with) / sum(|share| share.all)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn share(with: f64, all: f64) -> Share {
        Share { with, all }
    }

    #[test]
    fn two_places_are_pearsons_table_and_a_ramp_moves_nothing() {
        // χ² of the table 30 of 100 and 50 of 100, and log odds apart by 0.847.
        let two = [(0, 'a', share(30.0, 100.0)), (0, 'b', share(50.0, 100.0))];
        let shares = Shares::of(two.into_iter());
        assert!((shares.squares - 8.333_333).abs() < 1e-5, "{shares:?}");
        assert!((shares.squares / shares.weight).sqrt() > 0.4);
        // A tenth, then all, while the second place comes later: each slot is as it should be.
        let ramp = [
            (0, 'a', share(100.0, 1_000.0)),
            (0, 'b', share(10.0, 100.0)),
            (1, 'a', share(100.0, 100.0)),
            (1, 'b', share(1_000.0, 1_000.0)),
        ];
        let shares = Shares::of(ramp.into_iter());
        assert!(!shares.differ(1.0, 0.0), "{shares:?}");
        assert_eq!(shares.ends().unwrap()[1].0, 'b');
    }

    #[test]
    fn one_place_tells_nothing() {
        let shares = Shares::of([(0, 'a', share(30.0, 100.0))].into_iter());
        assert!(!shares.differ(1.0, 0.1) && !shares.would_show(1.0, 0.1));
    }

    /// How many of 2,000 had a value that each is given with that chance.
    fn drawn(random: &mut fastrand::Rng, chance: f64) -> Share {
        let with = (0..2_000).filter(|_| random.f64() < chance).count();
        share(with as f64, 2_000.0)
    }

    #[test]
    fn what_is_given_at_random_differs_no_more_often_than_the_level() {
        let mut random = fastrand::Rng::with_seed(5);
        let mut differing = [0, 0];
        for _ in 0..300 {
            for (at, last) in [0.3, 0.4].into_iter().enumerate() {
                let places = [0.3, 0.3, 0.3, last].into_iter().enumerate();
                let counted: Vec<_> = places
                    .map(|(place, chance)| (0, place, drawn(&mut random, chance)))
                    .collect();
                let shares = Shares::of(counted.into_iter());
                assert!(shares.would_show(1.0, 0.1));
                differing[at] += usize::from(shares.differ(1.0, 0.1));
            }
        }
        assert!(differing[0] <= 2 && differing[1] >= 290, "{differing:?}");
    }

    #[test]
    fn users_that_come_back_to_a_host_raise_what_chance_does() {
        let mut random = fastrand::Rng::with_seed(8);
        let mut users = |host: usize| {
            // Ten users a host, who come fifty times each.
            let with = (0..10).filter(|_| random.f64() < 0.5).count();
            (0, host, share(50.0 * with as f64, 500.0))
        };
        let counted: Vec<_> = (0..160).map(&mut users).collect();
        let found = overdispersion(counted.into_iter());
        assert!((found - 50.0).abs() < 12.0, "{found}");
    }

    proptest! {
        #[test]
        fn neither_the_order_nor_whose_share_it_is_matters(
            counted in prop::collection::vec((0..3_u8, 0..4_u8, 0..50_u32, 1..50_u32), 1..30)
        ) {
            let shares = |mirrored: bool, reversed: bool| {
                let mut cells: Vec<_> = counted
                    .iter()
                    .map(|&(slot, place, with, without)| {
                        let had = if mirrored { without } else { with };
                        (slot, place, share(f64::from(had), f64::from(with + without)))
                    })
                    .collect();
                if reversed {
                    cells.reverse();
                }
                Shares::of(cells.into_iter())
            };
            let one = shares(false, false);
            for other in [shares(true, false), shares(false, true)] {
                prop_assert!((one.squares - other.squares).abs() <= 1e-6 * (1.0 + one.squares));
                prop_assert!((one.weight - other.weight).abs() <= 1e-6 * (1.0 + one.weight));
            }
        }
    }
}
