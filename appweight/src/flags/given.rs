use std::collections::BTreeMap;

use super::collect::{FlagCells, Value};
use super::judge::Split;
use super::shares::{Share, Shares, overdispersion};
use crate::api::FlagReading;
use crate::text::percent;

/// What says of a flag that it is given at random.
const AT_RANDOM: &str = "random";
/// Shares that differ by less, in log odds, are taken for the same: about 2.5 points where half have the value. Of a flag that is given
/// by user, so much is chance with some thousand users.
const ALIKE: f64 = 0.1;
/// Of groups of hosts, to which the same few users may come back: a quarter here and a half there. A flag that is given by host differs by more.
const ALIKE_HOSTS: f64 = 1.0;

/// Whether a difference is what the value costs: if it is given at random, by what is `said` of the flag, or else by whether its share is the
/// same wherever it can be compared.
pub(super) fn given(
    split: &Split,
    value: &str,
    cells: &FlagCells,
    said: Option<&str>,
) -> (FlagReading, String) {
    if let Some(how) = said.filter(|how| *how != AT_RANDOM) {
        let because = format!("it was said to be given by {how}, not at random");
        return (FlagReading::Association, because);
    }
    let places: Vec<_> = by_place(split, value, |part| &part.places, |counts| counts.requests);
    let hosts: Vec<_> = by_place(split, value, |part| &part.hosts, |requests| *requests);
    let chance = overdispersion(hosts.iter().map(|(at, share)| (at.0, at.1, *share)));
    let endpoints = Shares::of(places.iter().map(|(at, share)| {
        let slot = (at.start_us, at.deploy, at.cluster);
        (slot, at.endpoint, *share)
    }));
    let clusters = Shares::of(places.iter().map(|(at, share)| {
        let slot = (at.start_us, at.deploy, at.endpoint);
        (slot, at.cluster, *share)
    }));
    let groups = Shares::of((hosts.iter()).map(|(at, share)| (at.0, (at.0.2, at.1), *share)));

    let mut apart = Vec::new();
    if clusters.differ(chance, ALIKE) {
        let name = |at: usize| cluster_name(&cells.clusters.all[at]);
        apart.extend(ends(&clusters, name));
    }
    if endpoints.differ(chance, ALIKE) {
        let name = |at: usize| format!("of {}", cells.endpoints.all[at].1);
        apart.extend(ends(&endpoints, name));
    }
    if groups.differ(1.0, ALIKE_HOSTS) {
        apart.extend(ends(&groups, |at| format!("on hosts of group {}", at.1)));
    }
    let apart = apart.join(", and ");
    match (said.is_some(), apart.is_empty()) {
        (true, true) => {
            let because =
                "it was said to be given at random, and its share does not speak against it";
            (FlagReading::Cost, because.to_owned())
        }
        (true, false) => {
            let because =
                format!("it was said to be given at random, though its share differs: {apart}");
            (FlagReading::Cost, because)
        }
        (false, false) => {
            let because = format!("it is not given at random, for its share differs: {apart}");
            (FlagReading::Association, because)
        }
        (false, true) => unsaid(&endpoints, &clusters, chance),
    }
}

fn unsaid(
    endpoints: &Shares<usize>,
    clusters: &Shares<usize>,
    chance: f64,
) -> (FlagReading, String) {
    let alike: Vec<String> = [(endpoints, "endpoints"), (clusters, "clusters")]
        .into_iter()
        .filter(|(shares, _)| shares.would_show(chance, ALIKE))
        .map(|(shares, what)| format!("{} {what}", shares.places.len()))
        .collect();
    if alike.is_empty() {
        let lacking = match (endpoints.places.len(), clusters.places.len()) {
            (0, 0) => "it is known in one endpoint and one cluster alone, or all requests have it",
            _ => "there are too few requests to compare its share between endpoints or clusters",
        };
        let because = format!("nothing tells whether it is given at random: {lacking}");
        return (FlagReading::Association, because);
    }
    let because = format!(
        "it looks as if given at random: its share is the same in {}",
        alike.join(" and ")
    );
    (FlagReading::Cost, because)
}

/// Wherever the flag is known: how many had the value.
fn by_place<'a, K: Ord + Copy + 'a, C: 'a>(
    split: &'a Split,
    value: &str,
    places: impl Fn(&'a Value) -> &'a BTreeMap<K, C>,
    requests: impl Fn(&C) -> u64,
) -> Vec<(K, Share)> {
    let mut shares: BTreeMap<K, Share> = BTreeMap::new();
    for (name, part) in &split.parts {
        for (place, counts) in places(part) {
            let share = shares.entry(*place).or_default();
            let requests = requests(counts) as f64;
            share.all += requests;
            if name == value {
                share.with += requests;
            }
        }
    }
    shares.into_iter().collect()
}

fn ends<K: Ord + Copy>(shares: &Shares<K>, name: impl Fn(K) -> String) -> Option<String> {
    let [least, greatest] = shares.ends()?;
    let [least, greatest] =
        [least, greatest].map(|(at, share)| format!("{} {}", percent(share.part()), name(at)));
    Some(format!("{least} against {greatest}"))
}

fn cluster_name(cluster: &str) -> String {
    if cluster.is_empty() {
        "in no cluster".to_owned()
    } else {
        format!("in {cluster}")
    }
}
