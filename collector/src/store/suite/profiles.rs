use appweight::profile::{Profile, TimerCost, folded};
use appweight_wire::{InstructionSource, Taken, TimerValues};

use super::{RECEIVED, forget, new};
use crate::store::*;
use crate::testing::{NOON, SECOND, batch, profile};

/// Every profile of deploy `a`: what it is of, what is behind it, and its replicates as folded stacks.
pub(in crate::store) async fn all_profiles(
    store: &impl Store,
) -> Vec<(ProfileSummary, Vec<Vec<String>>)> {
    let mut all = Vec::new();
    for summary in store.profiles("photo", "a").await.unwrap() {
        let replicates = replicates(store, "a", &summary.of).await;
        let stacks = replicates.iter().map(|replicate| {
            let mut lines: Vec<String> = folded::write(replicate)
                .lines()
                .map(str::to_owned)
                .collect();
            lines.sort();
            lines.push(format!("{} requests", replicate.requests()));
            lines
        });
        all.push((summary, stacks.collect()));
    }
    all
}

async fn replicates(store: &impl Store, deploy: &str, of: &ProfileOf) -> Vec<Profile> {
    let query = ProfileQuery {
        service: "photo".into(),
        deploy: deploy.into(),
        of: of.clone(),
    };
    store.profile(query).await.unwrap()
}

fn with_profiles(
    source: u128,
    sequence: u64,
    deploy: &str,
    profiles: Vec<appweight_wire::ProfileRecord>,
) -> NewBatch {
    let mut batch = batch(source, sequence, deploy);
    batch.profiles = profiles;
    new(batch)
}

pub(in crate::store) async fn profiles_of_the_same_add_up_and_others_stay_apart(
    store: &impl Store,
) {
    let first = profile(NOON, &[("feed", 10), ("feed;query", 30)]);
    let mut sampled = profile(NOON, &[("feed", 4)]);
    sampled.taken = Taken::Sampled;
    sampled.samples = 1;
    sampled.lost_samples = 2;
    let mut other = profile(NOON, &[("inbox", 5)]);
    other.endpoint = "/inbox".into();
    store
        .put_batch(with_profiles(1, 0, "a", vec![first, sampled, other]))
        .await
        .unwrap();
    let mut later = profile(NOON + SECOND, &[("feed;query", 50), ("feed;render", 2)]);
    later.instruction_source = InstructionSource::HardwareUser;
    later.timers.push(TimerValues {
        name: "instructions".into(),
        unit: "instructions".into(),
        own: vec![0, 0, 9, 9],
        taken_off_milli: 0,
        left_milli: 0,
    });
    // What it belongs to tells a deploy from another.
    let elsewhere = later.clone();
    for (sequence, deploy, record) in [(1, "a", later), (2, "b", elsewhere)] {
        store
            .put_batch(with_profiles(1, sequence, deploy, vec![record]))
            .await
            .unwrap();
    }

    let all = store.profiles("photo", "a").await.unwrap();
    let facts: Vec<_> = all
        .iter()
        .map(|summary| {
            (
                summary.of.endpoint.as_str(),
                summary.of.timer.as_str(),
                summary.of.taken,
                summary.requests,
                summary.from_us,
                summary.until_us,
            )
        })
        .collect();
    let (one, two) = (NOON + SECOND, NOON + 2 * SECOND);
    assert_eq!(
        facts,
        [
            ("/feed", "cpu", Taken::Scopes, 2, NOON, two),
            ("/feed", "cpu", Taken::Sampled, 1, NOON, one),
            ("/feed", "instructions", Taken::Scopes, 1, one, two),
            ("/inbox", "cpu", Taken::Scopes, 1, NOON, one),
        ]
    );
    assert_eq!((all[1].samples, all[1].lost_samples), (1, 2));
    assert_eq!(
        all[2].of.instruction_source,
        InstructionSource::HardwareUser
    );
    let mut parts = replicates(store, "a", &all[0].of).await.into_iter();
    let mut merged = parts.next().unwrap();
    parts.for_each(|part| merged.merge(&part));
    assert_eq!(merged.replicates().len(), 2, "spans are replicates");
    assert_eq!(
        folded::write(&merged),
        "feed 10\nfeed;query 80\nfeed;render 2\n"
    );
    assert_eq!(store.profiles("photo", "b").await.unwrap().len(), 2);
    assert_eq!(store.profiles("photo", "c").await.unwrap(), []);
    let mut none = all[0].of.clone();
    none.timer = "wall".into();
    assert!(replicates(store, "a", &none).await.is_empty());
}

pub(in crate::store) async fn a_profile_is_added_once(store: &impl Store) {
    let batch = with_profiles(1, 0, "a", vec![profile(NOON, &[("feed", 10)])]);
    for outcome in [PutOutcome::Stored, PutOutcome::Duplicate] {
        assert_eq!(store.put_batch(batch.clone()).await.unwrap(), outcome);
    }
    let mut other = with_profiles(1, 0, "a", vec![profile(NOON, &[("feed", 99)])]);
    other.digest = [2; 32];
    assert_eq!(store.put_batch(other).await.unwrap(), PutOutcome::Conflict);
    let all = all_profiles(store).await;
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].1, [["feed 10", "1 requests"]]);
    // A service and a deploy that are known by a profile alone.
    assert_eq!(store.services().await.unwrap()[0].service, "photo");
    assert_eq!(super::all_deploys(store).await.len(), 1);
}

pub(in crate::store) async fn a_profile_says_what_its_timer_cost(store: &impl Store) {
    // One of an agent that did not say it.
    let costs = [(35_000, 4_000), (0, 0), (31_000, 6_000)];
    for (sequence, (taken_off_milli, left_milli)) in (0..).zip(costs) {
        let mut record = profile(NOON, &[("feed", 10)]);
        record.timers[0].taken_off_milli = taken_off_milli;
        record.timers[0].left_milli = left_milli;
        let batch = with_profiles(1, sequence, "a", vec![record]);
        assert_eq!(store.put_batch(batch).await.unwrap(), PutOutcome::Stored);
    }
    let all = store.profiles("photo", "a").await.unwrap();
    let parts = replicates(store, "a", &all[0].of).await;
    let costs: Vec<_> = parts.iter().map(Profile::timer_cost).collect();
    let largest = TimerCost {
        taken_off_milli: 35_000,
        left_milli: 6_000,
    };
    assert_eq!(costs, [largest]);
}

pub(in crate::store) async fn profiles_are_forgotten_when_nothing_is_added_to_them(
    store: &impl Store,
) {
    let mut old = profile(NOON, &[("inbox", 10)]);
    old.endpoint = "/inbox".into();
    let new_one = profile(NOON + 16 * SECOND, &[("feed", 10)]);
    let records = vec![old, profile(NOON, &[("feed", 10)]), new_one];
    store
        .put_batch(with_profiles(1, 0, "a", records))
        .await
        .unwrap();
    let horizons = Horizons {
        batches_us: RECEIVED,
        profiles_us: NOON + 2 * SECOND,
        ..Horizons::NONE
    };
    let forgotten = forget(store, horizons).await;
    assert_eq!(forgotten.profiles, 1);
    let left = store.profiles("photo", "a").await.unwrap();
    // The first span of /feed and the last are the same replicate.
    assert_eq!((left.len(), left[0].requests), (1, 2));
    assert_eq!(left[0].of.endpoint, "/feed");
}
