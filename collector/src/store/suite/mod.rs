//! How every store behaves: written once, run on each of them.

use super::*;
use crate::testing::{NOON, SECOND, batch, cell, process, request};
use appweight_wire::{Deploy, Flag};

/// One test for each behaviour; `$open` makes an empty store, and what keeps it alive.
macro_rules! store_suite {
    ($open:expr) => {
        crate::store::suite::store_suite!(
            $open,
            a_batch_counts_once,
            other_bytes_under_a_known_id_change_nothing,
            cells_of_one_key_add_up_and_others_stay_apart,
            cells_per_flag_stay_out_of_the_others,
            cells_are_found_by_time_and_deploy,
            counts_up_to_the_largest_are_kept,
            a_record_makes_its_roll_out,
            a_clock_that_is_ahead_makes_no_roll_out_of_the_future,
            a_batch_that_was_sent_again_is_forgotten_once,
            a_record_may_tell_more_of_its_roll_out_the_second_time,
            a_report_is_final,
            of_two_who_change_an_alert_at_once_one_is_first,
            an_alert_that_was_forgotten_may_come_again,
            what_does_not_read_back_is_not_kept,
            requests_come_by_cost_or_time,
            requests_are_skipped_and_found_by_time,
            requests_of_unknown_cost_come_last_page_by_page,
            roll_outs_come_page_by_page,
            roll_outs_are_forgotten_when_they_were_replaced_long_ago,
            each_process_shows_its_newest_record,
            a_process_whose_clock_is_apart_is_marked,
            endpoints_are_known_until_they_are_long_gone,
            a_day_is_kept_once_and_forgotten_with_its_cells,
            process_records_are_found_by_time_deploy_and_age,
            process_records_have_their_cluster,
            the_past_is_forgotten_but_its_cells_stay,
            old_cells_are_folded_step_by_step_and_then_forgotten,
            profiles_of_the_same_add_up_and_others_stay_apart,
            a_profile_is_added_once,
            a_profile_says_what_its_timer_cost,
            profiles_are_forgotten_when_nothing_is_added_to_them,
            services_are_known_by_their_first_record_or_deploy
        );
    };
    ($open:expr, $($behaviour:ident),+) => {
        $(
            #[tokio::test]
            async fn $behaviour() {
                let (store, _kept) = $open;
                crate::store::suite::$behaviour(&store).await;
            }
        )+
    };
}
pub(in crate::store) use store_suite;

#[cfg(feature = "clickhouse")]
mod conformance;
mod days;
#[cfg(feature = "clickhouse")]
mod deeds;
mod deploys;
mod detail;
#[cfg(feature = "clickhouse")]
mod drawn_records;
mod hold;
mod order;
mod profiles;
#[cfg(feature = "clickhouse")]
mod questions;
mod records;
mod watch;

#[cfg(feature = "clickhouse")]
pub(in crate::store) use conformance::*;
pub(in crate::store) use days::*;
#[cfg(feature = "clickhouse")]
pub(in crate::store) use deeds::deeds;
pub(in crate::store) use deploys::*;
pub(in crate::store) use detail::*;
pub(in crate::store) use hold::hold;
pub(in crate::store) use order::*;
pub(in crate::store) use profiles::*;
#[cfg(feature = "clickhouse")]
pub(in crate::store) use questions::questions;
pub(in crate::store) use records::*;
pub(in crate::store) use watch::*;

/// When all batches come.
const RECEIVED: u64 = NOON + 60 * SECOND;

pub(in crate::store) fn new(batch: Batch) -> NewBatch {
    NewBatch {
        uuid: batch.id(),
        digest: [1; 32],
        received_us: RECEIVED,
        clock_ahead_us: None,
        packed: None,
        batch,
    }
}

fn of_cells(
    source: u128,
    sequence: u64,
    deploy: &str,
    cells: Vec<appweight_wire::Cell>,
) -> NewBatch {
    let mut batch = batch(source, sequence, deploy);
    batch.cells = cells;
    new(batch)
}

pub(in crate::store) async fn all_cells(store: &impl Store) -> Vec<PlacedCell> {
    let query = CellQuery {
        service: "photo".into(),
        deploys: Vec::new(),
        time: TimeRange::ALL,
    };
    store.cells(query).await.unwrap()
}

