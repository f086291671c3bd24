//! Profiles as the query API hands them out: merged, with their replicates, so that whoever asks can look through
//! wrappers and compare with intervals of his own.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::builds::Builds;
use super::parts::{Function, Replicate, Taken, Timer};
use super::record::UsedFunctions;
use super::timer_cost::TimerCost;
use super::tree::Profile;

/// A merged calling-context tree as lists that stand side by side, an entry for each node.
///
/// The first node is the request itself: its parent is 0 and its function means nothing. Every other node's parent
/// comes before it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProfileTree {
    /// What each replicate stands on.
    pub replicates: Vec<Replicate>,
    /// The builds of the program that it is of, by the ids that their linkers wrote; empty if that is not known.
    #[serde(default)]
    pub builds: Builds,
    /// What of the timer's own cost was taken off for each call, and what may be left of it.
    #[serde(default)]
    pub timer_cost: TimerCost,
    /// The functions that nodes refer to by their place in this list.
    pub functions: Vec<Function>,
    /// Each node's parent, by its place.
    pub parents: Vec<u32>,
    /// Each node's function, by its place.
    pub node_functions: Vec<u32>,
    /// How often each node was seen: calls, or samples.
    pub calls: Vec<u64>,
    /// What each node's function itself cost, by replicate.
    pub own: Vec<Vec<i64>>,
    /// How many nodes were folded into their callers to keep the tree small.
    pub folded: u64,
}

/// The profile as lists.
#[must_use]
pub fn to_tree(profile: &Profile) -> ProfileTree {
    let functions = UsedFunctions::of(profile);
    ProfileTree {
        replicates: profile.replicates().to_vec(),
        builds: profile.builds().clone(),
        timer_cost: profile.timer_cost(),
        parents: profile
            .nodes()
            .map(|node| profile.parent(node).map_or(0, |parent| parent.0))
            .collect(),
        calls: profile.nodes().map(|node| profile.calls(node)).collect(),
        own: profile
            .nodes()
            .map(|node| profile.own_by_replicate(node).to_vec())
            .collect(),
        folded: profile.folded(),
        functions: functions.used,
        node_functions: functions.by_node,
    }
}

/// The profile that these lists are of. Whatever leads nowhere is left out.
///
/// ```
/// use appweight::profile::{Function, Profile, Taken, Timer, of_tree, to_tree};
///
/// let mut profile = Profile::new(Timer::new("cpu", "ns"));
/// let feed = profile.child(profile.root(), &Function::named("feed"));
/// profile.add(feed, 1, 200);
/// let again = of_tree(&to_tree(&profile), Timer::new("cpu", "ns"), Taken::Scopes);
/// assert_eq!(again.total(), 200);
/// ```
#[must_use]
pub fn of_tree(tree: &ProfileTree, timer: Timer, taken: Taken) -> Profile {
    let mut profile = Profile::of_replicates(timer, tree.replicates.clone())
        .taken_by(taken)
        .of_builds(tree.builds.clone())
        .with_timer_cost(tree.timer_cost);
    let places = profile.places_of(&tree.functions, &tree.parents, &tree.node_functions);
    for (place, (calls, own)) in places.into_iter().zip(tree.calls.iter().zip(&tree.own)) {
        profile.add_by_replicate(place, *calls, own);
    }
    profile.count_folded(tree.folded);
    profile
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::profile::diff;
    use crate::profile::testing::{canonical, spread};

    #[test]
    fn lists_that_lead_nowhere_are_cut_off() {
        let profile = spread(&["a;x 5", "b 7"], 0, 1);
        let mut tree = to_tree(&profile);
        tree.parents[3] = 9;
        let cut = of_tree(&tree, Timer::new("cpu", "ns"), Taken::Scopes);
        assert_eq!(canonical(&cut), ["a;x 80"]);
        let empty = of_tree(&ProfileTree::default(), Timer::default(), Taken::Sampled);
        assert_eq!((empty.nodes().len(), empty.requests()), (1, 0));
    }

    proptest! {
        #[test]
        fn what_was_handed_out_compares_as_the_original_does(seed in 0_u64..1_000) {
            let sides = [seed, seed + 1_000].map(|seed| {
                spread(&["feed;query 1000", "feed;render 3000", "feed 100"], 10, seed)
            });
            let again = sides.each_ref().map(|side| {
                of_tree(&to_tree(side), side.timer().clone(), side.taken())
            });
            prop_assert_eq!(
                diff(&again[0], &again[1], 0.99).unwrap(),
                diff(&sides[0], &sides[1], 0.99).unwrap()
            );
        }
    }
}
