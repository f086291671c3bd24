//! Profiles for tests, written and read as folded stacks.

use proptest::prelude::*;

use super::{Function, NodeId, Profile, REPLICATES, Timer};

/// One request whose stacks cost as the lines (`a;b;c 12`) say, in the replicate of that number.
pub(crate) fn parse_into(replicate: usize, lines: &[impl AsRef<str>]) -> Profile {
    let mut profile = Profile::of_replicate(Timer::new("cpu", "ns"), replicate);
    for line in lines {
        let (stack, value) = line.as_ref().rsplit_once(' ').unwrap();
        let node = stack
            .split(';')
            .filter(|name| !name.is_empty())
            .fold(profile.root(), |node, name| {
                profile.child(node, &Function::named(name))
            });
        profile.add(node, 1, value.parse().unwrap());
    }
    profile.count(1, 0);
    profile
}

pub(crate) fn parse(lines: &[&str]) -> Profile {
    parse_into(0, lines)
}

/// Sixteen requests, each a little dearer or cheaper than the lines say, as requests are.
pub(crate) fn spread(lines: &[&str], percent: i64, seed: u64) -> Profile {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut merged = Profile::new(Timer::new("cpu", "ns"));
    for replicate in 0..REPLICATES {
        let lines: Vec<String> = lines
            .iter()
            .map(|line| {
                let (stack, value) = line.rsplit_once(' ').unwrap();
                let value: i64 = value.parse().unwrap();
                let noise = random.i64(-100..=100) * percent * value / 10_000;
                format!("{stack} {}", value + noise)
            })
            .collect();
        merged.merge(&parse_into(replicate, &lines));
    }
    merged
}

/// The names from the root's first callee on.
pub(crate) fn path(profile: &Profile, node: NodeId) -> String {
    let mut names = Vec::new();
    let mut at = node;
    while let (Some(parent), Some(function)) = (profile.parent(at), profile.function_of(at)) {
        names.push(profile.function(function).name.clone());
        at = parent;
    }
    names.reverse();
    names.join(";")
}

/// What each stack itself cost, sorted; stacks that cost nothing left out.
pub(crate) fn canonical(profile: &Profile) -> Vec<String> {
    let mut lines: Vec<String> = profile
        .nodes()
        .filter(|node| profile.own(*node) != 0)
        .map(|node| format!("{} {}", path(profile, node), profile.own(node)))
        .collect();
    lines.sort();
    lines
}

/// All that a profile holds, in an order that depends on nothing else.
pub(crate) fn whole(profile: &Profile) -> Vec<String> {
    let mut lines: Vec<String> = profile
        .nodes()
        .map(|node| {
            format!(
                "{} {} {} {:?}",
                path(profile, node),
                profile.calls(node),
                profile.folded_into(node),
                profile
                    .own_by_replicate(node)
                    .iter()
                    .enumerate()
                    .filter(|(_, value)| **value != 0)
                    .map(|(at, value)| (profile.first_replicate() + at, *value))
                    .collect::<Vec<_>>()
            )
        })
        .collect();
    lines.sort();
    lines
}

/// A small tree of few names, with recursion, in some replicate.
pub(crate) fn arbitrary() -> impl Strategy<Value = Profile> {
    let stack = proptest::collection::vec(0_usize..4, 0..6);
    let line = (stack, -1_000_i64..10_000);
    (proptest::collection::vec(line, 0..12), 0..REPLICATES).prop_map(|(lines, replicate)| {
        let lines: Vec<String> = lines
            .into_iter()
            .map(|(stack, value)| {
                let names: Vec<&str> = stack.iter().map(|at| ["a", "b", "c", "w"][*at]).collect();
                format!("{} {value}", names.join(";"))
            })
            .collect();
        parse_into(replicate, &lines)
    })
}
