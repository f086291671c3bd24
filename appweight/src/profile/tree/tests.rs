use proptest::prelude::*;

use super::*;
use crate::profile::testing::{arbitrary, canonical, parse, whole};

#[test]
fn a_chain_of_calls_has_one_node_and_keeps_contexts_apart() {
    let profile = parse(&["a;x 5", "b;x 7", "a;x 1"]);
    assert_eq!(profile.nodes().len(), 5, "the root, a, x, b, x");
    assert_eq!(canonical(&profile), ["a;x 6", "b;x 7"]);
    assert_eq!(profile.functions().len(), 3);
}

#[test]
fn replicates_stay_apart_when_profiles_are_merged() {
    let one = |replicate, value| {
        let mut profile = Profile::of_replicate(Timer::new("cpu", "ns"), replicate);
        let node = profile.child(profile.root(), &Function::named("f"));
        profile.add(node, 1, value);
        profile.count(1, 0);
        profile
    };
    let mut merged = one(5, 10);
    merged.merge(&one(3, 20));
    merged.merge(&one(5 + REPLICATES, 1));
    merged.merge(&one(7, -4));
    let node = merged.nodes().nth(1).unwrap();
    assert_eq!(merged.own_by_replicate(node), [20, 0, 11, 0, -4]);
    let requests: Vec<u64> = merged.replicates().iter().map(|r| r.requests).collect();
    assert_eq!(requests, [1, 0, 2, 0, 1]);
    assert_eq!((merged.own(node), merged.calls(node)), (27, 4));
}

proptest! {
    #[test]
    fn profiles_add_up_in_any_order(a in arbitrary(), b in arbitrary(), c in arbitrary()) {
        let mut left = a.clone();
        left.merge(&b);
        left.merge(&c);
        let mut inner = c.clone();
        inner.merge(&b);
        let mut right = Profile::new(Timer::new("cpu", "ns"));
        right.merge(&inner);
        right.merge(&a);
        prop_assert_eq!(whole(&left), whole(&right));
        prop_assert_eq!(left.requests(), right.requests());
        prop_assert_eq!(left.total(), a.total() + b.total() + c.total());
    }
}
