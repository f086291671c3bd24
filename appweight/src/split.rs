//! What moved the weight: users who do more, users who do other things, or code that costs more.
//!
//! Weight = requests per user × Σ over endpoints of (share of requests × cost per request). Its
//! change is split by the Shapley value over these three factors (Sun 1998, "Changes in energy
//! consumption and energy intensity: a complete decomposition model"): the average of what each
//! factor does over all orders of changing them. It leaves no remainder, does not depend on an
//! order, and, unlike logarithmic splits, takes an endpoint that appears or disappears.

use std::collections::BTreeMap;

use crate::api::{Metric, SplitShare, WeightSplit};

/// What users did in one span of time, and what it cost.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Usage {
    /// Active users.
    pub active_users: f64,
    /// By endpoint: requests, and mean cost of one.
    pub endpoints: BTreeMap<String, (f64, f64)>,
}

impl Usage {
    fn requests(&self) -> f64 {
        self.endpoints.values().map(|(requests, _)| requests).sum()
    }

    fn factors(&self, endpoint: &str) -> [f64; 3] {
        let (requests, cost) = self.endpoints.get(endpoint).copied().unwrap_or_default();
        let all = self.requests();
        [all / self.active_users, requests / all, cost]
    }
}

/// Splits the change of weight between two spans of time of equal length; `None` if one of them
/// has no users or no requests.
///
/// ```
/// use appweight::api::Metric;
/// use appweight::split::{Usage, split};
///
/// let usage = |requests, cost| Usage {
///     active_users: 10.0,
///     endpoints: [("/feed".to_owned(), (requests, cost))].into(),
/// };
/// let split = split(&usage(100.0, 5.0), &usage(100.0, 6.0), Metric::Cpu).unwrap();
/// assert_eq!((split.before, split.after), (50.0, 60.0));
/// assert!((split.cost - 10.0).abs() < 1e-9 && split.mix.abs() < 1e-9);
/// ```
#[must_use]
pub fn split(before: &Usage, after: &Usage, metric: Metric) -> Option<WeightSplit> {
    let usable = |usage: &Usage| usage.active_users > 0.0 && usage.requests() > 0.0;
    if !usable(before) || !usable(after) {
        return None;
    }
    let names: std::collections::BTreeSet<&String> = before
        .endpoints
        .keys()
        .chain(after.endpoints.keys())
        .collect();
    let mut sum = WeightSplit {
        metric,
        before: 0.0,
        after: 0.0,
        requests_per_user: 0.0,
        mix: 0.0,
        new: 0.0,
        vanished: 0.0,
        cost: 0.0,
        endpoints: Vec::with_capacity(names.len()),
    };
    for name in names {
        let mut old = before.factors(name);
        let mut new = after.factors(name);
        // An endpoint that only one side knows costs there what it costs: none of it is a change of cost.
        let is_new = !before.endpoints.contains_key(name);
        let is_gone = !after.endpoints.contains_key(name);
        if is_new {
            old[2] = new[2];
        }
        if is_gone {
            new[2] = old[2];
        }
        let [requests_per_user, mix, cost] = shapley(old, new);
        sum.before += old.iter().product::<f64>();
        sum.after += new.iter().product::<f64>();
        sum.requests_per_user += requests_per_user;
        match (is_new, is_gone) {
            (true, _) => sum.new += mix,
            (_, true) => sum.vanished += mix,
            _ => sum.mix += mix,
        }
        sum.cost += cost;
        sum.endpoints.push(SplitShare {
            endpoint: name.clone(),
            cost,
            mix,
        });
    }
    let size = |share: &SplitShare| share.cost.abs() + share.mix.abs();
    sum.endpoints.sort_by(|a, b| size(b).total_cmp(&size(a)));
    Some(sum)
}

/// The Shapley value of each of three factors in the change of their product.
fn shapley(old: [f64; 3], new: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|factor| {
        let (first, second) = ((factor + 1) % 3, (factor + 2) % 3);
        let unchanged_or_changed = (old[first] * old[second] + new[first] * new[second]) / 3.0;
        let one_of_each = (old[first] * new[second] + new[first] * old[second]) / 6.0;
        (new[factor] - old[factor]) * (unchanged_or_changed + one_of_each)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_is_left_over(
            users in (1.0..1e6_f64, 1.0..1e6_f64),
            a in proptest::collection::btree_map("[a-e]", (0.1..1e6_f64, 0.1..1e9_f64), 1..5),
            b in proptest::collection::btree_map("[a-e]", (0.1..1e6_f64, 0.1..1e9_f64), 1..5),
        ) {
            let before = Usage { active_users: users.0, endpoints: a };
            let after = Usage { active_users: users.1, endpoints: b };
            let split = split(&before, &after, Metric::Cpu).unwrap();
            let weight = |usage: &Usage| usage.endpoints.values().map(|(n, c)| n * c).sum::<f64>() / usage.active_users;
            let scale = split.before.abs() + split.after.abs();
            prop_assert!((split.before - weight(&before)).abs() <= scale * 1e-9);
            prop_assert!((split.after - weight(&after)).abs() <= scale * 1e-9);
            let parts = split.requests_per_user + split.mix + split.new + split.vanished + split.cost;
            prop_assert!((split.after - split.before - parts).abs() <= scale * 1e-9);
        }
    }

    #[test]
    fn a_new_endpoint_and_one_that_vanished_are_told_as_such_and_not_as_cost() {
        let before = Usage {
            active_users: 1.0,
            endpoints: [("/a".to_owned(), (10.0, 1.0))].into(),
        };
        let after = Usage {
            active_users: 1.0,
            endpoints: [
                ("/a".to_owned(), (10.0, 1.0)),
                ("/b".to_owned(), (10.0, 3.0)),
            ]
            .into(),
        };
        let split = split(&before, &after, Metric::Cpu).unwrap();
        assert!(
            split.cost.abs() < 1e-9 && split.vanished == 0.0,
            "{split:?}"
        );
        assert!(split.new > 0.0 && split.mix < 0.0, "{split:?}");
        let back = super::split(&after, &before, Metric::Cpu).unwrap();
        assert!(
            (back.vanished + split.new).abs() < 1e-9 && back.new == 0.0,
            "{back:?}"
        );
        let parts = back.requests_per_user + back.mix + back.vanished;
        assert!(
            (parts - (back.after - back.before)).abs() < 1e-9,
            "{back:?}"
        );
    }

    #[test]
    fn without_users_there_is_no_split() {
        assert_eq!(
            split(&Usage::default(), &Usage::default(), Metric::Cpu),
            None
        );
    }
}
