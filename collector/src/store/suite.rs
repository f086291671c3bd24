//! How every store behaves: written once, run on each of them.

use appweight::api::{DeployReport, DeployStatus, DeploySummary, DeployVerdict};
use appweight_wire::{Deploy, Flag};
use proptest::prelude::*;

use super::*;
use crate::testing::{NOON, SECOND, batch, cell, process, request};

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
            a_report_is_final,
            what_does_not_read_back_is_not_kept,
            requests_come_by_cost_or_time,
            each_process_shows_its_newest_record,
            process_records_are_found_by_time_deploy_and_age,
            the_past_is_forgotten_but_its_cells_stay,
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
pub(super) use store_suite;

pub(super) fn new(batch: Batch) -> NewBatch {
    NewBatch {
        uuid: batch.id(),
        digest: [1; 32],
        received_us: NOON,
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

pub(super) async fn all_cells(store: &impl Store) -> Vec<PlacedCell> {
    let query = CellQuery {
        service: "photo".into(),
        deploys: Vec::new(),
        time: TimeRange::ALL,
    };
    store.cells(query).await.unwrap()
}

async fn all_deploys(store: &impl Store) -> Vec<DeployEntry> {
    let query = DeployQuery {
        service: "photo".into(),
        id: None,
        started: TimeRange::ALL,
        limit: 100,
    };
    store.deploys(query).await.unwrap()
}

fn report(deploy: Deploy) -> DeployReport {
    DeployReport {
        summary: DeploySummary {
            deploy,
            status: DeployStatus::Judged,
            verdict: DeployVerdict::NoChange,
            headline: "No change".into(),
            findings: Vec::new(),
            judged_us: Some(NOON),
        },
        from_us: None,
        until_us: None,
        comparison: None,
        memory: None,
        split: None,
    }
}

pub(super) async fn a_batch_counts_once(store: &impl Store) {
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

pub(super) async fn other_bytes_under_a_known_id_change_nothing(store: &impl Store) {
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

pub(super) async fn cells_of_one_key_add_up_and_others_stay_apart(store: &impl Store) {
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

pub(super) async fn cells_per_flag_stay_out_of_the_others(store: &impl Store) {
    let mut flagged = cell(NOON, &[5]);
    flagged.key.flag = Some(Flag {
        name: "new-feed".into(),
        value: "on".into(),
    });
    store
        .put_batch(of_cells(1, 0, "a", vec![cell(NOON, &[5]), flagged]))
        .await
        .unwrap();
    assert_eq!(all_cells(store).await.len(), 1);
}

pub(super) async fn cells_are_found_by_time_and_deploy(store: &impl Store) {
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
    assert_eq!(store.cells(query.clone()).await.unwrap().len(), 4);
    query.deploys = vec!["a".into()];
    assert_eq!(store.cells(query.clone()).await.unwrap().len(), 3);
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

pub(super) async fn counts_up_to_the_largest_are_kept(store: &impl Store) {
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

pub(super) async fn a_record_makes_its_roll_out(store: &impl Store) {
    store
        .put_batch(of_cells(1, 0, "b", vec![cell(NOON + 9 * SECOND, &[5])]))
        .await
        .unwrap();
    store
        .put_batch(of_cells(2, 0, "a", vec![cell(NOON, &[5])]))
        .await
        .unwrap();
    store
        .put_batch(of_cells(1, 1, "b", vec![cell(NOON + 8 * SECOND, &[5])]))
        .await
        .unwrap();
    let deploys = all_deploys(store).await;
    let facts: Vec<_> = deploys
        .iter()
        .map(|entry| {
            (
                entry.deploy.id.as_str(),
                entry.deploy.started_us,
                entry.deploy.replaced.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        facts,
        [("b", NOON + 8 * SECOND, Some("a")), ("a", NOON, None)]
    );
    assert_eq!(
        store.next_start("photo", NOON).await.unwrap(),
        Some(NOON + 8 * SECOND)
    );
    assert_eq!(
        store.next_start("photo", NOON + 8 * SECOND).await.unwrap(),
        None
    );
}

pub(super) async fn a_report_is_final(store: &impl Store) {
    let mut deploy = Deploy {
        service: "photo".into(),
        id: "a".into(),
        started_us: NOON,
        ..Deploy::default()
    };
    assert!(
        !store.put_report(report(deploy.clone())).await.unwrap(),
        "no such roll-out"
    );
    store.post_deploy(deploy.clone(), NOON).await.unwrap();
    assert_eq!(store.unjudged().await.unwrap(), [deploy.clone()]);
    deploy.ended_us = Some(NOON + SECOND);
    assert!(store.put_report(report(deploy.clone())).await.unwrap());
    let mut second = report(deploy.clone());
    second.summary.verdict = DeployVerdict::Regressed;
    assert!(!store.put_report(second).await.unwrap());
    assert!(store.unjudged().await.unwrap().is_empty());
    deploy.title = Some("told later".into());
    store.post_deploy(deploy.clone(), NOON).await.unwrap();
    let entry = all_deploys(store).await.remove(0);
    let kept = entry.report.unwrap();
    assert_eq!(kept.summary.verdict, DeployVerdict::NoChange);
    assert_eq!(kept.summary.deploy, deploy);
}

pub(super) async fn what_does_not_read_back_is_not_kept(store: &impl Store) {
    let deploy = Deploy {
        service: "photo".into(),
        id: "a".into(),
        started_us: NOON,
        ..Deploy::default()
    };
    store.post_deploy(deploy.clone(), NOON).await.unwrap();
    let mut broken = report(deploy);
    broken.split = Some(appweight::api::WeightSplit {
        metric: appweight::api::Metric::Cpu,
        before: f64::NAN,
        after: 0.0,
        requests_per_user: 0.0,
        mix: 0.0,
        cost: 0.0,
        endpoints: Vec::new(),
    });
    assert!(matches!(
        store.put_report(broken).await,
        Err(StoreError::Corrupt { .. })
    ));
    assert_eq!(store.unjudged().await.unwrap().len(), 1);
}

pub(super) async fn requests_come_by_cost_or_time(store: &impl Store) {
    let mut first = batch(1, 0, "a");
    first.requests = vec![request(NOON, 9), request(NOON + 1, 3), request(NOON + 2, 5)];
    first.requests[1].endpoint = "/inbox".into();
    store.put_batch(new(first)).await.unwrap();
    let mut second = batch(2, 0, "b");
    second.requests = vec![request(NOON + 3, 4)];
    store.put_batch(new(second)).await.unwrap();
    let mut query = RequestQuery {
        service: "photo".into(),
        endpoint: None,
        deploy: None,
        order: RequestOrder::Cost,
        limit: 2,
    };
    let costs = async |query: &RequestQuery| -> Vec<u64> {
        let views = store.requests(query.clone()).await.unwrap();
        views
            .iter()
            .map(|view| view.request.cpu_ns.unwrap())
            .collect()
    };
    assert_eq!(costs(&query).await, [9, 5]);
    query.order = RequestOrder::Time;
    assert_eq!(costs(&query).await, [4, 5]);
    query.deploy = Some("a".into());
    query.limit = 9;
    assert_eq!(costs(&query).await, [5, 3, 9]);
    query.endpoint = Some("/inbox".into());
    assert_eq!(costs(&query).await, [3]);
}

pub(super) async fn each_process_shows_its_newest_record(store: &impl Store) {
    for (source, sequence, second) in [(2, 0, 0), (1, 0, 5), (1, 1, 3)] {
        let mut batch = batch(source, sequence, "a");
        batch.processes = vec![process(NOON + second * SECOND, 1)];
        store.put_batch(new(batch)).await.unwrap();
    }
    let views = store.process_views("photo", NOON).await.unwrap();
    let facts: Vec<_> = views
        .iter()
        .map(|view| (view.host.as_str(), view.last_us))
        .collect();
    assert_eq!(
        facts,
        [("web-1", NOON + 6 * SECOND), ("web-2", NOON + SECOND)]
    );
    assert_eq!(
        store
            .process_views("photo", NOON + SECOND)
            .await
            .unwrap()
            .len(),
        1
    );
}

pub(super) async fn process_records_are_found_by_time_deploy_and_age(store: &impl Store) {
    for (source, deploy) in [(1, "a"), (2, "b")] {
        let mut batch = batch(source, 0, deploy);
        for second in 0..5 {
            let mut record = process(NOON + second * SECOND, 1);
            record.process_age_us = (second + 1) * SECOND;
            batch.processes.push(record);
        }
        store.put_batch(new(batch)).await.unwrap();
    }
    let time = TimeRange {
        from_us: NOON + SECOND,
        until_us: NOON + 4 * SECOND,
    };
    let mut query = ProcessQuery::all("photo", time);
    assert_eq!(store.process_points(query.clone()).await.unwrap().len(), 6);
    query.deploy = Some("a".into());
    query.oldest_us = 3 * SECOND;
    let points = store.process_points(query).await.unwrap();
    let facts: Vec<_> = points
        .iter()
        .map(|point| (point.deploy.as_str(), point.start_us))
        .collect();
    assert_eq!(facts, [("a", NOON + SECOND), ("a", NOON + 2 * SECOND)]);
}

pub(super) async fn the_past_is_forgotten_but_its_cells_stay(store: &impl Store) {
    let mut old = batch(1, 0, "a");
    old.cells = vec![cell(NOON, &[5])];
    old.requests = vec![request(NOON, 5), request(NOON + SECOND, 5)];
    old.processes = vec![process(NOON, 1)];
    let old = new(old);
    store.put_batch(old.clone()).await.unwrap();
    let horizons = Horizons {
        records_us: NOON + 1,
        batches_us: NOON,
    };
    let forgotten = store.forget(horizons).await.unwrap();
    assert_eq!(
        forgotten,
        Forgotten {
            records: 2,
            batches: 0
        }
    );
    assert_eq!(store.put_batch(old).await.unwrap(), PutOutcome::Duplicate);
    let horizons = Horizons {
        batches_us: NOON + 1,
        ..horizons
    };
    assert_eq!(store.forget(horizons).await.unwrap().batches, 1);
    assert_eq!(all_cells(store).await.len(), 1);
}

pub(super) async fn services_are_known_by_their_first_record_or_deploy(store: &impl Store) {
    assert!(store.services().await.unwrap().is_empty());
    store.check().await.unwrap();
    assert!(store.size_bytes().await.unwrap() > 0);
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

/// Batches with a few cells each, and an order in which they come, some of them again.
pub(super) fn deliveries() -> impl Strategy<Value = (Vec<NewBatch>, Vec<usize>)> {
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
pub(super) async fn delivered_in_any_order(
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