/// Forgets all that can be forgotten.
pub(in crate::store) async fn forget(store: &impl Store, horizons: Horizons) -> Forgotten {
    let mut total = Forgotten::default();
    loop {
        total.add(store.forget_some(horizons).await.unwrap());
        if !total.more {
            return total;
        }
    }
}

pub(in crate::store) async fn a_batch_counts_once(store: &impl Store) {
    let mut full = batch(1, 0, "a");
    full.cells = vec![cell(NOON, &[5, 7])];
    full.requests = vec![request(NOON, 5)];
    full.processes = vec![process(NOON, 3)];
    let full = new(full);
    assert_eq!(
        store.put_batch(full.clone()).await.unwrap(),
        PutOutcome::Stored
    );
    assert_eq!(store.put_batch(full).await.unwrap(), PutOutcome::Duplicate);
    let cells = all_cells(store).await;
    assert_eq!(cells.len(), 1);
    assert_eq!(cells[0].cell, cell(NOON, &[5, 7]));
    assert_eq!(
        (cells[0].deploy.as_str(), cells[0].host_group),
        ("a", appweight_wire::host_group("web-1"))
    );
    let points = store
        .process_points(ProcessQuery::all("photo", TimeRange::ALL))
        .await
        .unwrap();
    assert_eq!(points.len(), 1);
    assert_eq!(points[0].active_users, process(NOON, 3).active_users);
    assert_eq!(
        points[0].instructions_absent_because.as_deref(),
        Some("no PMU")
    );
}

pub(in crate::store) async fn a_batch_that_was_sent_again_is_forgotten_once(store: &impl Store) {
    for (source, later) in [(1, 0), (2, 9 * SECOND)] {
        let first = new(batch(source, 0, "a"));
        let again = NewBatch {
            received_us: first.received_us - 5 * SECOND + later,
            ..first.clone()
        };
        let received_us = first.received_us;
        store.put_batch(first).await.unwrap();
        let outcome = store.put_batch(again).await.unwrap();
        assert_eq!(outcome, PutOutcome::Duplicate);
        let mut forgotten = Vec::new();
        for after_us in [0, SECOND, 8 * SECOND] {
            let horizons = Horizons {
                batches_us: received_us + after_us,
                ..Horizons::NONE
            };
            forgotten.push(forget(store, horizons).await.batches);
        }
        assert_eq!(forgotten, [0, 1, 0], "{later}");
    }
}

pub(in crate::store) async fn other_bytes_under_a_known_id_change_nothing(store: &impl Store) {
    store
        .put_batch(of_cells(1, 0, "a", vec![cell(NOON, &[5])]))
        .await
        .unwrap();
    let mut other = of_cells(1, 0, "b", vec![cell(NOON, &[9])]);
    other.digest = [2; 32];
    assert_eq!(store.put_batch(other).await.unwrap(), PutOutcome::Conflict);
    assert_eq!(all_cells(store).await.len(), 1);
    assert_eq!(all_deploys(store).await.len(), 1);
}

pub(in crate::store) async fn cells_of_one_key_add_up_and_others_stay_apart(store: &impl Store) {
    store
        .put_batch(of_cells(1, 0, "a", vec![cell(NOON, &[5])]))
        .await
        .unwrap();
    store
        .put_batch(of_cells(
            1,
            1,
            "a",
            vec![cell(NOON, &[7]), cell(NOON, &[9])],
        ))
        .await
        .unwrap();
    store
        .put_batch(of_cells(2, 0, "a", vec![cell(NOON, &[1])]))
        .await
        .unwrap();
    store
        .put_batch(of_cells(1, 2, "b", vec![cell(NOON, &[1])]))
        .await
        .unwrap();
    let cells = all_cells(store).await;
    assert_eq!(cells.len(), 3);
    assert!(
        cells
            .iter()
            .any(|placed| placed.cell == cell(NOON, &[5, 7, 9]))
    );
}

