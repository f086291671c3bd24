//! Profiles as agents send them.

use appweight_wire::{ProfileRecord, TimerValues};

use super::parts::{FunctionId, NodeId, Timer};
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
        .taken_by(record.taken);
    profile.count(record.requests, record.samples);
    let functions: Vec<FunctionId> = record
        .functions
        .iter()
        .map(|function| profile.function_id(function))
        .collect();
    let mut places: Vec<NodeId> = Vec::with_capacity(record.parents.len());
    let links = record.parents.iter().zip(&record.node_functions);
    let values = record.calls.iter().zip(&timer.own);
    for ((parent, function), (calls, own)) in links.zip(values) {
        let place = if places.is_empty() {
            profile.root()
        } else {
            let parent = places.get(*parent as usize);
            let function = functions.get(*function as usize);
            let (Some(parent), Some(function)) = (parent, function) else {
                break;
            };
            profile.child_by_id(*parent, *function)
        };
        profile.add(place, *calls, *own);
        places.push(place);
    }
    profile.count_folded(record.folded);
    profile
}

#[cfg(test)]
mod tests {
    use appweight_wire::Function;

    use super::*;
    use crate::profile::testing::canonical;

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
}
