//! What the timers themselves cost at the edges of a scope, so that it can be taken off.

use super::current::swap;
use super::timers::{MAX_TIMERS, Timers};
use super::tree::Tree;
use crate::profile::merge::TimerCost;
use crate::scope;

/// What one stay in an empty scope costs by each timer, in thousandths of its unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Costs {
    pub(super) timers: [Cost; MAX_TIMERS],
}

/// By one timer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Cost {
    /// Charged to the scope itself.
    pub(super) inside_milli: i64,
    /// Charged to the scope that it is in.
    pub(super) outside_milli: i64,
    /// How far apart the middle half of the rounds was: what is left when the cost is taken off is about as much.
    pub(super) spread_milli: i64,
}

/// Stays in each round, in a few scopes side by side.
const STAYS: u32 = 200;
const ROUNDS: usize = 25;

#[inline(never)]
fn empty() {
    scope!("empty");
}

impl Costs {
    /// Measures empty scopes on the calling thread, for some milliseconds at most.
    pub(crate) fn measure(timers: &'static Timers) -> Self {
        let mut rounds: Vec<Vec<[i64; 2]>> = vec![Vec::new(); timers.len()];
        for _ in 0..ROUNDS {
            let mut tree = Box::new(Tree::new(timers));
            tree.begin();
            let outer = swap(Some(tree));
            // The first stay finds nothing in place.
            empty();
            let before = swap(outer);
            let Some(mut tree) = before else { continue };
            let first = values(&tree);
            tree.begin();
            let outer = swap(Some(tree));
            for _ in 0..STAYS {
                empty();
            }
            let Some(tree) = swap(outer) else { continue };
            for (timer, (before, after)) in first.iter().zip(values(&tree)).enumerate() {
                rounds[timer].push([after[0] - before[0], after[1] - before[1]]);
            }
        }
        let mut costs = Self::default();
        for (cost, rounds) in costs.timers.iter_mut().zip(rounds) {
            *cost = Cost::of(&rounds);
        }
        costs
    }

    /// What profiles say of that timer.
    pub(super) fn told(&self, timer: usize) -> TimerCost {
        let cost = self.timers[timer];
        TimerCost {
            taken_off_milli: (cost.inside_milli + cost.outside_milli).unsigned_abs(),
            left_milli: cost.spread_milli.unsigned_abs(),
        }
    }

    /// One line for the log.
    pub(crate) fn describe(&self, timers: &Timers) -> String {
        #[expect(clippy::cast_precision_loss, reason = "costs are some thousand units")]
        let units = |milli: i64| milli as f64 / 1_000.0;
        let lines: Vec<String> = timers
            .present(0)
            .map(|(at, timer)| {
                let cost = self.timers[at];
                format!(
                    "{} {:.1} {} (within {:.1})",
                    timer.name(),
                    units(cost.inside_milli + cost.outside_milli),
                    timer.unit(),
                    units(cost.spread_milli),
                )
            })
            .collect();
        lines.join("; ")
    }
}

impl Cost {
    /// Of rounds of so many stays: what they moved outside and inside.
    fn of(rounds: &[[i64; 2]]) -> Self {
        let per_stay = |pick: &dyn Fn(&[i64; 2]) -> i64| {
            let mut all: Vec<i64> = rounds.iter().map(pick).collect();
            all.sort_unstable();
            let at = |part: usize| {
                let value = all.get(all.len() * part / 4).copied().unwrap_or(0);
                value.saturating_mul(1_000) / i64::from(STAYS)
            };
            (at(2), at(3) - at(1))
        };
        let ((outside_milli, _), (inside_milli, _)) = (per_stay(&|r| r[0]), per_stay(&|r| r[1]));
        let (_, spread_milli) = per_stay(&|r| r[0] + r[1]);
        Self {
            inside_milli,
            outside_milli,
            spread_milli,
        }
    }
}

/// By each timer what the request and its only scope have of it.
fn values(tree: &Tree) -> Vec<[i64; 2]> {
    let mut nodes = tree.nodes();
    let (root, scope) = (nodes.next(), nodes.next());
    let of = |timer: usize| [root, scope].map(|node| node.map_or(0, |node| node.own(timer)));
    (0..tree.timers().len()).map(of).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::counters::Counters;
    use crate::scopes::timer::Timer;

    #[test]
    fn what_a_timer_moves_by_being_read_is_known_exactly() {
        static READINGS: AtomicU64 = AtomicU64::new(0);
        let counters = Box::leak(Box::new(Counters::probe()));
        let wanted = [
            Timer::custom("readings", "readings", || {
                READINGS.fetch_add(3, Ordering::Relaxed)
            }),
            Timer::custom("still", "x", || 7),
        ];
        let timers = Box::leak(Box::new(Timers::new(&wanted, counters)));
        let costs = Costs::measure(timers);
        let readings = Cost {
            inside_milli: 3_000,
            outside_milli: 3_000,
            spread_milli: 0,
        };
        assert_eq!(costs.timers[0], readings);
        assert_eq!(costs.timers[1], Cost::default());
        let told = TimerCost {
            taken_off_milli: 6_000,
            left_milli: 0,
        };
        assert_eq!(costs.told(0), told);
        let told = costs.describe(timers);
        assert!(
            told.starts_with("readings 6.0 readings (within 0.0)"),
            "{told}"
        );
    }

    #[test]
    fn the_middle_of_the_rounds_counts() {
        let mut rounds = vec![[200, 400]; 9];
        rounds[3] = [90_000, 70_000];
        let cost = Cost::of(&rounds);
        assert_eq!(
            (cost.outside_milli, cost.inside_milli, cost.spread_milli),
            (1_000, 2_000, 0)
        );
        assert_eq!(Cost::of(&[]), Cost::default());
    }
}
