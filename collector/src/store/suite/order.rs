//! Whatever the order of delivery, the cells are the same.

use proptest::prelude::*;

use super::{all_cells, of_cells};
use crate::store::*;
use crate::testing::{NOON, SECOND, cell};

/// Batches with a few cells each, and an order in which they come, some of them again.
pub(in crate::store) fn deliveries() -> impl Strategy<Value = (Vec<NewBatch>, Vec<usize>)> {
    let cells = prop::collection::vec((0_u64..3, prop::collection::vec(any::<u32>(), 1..4)), 0..4);
    prop::collection::vec((0_u128..3, cells), 1..7).prop_flat_map(|batches| {
        let batches: Vec<NewBatch> = (0_u64..)
            .zip(batches)
            .map(|(sequence, (source, cells))| {
                let cells = cells.into_iter().map(|(second, cpu_ns)| {
                    let cpu_ns: Vec<u64> = cpu_ns.into_iter().map(u64::from).collect();
                    cell(NOON + second * SECOND, &cpu_ns)
                });
                of_cells(source, sequence, "a", cells.collect())
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

/// Every order of delivery, with any number of repetitions, gives the cells of the plain one.
pub(in crate::store) async fn delivered_in_any_order(
    plain: &impl Store,
    shuffled: &impl Store,
    batches: &[NewBatch],
    order: &[usize],
) {
    for batch in batches {
        plain.put_batch(batch.clone()).await.unwrap();
    }
    for &at in order {
        shuffled.put_batch(batches[at].clone()).await.unwrap();
    }
    assert_eq!(all_cells(shuffled).await, all_cells(plain).await);
}
