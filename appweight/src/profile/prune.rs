use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::parts::NodeId;
use super::tree::Profile;

/// The profile with at most so many nodes, the root among them: the cheapest are folded into their
/// callers, leaves first, and counted ([`Profile::folded`]). What everything cost together stays.
#[must_use]
pub fn prune(profile: &Profile, max_nodes: usize) -> Profile {
    let count = profile.nodes().len();
    let keep = max_nodes.max(1);
    if count <= keep {
        return profile.clone();
    }
    let weights = weights(profile);
    let mut callees = vec![0_u32; count];
    for node in profile.nodes() {
        if let Some(parent) = profile.parent(node) {
            callees[parent.index()] += 1;
        }
    }
    // A node weighs at least what is below it, so that leaves come before what called them.
    let mut leaves: BinaryHeap<Reverse<(u64, NodeId)>> = profile
        .nodes()
        .skip(1)
        .filter(|node| callees[node.index()] == 0)
        .map(|node| Reverse((weights[node.index()], node)))
        .collect();
    let mut is_folded = vec![false; count];
    for _ in keep..count {
        let Some(Reverse((_, node))) = leaves.pop() else {
            break;
        };
        is_folded[node.index()] = true;
        if let Some(parent) = profile.parent(node) {
            let left = &mut callees[parent.index()];
            *left -= 1;
            if *left == 0 && parent != profile.root() {
                leaves.push(Reverse((weights[parent.index()], parent)));
            }
        }
    }
    let mut pruned = profile.emptied();
    let mut places: Vec<NodeId> = Vec::with_capacity(count);
    for node in profile.nodes() {
        let folded = is_folded[node.index()];
        let place = match profile.parent(node).map(|parent| places[parent.index()]) {
            Some(above) if folded => above,
            Some(above) => match profile.function_of(node) {
                Some(function) => pruned.child_by_id(above, function),
                None => above,
            },
            None => pruned.root(),
        };
        pruned.absorb(place, profile, node, folded);
        places.push(place);
    }
    pruned
}

/// What each node and those below it cost, without regard to signs: what was taken and given back again
/// is worth a node of its own.
fn weights(profile: &Profile) -> Vec<u64> {
    let mut weights: Vec<u64> = profile
        .nodes()
        .map(|node| {
            profile
                .own_by_replicate(node)
                .iter()
                .fold(0, |sum: u64, value| {
                    sum.saturating_add(value.unsigned_abs())
                })
        })
        .collect();
    for node in profile.nodes().skip(1).rev() {
        if let Some(parent) = profile.parent(node) {
            weights[parent.index()] = weights[parent.index()].saturating_add(weights[node.index()]);
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::profile::testing::{arbitrary, canonical, parse};

    #[test]
    fn the_cheapest_leaves_go_first_and_are_counted() {
        let profile = parse(&["a;x 50", "a;y 1", "b 2", "a;y;z 1", "c;d;e 100"]);
        let pruned = prune(&profile, 6);
        assert_eq!(canonical(&pruned), [" 2", "a 2", "a;x 50", "c;d;e 100"]);
        assert_eq!(pruned.folded(), 3);
        assert_eq!(canonical(&prune(&profile, 0)), [" 154"]);
        assert_eq!(canonical(&prune(&profile, 100)), canonical(&profile));
    }

    proptest! {
        #[test]
        fn it_is_bounded_and_costs_the_same(profile in arbitrary(), keep in 1_usize..12) {
            let pruned = prune(&profile, keep);
            prop_assert!(pruned.nodes().len() <= keep.max(1));
            prop_assert_eq!(pruned.total(), profile.total());
            let gone = profile.nodes().len() - pruned.nodes().len();
            prop_assert_eq!(pruned.folded(), gone as u64);
        }
    }
}