pub(in crate::store) async fn cells_per_flag_stay_out_of_the_others(store: &impl Store) {
    let mut flagged = cell(NOON, &[5]);
    flagged.key.flag = Some(Flag {
        name: "new-feed".into(),
        value: "on".into(),
    });
    store
        .put_batch(of_cells(1, 0, "a", vec![cell(NOON, &[5]), flagged.clone()]))
        .await
        .unwrap();
    assert_eq!(all_cells(store).await.len(), 1);
    let found = store.flag_moments("photo", TimeRange::ALL, 9).await;
    let found = found.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].cell.key, flagged.key);
    assert_eq!(found[0].cell.cpu_ns.as_ref().map(|cpu| cpu.sum), Some(5));
    for (service, time, most) in [
        ("other", TimeRange::ALL, 9),
        ("photo", TimeRange::at(NOON + 1), 9),
        ("photo", TimeRange::ALL, 0),
    ] {
        let none = store.flag_moments(service, time, most).await.unwrap();
        assert_eq!(none, [], "{service} {time:?} {most}");
    }
}

pub(in crate::store) async fn cells_are_found_by_time_and_deploy(store: &impl Store) {
    let cells = (0..10)
        .map(|second| cell(NOON + second * SECOND, &[5]))
        .collect();
    store.put_batch(of_cells(1, 0, "a", cells)).await.unwrap();
    store
        .put_batch(of_cells(1, 1, "b", vec![cell(NOON + 4 * SECOND, &[5])]))
        .await
        .unwrap();
    let time = TimeRange {
        from_us: NOON + 3 * SECOND,
        until_us: NOON + 6 * SECOND,
    };
    let mut query = CellQuery {
        service: "photo".into(),
        deploys: Vec::new(),
        time,
    };
    for deploys in [vec![], vec!["a".to_owned()]] {
        query.deploys = deploys;
        let all = store.moments(query.clone(), None).await.unwrap();
        assert_eq!(all.len(), 4 - query.deploys.len());
        for most in 0..=all.len() + 1 {
            let first = store.moments(query.clone(), Some(most)).await.unwrap();
            assert_eq!(first, all[..most.min(all.len())]);
        }
    }
    query.service = "other".into();
    assert_eq!(store.cells(query).await.unwrap().len(), 0);
    assert_eq!(
        store.cell_span("photo", "a", time).await.unwrap(),
        Some(time)
    );
    assert_eq!(store.cell_span("photo", "c", time).await.unwrap(), None);
    assert_eq!(
        store.cell_widths("photo").await.unwrap(),
        Some((SECOND, SECOND))
    );
    assert_eq!(store.cell_widths("other").await.unwrap(), None);
}

pub(in crate::store) async fn counts_up_to_the_largest_are_kept(store: &impl Store) {
    let mut large = cell(NOON, &[5]);
    large.weight = u64::MAX;
    store
        .put_batch(of_cells(1, 0, "a", vec![large.clone()]))
        .await
        .unwrap();
    store
        .put_batch(of_cells(1, 1, "a", vec![large]))
        .await
        .unwrap();
    let cells = all_cells(store).await;
    assert_eq!((cells[0].cell.n, cells[0].cell.weight), (2, u64::MAX));
}

pub(in crate::store) async fn services_are_known_by_their_first_record_or_deploy(
    store: &impl Store,
) {
    assert!(store.services().await.unwrap().is_empty());
    store.check().await.unwrap();
    assert!(store.disk_use().await.unwrap().bytes > 0);
    let deploy = Deploy {
        service: "other".into(),
        id: "x".into(),
        started_us: NOON,
        ..Deploy::default()
    };
    store.post_deploy(deploy, NOON).await.unwrap();
    store
        .put_batch(of_cells(
            1,
            0,
            "a",
            vec![cell(NOON, &[5]), cell(NOON + SECOND, &[5])],
        ))
        .await
        .unwrap();
    let services = store.services().await.unwrap();
    let facts: Vec<_> = services
        .iter()
        .map(|known| {
            (
                known.service.as_str(),
                known.first_us,
                known.last_us,
                known.deploy.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        facts,
        [
            ("other", NOON, NOON, Some("x")),
            ("photo", NOON, NOON + 2 * SECOND, Some("a"))
        ]
    );
}
