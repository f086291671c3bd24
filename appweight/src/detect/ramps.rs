//! Which values of flags are given to more or fewer requests than before, and by how much.

use std::collections::{BTreeMap, BTreeSet};

use super::endpoint::Cell;
use super::flags::Arm;

/// Where a share is read by itself: endpoint, cluster, deploy. A deploy that brings a flag, or takes one away, moves no share within a deploy.
pub(crate) type Place = (usize, usize, usize);

/// Minutes without a move after which a share is taken to stand still: as long as a deploy is watched after its roll-out.
const STILL_AFTER: i64 = 60;
/// A share has moved from so many standard errors on: thousands of minutes are looked at.
const MOVES_AT: f64 = 5.0;
/// The least move that is one. What costs a tenth more and moves by less changes the cost by less than 0.05 %.
const LEAST_MOVE: f64 = 0.005;
/// Minutes in which what a share was is forgotten to 1/e.
const MEMORY: f64 = 60.0;
/// Requests that served so long ago that nothing is left of them.
const LEAST_SERVED: f64 = 1e-3;
/// Looks that the assumption is worth that shares differ by chance alone.
const LOOKS_ASSUMED: f64 = 20.0;

#[derive(Debug, Clone, Copy, Default)]
struct Share {
    with: f64,
    all: f64,
}

impl Share {
    fn value(&self) -> f64 {
        self.with / self.all
    }
}

/// One value of a flag.
#[derive(Debug, Clone, Default)]
struct Ramp {
    endpoints: BTreeSet<usize>,
    /// Since it last moved.
    stood: BTreeMap<Place, Share>,
    /// Before it began to move.
    base: BTreeMap<Place, f64>,
    /// In this minute, where the flag was told.
    now: BTreeMap<Place, f64>,
    /// While it does not stand still.
    moved_at: Option<i64>,
    /// Squared standard errors of all looks: where the same users come again, shares differ by more than requests explain.
    squares: f64,
    looks: f64,
}

/// All values' shares. A share that stands is a part of the level; only one that moves can be taken for what a deploy did.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ramps {
    ramps: Vec<Ramp>,
    /// Requests of the minutes before, the older the less.
    served: BTreeMap<Place, f64>,
}

impl Ramps {
    /// Takes a minute's cells and what was told of flags in it. Answers which values moved.
    pub(crate) fn add_minute(&mut self, minute: i64, cells: &[Cell], arms: &[Arm]) -> Vec<usize> {
        let mut whole: BTreeMap<Place, f64> = BTreeMap::new();
        for cell in cells {
            let place = (cell.endpoint, cell.cluster, cell.deploy);
            *whole.entry(place).or_default() += cell.n;
        }
        self.ramps.resize_with(arms.len(), Ramp::default);
        let mut moved = Vec::new();
        for (at, (ramp, arm)) in self.ramps.iter_mut().zip(arms).enumerate() {
            ramp.see(arm, &self.served);
            if ramp.moves(arm, &whole, minute) {
                moved.push(at);
            }
        }
        let kept = (-1.0 / MEMORY).exp();
        for served in self.served.values_mut() {
            *served *= kept;
        }
        self.served.retain(|_, served| *served > LEAST_SERVED);
        for (place, n) in whole {
            *self.served.entry(place).or_default() += n;
        }
        moved
    }

    /// By how much the share at a place differs from what it was before the value began to move. `parent` is what a deploy replaced: what is not known of
    /// one is as it was with that.
    pub(crate) fn moved_by(
        &self,
        arm: usize,
        place: Place,
        parent: impl Fn(usize) -> Option<usize>,
    ) -> f64 {
        let Some(ramp) = self.ramps.get(arm).filter(|ramp| ramp.moved_at.is_some()) else {
            return 0.0;
        };
        let now = |at: &Place| {
            let told = ramp.now.get(at).copied();
            told.or_else(|| ramp.stood.get(at).map(Share::value))
        };
        let base = |at: &Place| ramp.base.get(at).copied();
        let nearest = |of: &dyn Fn(&Place) -> Option<f64>| {
            let mut deploy = Some(place.2);
            std::iter::from_fn(|| {
                let at = (place.0, place.1, deploy?);
                deploy = parent(at.2).filter(|before| *before < at.2);
                Some(at)
            })
            .find_map(|at| of(&at))
        };
        match (nearest(&now), nearest(&base)) {
            (Some(now), Some(base)) => now - base,
            _ => 0.0,
        }
    }

    /// Whether the value has not moved for a watch.
    pub(crate) fn is_still(&self, arm: usize, minute: i64) -> bool {
        let moved_at = self.ramps.get(arm).and_then(|ramp| ramp.moved_at);
        moved_at.is_none_or(|at| minute >= at + STILL_AFTER)
    }

    /// Takes the shares of those that stand still for a part of the level from now on.
    pub(crate) fn settle(&mut self, minute: i64) {
        for ramp in &mut self.ramps {
            if ramp.moved_at.is_some_and(|at| minute >= at + STILL_AFTER) {
                ramp.moved_at = None;
                ramp.base.clear();
            }
        }
    }
}

impl Ramp {
    /// Who served an endpoint before the value was first seen there did so without it.
    fn see(&mut self, arm: &Arm, served: &BTreeMap<Place, f64>) {
        for &(endpoint, ..) in arm.told.keys() {
            if self.endpoints.insert(endpoint) {
                let before = served.range((endpoint, 0, 0)..(endpoint + 1, 0, 0));
                for (&place, &all) in before {
                    self.stood.insert(place, Share { with: 0.0, all });
                    if self.moved_at.is_some() {
                        self.base.insert(place, 0.0);
                    }
                }
            }
        }
    }

    fn moves(&mut self, arm: &Arm, whole: &BTreeMap<Place, f64>, minute: i64) -> bool {
        let mut told: Vec<(Place, Share)> = Vec::new();
        for (&place, &with) in &arm.told {
            if let Some(&all) = whole.get(&place) {
                let with = with.min(all);
                told.push((place, Share { with, all }));
            }
        }
        let (mut score, mut variance, mut requests) = (0.0, 0.0, 0.0);
        for (place, now) in &told {
            if let Some(before) = self.stood.get(place) {
                let pooled = (before.with + now.with) / (before.all + now.all);
                score += now.with - now.all * before.value();
                variance += now.all * pooled * (1.0 - pooled) * (1.0 + now.all / before.all);
                requests += now.all;
            }
        }
        let mut has_moved = false;
        if variance > 0.0 {
            let square = score * score / variance;
            let spread = (self.squares + LOOKS_ASSUMED) / (self.looks + LOOKS_ASSUMED);
            let is_chance = square < MOVES_AT * MOVES_AT * spread.max(1.0);
            has_moved = !is_chance && f64::abs(score) > LEAST_MOVE * requests;
            self.squares += square.min(MOVES_AT * MOVES_AT);
            self.looks += 1.0;
        }
        if has_moved {
            if self.moved_at.is_none() {
                let stood = self.stood.iter();
                self.base = stood.map(|(place, of)| (*place, of.value())).collect();
            }
            self.moved_at = Some(minute);
        }
        let kept = (-1.0 / MEMORY).exp();
        self.now.clear();
        for (place, now) in told {
            self.now.insert(place, now.value());
            let stood = self.stood.entry(place).or_default();
            let kept = if has_moved { 0.0 } else { kept };
            stood.with = stood.with * kept + now.with;
            stood.all = stood.all * kept + now.all;
        }
        has_moved
    }
}
