use appweight::api::{AlertState, DeployReport, DeployStatus, DeploySummary, DeployVerdict};
use appweight_wire::Deploy;

use super::{forget, new, of_cells};
use crate::store::*;
use crate::testing::{NOON, SECOND, batch, cell};

pub(in crate::store) async fn all_deploys(store: &impl Store) -> Vec<DeployEntry> {
    let query = DeployQuery {
        service: "photo".into(),
        id: None,
        started: TimeRange::ALL,
        after: None,
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
        hosts: None,
        split: None,
        detected: None,
        earlier_run: None,
    }
}

pub(in crate::store) async fn a_record_makes_its_roll_out(store: &impl Store) {
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

pub(in crate::store) async fn a_clock_that_is_ahead_makes_no_roll_out_of_the_future(
    store: &impl Store,
) {
    let ahead = of_cells(1, 0, "a", vec![cell(NOON + 86_400 * SECOND, &[5])]);
    let received_us = ahead.received_us;
    store.put_batch(ahead).await.unwrap();
    assert_eq!(all_deploys(store).await[0].deploy.started_us, received_us);
}

pub(in crate::store) async fn a_record_may_tell_more_of_its_roll_out_the_second_time(
    store: &impl Store,
) {
    // The third is of no roll-out, since b stands before it until the fourth moves that.
    let seen = [("b", 2), ("a", 4), ("a", 1), ("b", 0), ("a", 1)];
    for (sequence, (deploy, second)) in (0..).zip(seen) {
        let cells = vec![cell(NOON + second * SECOND, &[5])];
        let put = store.put_batch(of_cells(1, sequence, deploy, cells)).await;
        assert_eq!(put.unwrap(), PutOutcome::Stored);
    }
    let deploys = all_deploys(store).await;
    let starts = deploys.iter().map(|entry| entry.deploy.started_us);
    assert_eq!(Vec::from_iter(starts), [NOON + SECOND, NOON]);
}

pub(in crate::store) async fn a_report_is_final(store: &impl Store) {
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

pub(in crate::store) async fn what_does_not_read_back_is_not_kept(store: &impl Store) {
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
        new: 0.0,
        vanished: 0.0,
        cost: 0.0,
        endpoints: Vec::new(),
    });
    assert!(matches!(
        store.put_report(broken).await,
        Err(StoreError::Corrupt { .. })
    ));
    assert_eq!(store.unjudged().await.unwrap().len(), 1);
}

pub(in crate::store) async fn roll_outs_come_page_by_page(store: &impl Store) {
    // Three start at once, and the first that was told is not the first by name.
    for (id, second) in [("c", 5), ("e", 7), ("a", 5), ("b", 5), ("d", 1), ("a", 9)] {
        let deploy = Deploy {
            service: "photo".into(),
            id: id.into(),
            started_us: NOON + second * SECOND,
            ..Deploy::default()
        };
        store.post_deploy(deploy, NOON).await.unwrap();
    }
    let whole = all_deploys(store).await;
    let ids: Vec<&str> = whole.iter().map(|entry| entry.deploy.id.as_str()).collect();
    assert_eq!(ids, ["a", "e", "c", "b", "a", "d"]);
    for limit in 1..=7 {
        let (mut after, mut pages) = (None, Vec::new());
        loop {
            let query = DeployQuery {
                service: "photo".into(),
                id: None,
                started: TimeRange::ALL,
                after,
                limit,
            };
            let page = store.deploys(query).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some((last.deploy.started_us, last.deploy.id.clone()));
            pages.extend(page);
        }
        assert_eq!(pages, whole);
    }
}

