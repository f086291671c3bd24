//! Profiles as agents send them.

use std::collections::HashMap;

use appweight_wire::{Function, ProfileRecord, TimerValues};

use super::parts::{FunctionId, Timer};
use super::timer_cost::TimerCost;
use super::tree::Profile;

/// What one timer of a record says, as the replicate of that number. A record comes checked from its codec; of one that
/// was not, whatever leads nowhere is left out.
///
/// ```
/// use appweight::profile::of_record;
/// use appweight_wire::{Function, ProfileRecord, TimerValues};
///
/// let timer = TimerValues { name: "cpu".into(), unit: "ns".into(), own: vec![100, 700], ..TimerValues::default() };
/// let record = ProfileRecord {
///     requests: 2,
///     functions: vec![Function::named("feed")],
///     parents: vec![0, 0],
///     node_functions: vec![0, 0],
///     calls: vec![2, 2],
///     timers: vec![timer],
///     ..ProfileRecord::default()
/// };
/// let profile = of_record(&record, &record.timers[0], 0);
/// assert_eq!((profile.requests(), profile.total()), (2, 800));
/// ```
#[must_use]
pub fn of_record(record: &ProfileRecord, timer: &TimerValues, replicate: usize) -> Profile {
    let mut profile = Profile::of_replicate(Timer::new(&timer.name, &timer.unit), replicate)
        .taken_by(record.taken)
        .of_builds(record.builds.iter().cloned().collect())
        .with_timer_cost(TimerCost::of(timer));
    profile.count(record.requests, record.samples);
    let places = profile.places_of(&record.functions, &record.parents, &record.node_functions);
    for (place, (calls, own)) in places.into_iter().zip(record.calls.iter().zip(&timer.own)) {
        profile.add(place, *calls, *own);
    }
    profile.count_folded(record.folded);
    profile
}

/// A profile as a record of one timer: all replicates as one, and of the functions those alone that a node is of.
#[must_use]
pub fn to_record(profile: &Profile) -> ProfileRecord {
    let timer = profile.timer();
    let functions = UsedFunctions::of(profile);
    ProfileRecord {
        taken: profile.taken(),
        requests: profile.requests(),
        samples: profile.samples(),
        builds: profile.builds().iter().map(str::to_owned).collect(),
        parents: profile
            .nodes()
            .map(|node| profile.parent(node).map_or(0, |parent| parent.0))
            .collect(),
        calls: profile.nodes().map(|node| profile.calls(node)).collect(),
        folded: profile.folded(),
        timers: vec![TimerValues {
            name: timer.name.clone(),
            unit: timer.unit.clone(),
            own: profile.nodes().map(|node| profile.own(node)).collect(),
            taken_off_milli: profile.timer_cost().taken_off_milli,
            left_milli: profile.timer_cost().left_milli,
        }],
        functions: functions.used,
        node_functions: functions.by_node,
        ..ProfileRecord::default()
    }
}

/// The functions that nodes are of, numbered anew: those whose nodes were all folded away are left out.
pub(super) struct UsedFunctions {
    pub(super) used: Vec<Function>,
    pub(super) by_node: Vec<u32>,
}

impl UsedFunctions {
    pub(super) fn of(profile: &Profile) -> Self {
        let mut used = Vec::new();
        let mut numbers: HashMap<FunctionId, u32> = HashMap::new();
        let by_node = profile
            .nodes()
            .map(|node| {
                // The root's means nothing.
                profile.function_of(node).map_or(0, |function| {
                    *numbers.entry(function).or_insert_with(|| {
                        used.push(profile.function(function).clone());
                        u32::try_from(used.len() - 1).unwrap_or(u32::MAX)
                    })
                })
            })
            .collect();
        Self { used, by_node }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::profile::testing::{arbitrary, canonical, parse, whole};
    use crate::profile::{Builds, prune};

    #[test]
    fn a_record_becomes_a_tree_also_if_it_names_a_chain_twice() {
        let record = ProfileRecord {
            requests: 3,
            functions: vec![Function::named("feed"), Function::named("query")],
            parents: vec![0, 0, 1, 1],
            node_functions: vec![0, 0, 1, 1],
            calls: vec![3, 3, 1, 1],
            folded: 7,
            timers: vec![TimerValues {
                own: vec![-5, 20, 300, 4],
                ..TimerValues::default()
            }],
            ..ProfileRecord::default()
        };
        let profile = of_record(&record, &record.timers[0], 3);
        assert_eq!(canonical(&profile), [" -5", "feed 20", "feed;query 304"]);
        assert_eq!((profile.requests(), profile.folded()), (3, 7));
    }

    #[test]
    fn functions_whose_nodes_are_gone_are_left_out() {
        let pruned = prune(&parse(&["a;x 50", "b 2", "c 3"]), 3);
        let record = to_record(&pruned);
        let names: Vec<&str> = record.functions.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["a", "x"]);
        assert_eq!((record.folded, record.requests), (2, 1));
    }

    proptest! {
        #[test]
        fn a_profile_survives_as_a_record(profile in arbitrary()) {
            let cost = TimerCost { taken_off_milli: 35_000, left_milli: 4_000 };
            let profile = profile.of_builds(Builds::from_iter(["5f0c", "a1"])).with_timer_cost(cost);
            let record = to_record(&profile);
            let read = of_record(&record, &record.timers[0], profile.first_replicate());
            prop_assert_eq!(whole(&read), whole(&profile));
            prop_assert_eq!((read.requests(), read.timer()), (profile.requests(), profile.timer()));
            prop_assert_eq!(read.builds(), profile.builds());
            prop_assert_eq!(read.timer_cost(), cost);
        }
    }
}
