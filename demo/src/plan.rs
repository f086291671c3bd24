use std::collections::BTreeMap;

use photo_backend::{Variant, Variants};

/// What a deploy is to the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// The build gains this variant.
    Plant(Variant),
    /// The deploy before is taken back: its predecessor is shipped again.
    RollBack(Variant),
    /// Other code, the same work.
    Nothing,
}

/// One deploy of the day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlannedDeploy {
    pub(crate) id: String,
    pub(crate) title: &'static str,
    pub(crate) change: Change,
    /// What this build runs with, those from earlier deploys included.
    pub(crate) variants: Variants,
}

/// What must be found in a deploy, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Expected {
    Heavier(&'static str),
    Lighter(&'static str),
    Leak,
}

impl PlannedDeploy {
    pub(crate) fn expected(&self) -> Option<Expected> {
        match self.change {
            Change::Plant(variant) => effect(variant),
            Change::RollBack(variant) => match effect(variant) {
                Some(Expected::Heavier(endpoint)) => Some(Expected::Lighter(endpoint)),
                other => other,
            },
            Change::Nothing => None,
        }
    }

    /// The ends of the names of the functions of which one must be named; none if nobody is to blame.
    pub(crate) fn guilty(&self) -> &'static [&'static str] {
        match self.change {
            Change::Plant(variant) => guilty(variant),
            Change::RollBack(_) | Change::Nothing => &[],
        }
    }
}

/// The functions that a plant's code touches, as the ends of their names: of a regression one of them must be named.
fn guilty(variant: Variant) -> &'static [&'static str] {
    match variant {
        Variant::FeedEachAuthor => &["::feed::authors", "::Store::user"],
        Variant::StoriesUncached => &["::Model::load"],
        Variant::TimelineJsonTwice => &["::timeline::log_size"],
        Variant::InboxLeak => &["::inbox::remember"],
        Variant::InboxBatched | Variant::StoriesPrefetch => &[],
    }
}

fn effect(variant: Variant) -> Option<Expected> {
    let endpoint = variant.endpoint().template();
    match variant {
        Variant::FeedEachAuthor | Variant::StoriesUncached | Variant::TimelineJsonTwice => {
            Some(Expected::Heavier(endpoint))
        }
        Variant::InboxBatched => Some(Expected::Lighter(endpoint)),
        Variant::InboxLeak => Some(Expected::Leak),
        Variant::StoriesPrefetch => None,
    }
}

/// Deploys that change nothing.
const QUIET: [&str; 6] = [
    "settings: rename a flag",
    "docs: how to run it locally",
    "logs: one field more at start-up",
    "tests: cover the inbox",
    "build: newer compiler",
    "moderation: another wording",
];

/// What a deploy says of itself, never what is wrong with it.
fn title(variant: Variant) -> &'static str {
    match variant {
        Variant::FeedEachAuthor => "feed: simpler loading of authors",
        Variant::StoriesUncached => "stories: ranking model from its own module",
        Variant::TimelineJsonTwice => "timeline: log the size of answers",
        Variant::InboxLeak => "inbox: keep a history",
        Variant::InboxBatched => "inbox: load senders in one query",
        Variant::StoriesPrefetch => "feed: let clients fetch stories ahead",
    }
}

/// The first build and the day's deploys, shuffled by the seed.
pub(crate) fn plan(seed: u64) -> (String, Vec<PlannedDeploy>) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut changes: Vec<Change> = Variant::ALL.map(Change::Plant).to_vec();
    changes.extend(QUIET.map(|_| Change::Nothing));
    rng.shuffle(&mut changes);
    let slower: Vec<Variant> = Variant::ALL
        .into_iter()
        .filter(|variant| matches!(effect(*variant), Some(Expected::Heavier(_))))
        .collect();
    let taken_back = slower[rng.usize(0..slower.len())];
    let at = changes
        .iter()
        .position(|change| *change == Change::Plant(taken_back))
        .unwrap_or(0);
    changes.insert(at + 1, Change::RollBack(taken_back));

    let first = commit(&mut rng);
    let mut history = vec![(first.clone(), Variants::default())];
    let mut quiet = QUIET.iter();
    let deploys = changes
        .into_iter()
        .map(|change| {
            let (id, title, variants) = match change {
                Change::Plant(variant) => (
                    commit(&mut rng),
                    title(variant),
                    history[history.len() - 1].1.with(variant),
                ),
                Change::Nothing => (
                    commit(&mut rng),
                    *quiet.next().unwrap_or(&QUIET[0]),
                    history[history.len() - 1].1,
                ),
                Change::RollBack(_) => {
                    let (id, variants) = history[history.len() - 2].clone();
                    (id, "roll-back", variants)
                }
            };
            history.push((id.clone(), variants));
            PlannedDeploy {
                id,
                title,
                change,
                variants,
            }
        })
        .collect();
    (first, deploys)
}

fn commit(rng: &mut fastrand::Rng) -> String {
    format!("{:07x}", rng.u32(0..1 << 28))
}

/// The plants of the day with what each was added to, for measuring what they truly cost.
pub(crate) fn plants(deploys: &[PlannedDeploy]) -> BTreeMap<Variant, Variants> {
    deploys
        .iter()
        .filter_map(|deploy| match deploy.change {
            Change::Plant(variant) => {
                let before = deploy
                    .variants
                    .iter()
                    .filter(|other| *other != variant)
                    .collect();
                Some((variant, before))
            }
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_day_has_every_plant_once_and_a_roll_back_right_after_one() {
        for seed in 0..200 {
            let (first, deploys) = plan(seed);
            assert_eq!(deploys.len(), 13);
            let at = deploys
                .iter()
                .position(|deploy| matches!(deploy.change, Change::RollBack(_)))
                .unwrap();
            let before_last = if at >= 2 { &deploys[at - 2].id } else { &first };
            assert_eq!(
                &deploys[at].id, before_last,
                "the commit before the one taken back"
            );
            assert!(matches!(deploys[at].expected(), Some(Expected::Lighter(_))));
            assert_eq!(plants(&deploys).len(), 6);
            let ids: BTreeSet<&String> = deploys.iter().map(|deploy| &deploy.id).collect();
            assert!(ids.len() >= 12, "one id is shipped twice at most");
        }
    }

    #[test]
    fn the_seed_decides() {
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7).1, plan(8).1);
    }
}