pub(in crate::store) async fn roll_outs_are_forgotten_when_they_were_replaced_long_ago(
    store: &impl Store,
) {
    const DAY: u64 = 86_400 * SECOND;
    for (sequence, deploy) in [(0, "a"), (1, "b"), (2, "c")] {
        let mut batch = batch(1, sequence, deploy);
        batch.cells = vec![cell(NOON + sequence * DAY, &[5])];
        let mut new = new(batch);
        new.received_us = NOON + sequence * DAY;
        store.put_batch(new).await.unwrap();
    }
    let left = async || {
        let query = DeployQuery {
            service: "photo".into(),
            id: None,
            started: TimeRange::ALL,
            after: None,
            limit: 9,
        };
        let entries = store.deploys(query).await.unwrap();
        let ids = entries.into_iter().map(|entry| entry.deploy.id);
        ids.collect::<Vec<_>>()
    };
    let until = |deploys_us| Horizons {
        deploys_us,
        ..Horizons::NONE
    };
    // What serves at the horizon is kept, since when ever it may be.
    assert_eq!(forget(store, until(NOON + DAY)).await.deploys, 0);
    let forgotten = forget(store, until(NOON + DAY + 1)).await;
    assert_eq!(forgotten.deploys, 1);
    assert_eq!(left().await, ["c", "b"]);
    let forgotten = forget(store, until(NOON + 2 * DAY + 1)).await;
    assert_eq!((forgotten.deploys, forgotten.services), (1, 0));
    assert_eq!(left().await, ["c"], "the service still sends");
    let gone = Horizons {
        cells_us: NOON + 9 * DAY,
        ..until(NOON + 9 * DAY)
    };
    let forgotten = forget(store, gone).await;
    assert_eq!((forgotten.deploys, forgotten.services), (1, 1));
    assert!(store.services().await.unwrap().is_empty());
    let mut again = batch(1, 9, "d");
    again.cells = vec![cell(NOON + 9 * DAY, &[5])];
    store.put_batch(new(again)).await.unwrap();
    assert_eq!(left().await, ["d"], "it may come again");
}

pub(in crate::store) async fn of_two_who_change_an_alert_at_once_one_is_first(store: &impl Store) {
    let deploy = Deploy {
        service: "photo".into(),
        id: "it's \"b\"".into(),
        started_us: NOON,
        ..Deploy::default()
    };
    assert_eq!(store.alert_statuses().await.unwrap(), []);
    let first = AlertStatus {
        version: 1,
        state: AlertState::Acknowledged,
        by: Some("Ada".into()),
        told: [("webhook".to_owned(), AlertState::Open)].into(),
        ..AlertStatus::of(&deploy)
    };
    let late = AlertStatus {
        state: AlertState::Accepted,
        ..first.clone()
    };
    assert!(store.put_alert_status(first.clone()).await.unwrap());
    assert!(!store.put_alert_status(late.clone()).await.unwrap());
    assert_eq!(store.alert_statuses().await.unwrap(), [first]);
    let second = AlertStatus {
        version: 2,
        called: Some(Called {
            at_us: NOON + 5,
            headline: "/feed +5.0 %".into(),
            findings: Vec::new(),
            is_withdrawn: true,
        }),
        ..late
    };
    assert!(store.put_alert_status(second.clone()).await.unwrap());
    assert!(!store.put_alert_status(second.clone()).await.unwrap());
    let other = AlertStatus {
        version: 1,
        ..AlertStatus::of(&Deploy {
            started_us: NOON + 1,
            ..deploy
        })
    };
    assert!(store.put_alert_status(other.clone()).await.unwrap());
    let mut kept = store.alert_statuses().await.unwrap();
    kept.sort_by_key(|status| status.started_us);
    assert_eq!(kept, [second, other]);
}

pub(in crate::store) async fn an_alert_that_was_forgotten_may_come_again(store: &impl Store) {
    const DAY: u64 = 86_400 * SECOND;
    let roll_out = async |sequence: u64| {
        for (sequence, deploy, at_us) in [(sequence, "a", NOON), (sequence + 1, "b", NOON + DAY)] {
            let mut batch = batch(1, sequence, deploy);
            batch.cells = vec![cell(at_us, &[5])];
            let mut new = new(batch);
            new.received_us = at_us;
            store.put_batch(new).await.unwrap();
        }
    };
    let alert = AlertStatus {
        version: 1,
        ..AlertStatus::of(&Deploy {
            service: "photo".into(),
            id: "a".into(),
            started_us: NOON,
            ..Deploy::default()
        })
    };
    for sequence in [0, 2] {
        roll_out(sequence).await;
        assert!(store.put_alert_status(alert.clone()).await.unwrap());
        assert!(!store.put_alert_status(alert.clone()).await.unwrap());
        assert_eq!(
            store.alert_statuses().await.unwrap(),
            std::slice::from_ref(&alert)
        );
        let horizons = Horizons {
            deploys_us: NOON + DAY + 1,
            ..Horizons::NONE
        };
        assert_eq!(forget(store, horizons).await.deploys, 1);
        assert_eq!(store.alert_statuses().await.unwrap(), []);
    }
}
