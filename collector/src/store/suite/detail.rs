//! The older, the less detail: the sums stay.

use std::collections::BTreeMap;

use appweight::evidence::ALL_HOSTS;
use appweight_wire::{Cell, CellKey, Flag};
use proptest::prelude::*;

use super::{all_cells, forget, of_cells};
use crate::store::*;
use crate::testing::{NOON, SECOND, cell};

const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;

/// What happens to a store: a cell comes, of any age, or time goes on and the past is folded.
#[derive(Debug, Clone)]
pub(in crate::store) enum Event {
    Cell {
        host: u128,
        start_us: u64,
        width_us: u64,
        cpu_ns: u32,
    },
    Fold {
        now_us: u64,
    },
}

/// Cells of 100 days by three hosts, in any order, with the past folded in between.
pub(in crate::store) fn events() -> impl Strategy<Value = Vec<Event>> {
    let widths = prop::sample::select(vec![SECOND, 7 * SECOND, 60 * SECOND, HOUR, DAY]);
    let starts = (
        0_u64..100,
        0_u64..24,
        prop::sample::select(vec![0_u64, 1, 59, 60, 3_599]),
    );
    let cells = (0_u128..3, starts, widths, 1_u32..).prop_map(
        |(host, (day, hour, second), width_us, cpu_ns)| {
            let start_us = NOON + day * DAY + hour * HOUR + second * SECOND;
            Event::Cell {
                host,
                start_us: start_us - start_us % width_us,
                width_us,
                cpu_ns,
            }
        },
    );
    let folds = (0_u64..130).prop_map(|day| Event::Fold {
        now_us: NOON + day * DAY,
    });
    prop::collection::vec(prop_oneof![4 => cells, 1 => folds], 1..40)
}

fn horizons(now_us: u64) -> Horizons {
    Horizons {
        hosts_us: now_us.saturating_sub(7 * DAY),
        minutes_us: now_us.saturating_sub(30 * DAY),
        ..Horizons::NONE
    }
}

/// The sums of all cells that begin in the same hour, or, of those that are wider, at the same time.
fn by_hour<'a>(cells: impl IntoIterator<Item = &'a Cell>) -> BTreeMap<u64, Cell> {
    let mut sums = BTreeMap::new();
    for cell in cells {
        let hour_us = cell.key.start_us - cell.key.start_us % HOUR;
        let key = CellKey {
            start_us: hour_us,
            width_us: HOUR,
            ..cell.key.clone()
        };
        sums.entry(hour_us)
            .or_insert_with(|| Cell::new(key))
            .add(cell);
    }
    sums
}

/// Whatever comes when, every hour's sums are those of the cells that were sent.
pub(in crate::store) async fn sums_outlive_folding(store: &impl Store, events: &[Event]) {
    let (mut sent, mut latest_us) = (Vec::new(), 0);
    for (sequence, event) in (0_u64..).zip(events) {
        match *event {
            Event::Cell {
                host,
                start_us,
                width_us,
                cpu_ns,
            } => {
                let mut new = cell(start_us, &[u64::from(cpu_ns)]);
                new.key.width_us = width_us;
                sent.push(new.clone());
                let batch = of_cells(host, sequence, "a", vec![new]);
                assert_eq!(store.put_batch(batch).await.unwrap(), PutOutcome::Stored);
            }
            Event::Fold { now_us } => {
                forget(store, horizons(now_us)).await;
                latest_us = latest_us.max(now_us);
            }
        }
        let kept = all_cells(store).await;
        assert_eq!(
            by_hour(kept.iter().map(|placed| &placed.cell)),
            by_hour(&sent)
        );
        let (hosts_us, minutes_us) = (
            latest_us.saturating_sub(7 * DAY),
            latest_us.saturating_sub(30 * DAY),
        );
        for placed in kept {
            let key = &placed.cell.key;
            // The last hour of each horizon may be folded a little later.
            if key.start_us + HOUR <= hosts_us {
                assert_eq!(placed.host_group, ALL_HOSTS);
                assert!(key.width_us >= 60 * SECOND);
            }
            if key.start_us + HOUR <= minutes_us {
                assert!(key.width_us >= HOUR);
            }
        }
    }
}

pub(in crate::store) async fn old_cells_are_folded_step_by_step_and_then_forgotten(
    store: &impl Store,
) {
    let flag = Flag {
        name: "new-feed".into(),
        value: "on".into(),
    };
    for (host, sequence) in [(1, 0), (2, 0), (1, 1)] {
        let start_us = NOON + u64::try_from(host).unwrap() * 60 * SECOND;
        let mut flagged = cell(start_us, &[5]);
        flagged.key.flag = Some(flag.clone());
        let batch = of_cells(host, sequence, "a", vec![cell(start_us, &[5]), flagged]);
        store.put_batch(batch).await.unwrap();
    }
    let seen = async || {
        let cells = all_cells(store).await;
        let facts: Vec<_> = cells
            .iter()
            .map(|placed| {
                (
                    placed.cell.key.width_us,
                    placed.host_group == ALL_HOSTS,
                    placed.cell.n,
                )
            })
            .collect();
        facts
    };
    assert_eq!(seen().await, [(SECOND, false, 2), (SECOND, false, 1)]);
    let old = forget(store, horizons(NOON + 8 * DAY)).await;
    assert_eq!(old.folded, 4, "the flags' cells too");
    assert_eq!(
        seen().await,
        [(60 * SECOND, true, 2), (60 * SECOND, true, 1)]
    );
    assert_eq!(forget(store, horizons(NOON + 8 * DAY)).await.folded, 0);
    // Late, from a spool: it is added to what is kept of its time.
    let late = of_cells(3, 0, "a", vec![cell(NOON + 61 * SECOND, &[5])]);
    store.put_batch(late).await.unwrap();
    assert_eq!(
        seen().await,
        [(60 * SECOND, true, 3), (60 * SECOND, true, 1)]
    );
    forget(store, horizons(NOON + 32 * DAY)).await;
    assert_eq!(seen().await, [(HOUR, true, 4)]);
    let late = of_cells(3, 1, "a", vec![cell(NOON + 90 * SECOND, &[5])]);
    store.put_batch(late).await.unwrap();
    assert_eq!(seen().await, [(HOUR, true, 5)]);
    let horizons = Horizons {
        cells_us: NOON + HOUR,
        ..horizons(NOON + 32 * DAY)
    };
    assert_eq!(forget(store, horizons).await.cells, 2);
    assert!(all_cells(store).await.is_empty());
}
