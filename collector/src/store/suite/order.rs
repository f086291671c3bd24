//! Whatever the order of delivery, cells and profiles are the same.

use proptest::prelude::*;

use super::{all_cells, all_profiles, of_cells};
use crate::store::*;
use crate::testing::{NOON, SECOND, cell, profile};

/// Batches with a few cells and profiles each, and an order in which they come, some of them again.
pub(in crate::store) fn deliveries() -> impl Strategy<Value = (Vec<NewBatch>, Vec<usize>)> {
    let cells = prop::collection::vec((0_u64..3, prop::collection::vec(any::<u32>(), 1..4)), 0..4);
    let profiles = prop::collection::vec((0_u64..3, 0_usize..3, 1_i64..1_000), 0..4);
    prop::collection::vec((0_u128..3, cells, profiles), 1..7).prop_flat_map(|batches| {
        let batches: Vec<NewBatch> = (0_u64..)
            .zip(batches)
            .map(|(sequence, (source, cells, profiles))| {
                let cells = cells.into_iter().map(|(second, cpu_ns)| {
                    let cpu_ns: Vec<u64> = cpu_ns.into_iter().map(u64::from).collect();
                    cell(NOON + second * SECOND, &cpu_ns)
                });
                let profiles = profiles.into_iter().map(|(second, stack, own)| {
                    let stack = ["feed", "feed;query", "feed;render"][stack];
                    profile(NOON + second * SECOND, &[(stack, own), ("feed;query", 7)])
                });
                let mut new = of_cells(source, sequence, "a", cells.collect());
                new.batch.profiles = profiles.collect();
                new
            })
            .collect();
        let once: Vec<usize> = (0..batches.len()).collect();
        let again = prop::collection::vec(0..batches.len(), 0..6);
        let order = again.prop_flat_map(move |again| {
            let all: Vec<usize> = once.iter().copied().chain(again).collect();
            Just(all).prop_shuffle()
        });
        (Just(batches), order)
    })
}

/// Every order of delivery, with any number of repetitions, gives what the plain one gives.
pub(in crate::store) async fn delivered_in_any_order(
    plain: &impl Store,
    shuffled: &impl Store,
    batches: &[NewBatch],
    order: &[usize],
) {
    for batch in batches {
        plain.put_batch(batch.clone()).await.unwrap();
    }
    // In groups of one, two, three, … batches.
    let (mut rest, mut size) = (order, 1);
    while !rest.is_empty() {
        let (group, later) = rest.split_at(size.min(rest.len()));
        let group = group.iter().map(|&at| batches[at].clone()).collect();
        for outcome in shuffled.put_batches(group).await {
            assert_ne!(outcome.unwrap(), PutOutcome::Conflict);
        }
        (rest, size) = (later, size + 1);
    }
    assert_eq!(all_cells(shuffled).await, all_cells(plain).await);
    assert_eq!(all_profiles(shuffled).await, all_profiles(plain).await);
}
