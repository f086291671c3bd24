//! Two stores that are told the same answer the same.

use appweight::api::{DeployReport, DeployStatus, DeploySummary, DeployVerdict};
use appweight::evidence::PlacedCell;
use appweight::profile::folded;
use appweight_wire::{Cell, Deploy, Distribution};

use super::deeds::{DEPLOYS, Deed, SERVICES, SPANS};
use super::questions::{Question, answer, summaries};
use crate::store::*;
use crate::testing::{NOON, SECOND};

/// Does all of it to both, and compares what each deed returns and what they answer after each.
pub(in crate::store) async fn both_answer_the_same(
    one: &impl Store,
    other: &impl Store,
    deeds: &[Deed],
    questions: &[Question],
) {
    for (at, deed) in deeds.iter().enumerate() {
        let now_us = NOON + at as u64 * SECOND;
        let (first, second) = (
            done(one, deed, now_us).await,
            done(other, deed, now_us).await,
        );
        assert_eq!(first, second, "{deed:?}");
        // After each, so that every change meets what a store has kept in mind of them.
        for service in SERVICES {
            let query = deploys_of(service, None, 100);
            let first = summaries(one, query.clone()).await;
            assert_eq!(first, summaries(other, query).await, "{deed:?}");
        }
    }
    same_answers(one, other).await;
    for question in questions {
        let first = answer(one, question.clone()).await;
        let second = answer(other, question.clone()).await;
        assert_eq!(first, second, "{question:?}");
    }
}

/// Does all of it to one.
pub(in crate::store) async fn tell(store: &impl Store, deeds: &[Deed]) {
    for (at, deed) in deeds.iter().enumerate() {
        done(store, deed, NOON + at as u64 * SECOND).await;
    }
}

/// Asks both everything.
pub(in crate::store) async fn same_answers(one: &impl Store, other: &impl Store) {
    let (first, second) = (all_answers(one).await, all_answers(other).await);
    assert!(first.len() > 100, "too few questions");
    // One at a time, so that what differs can be read.
    for (first, second) in first.iter().zip(&second) {
        assert_eq!(first, second);
    }
    assert_eq!(first.len(), second.len());
}

async fn done(store: &impl Store, deed: &Deed, now_us: u64) -> String {
    match deed {
        Deed::Put(batches) => {
            let outcomes = store.put_batches(batches.clone()).await;
            let outcomes: Vec<_> = outcomes.into_iter().map(Result::unwrap).collect();
            format!("{outcomes:?}")
        }
        Deed::Post(deploy) => {
            let posted = store.post_deploy(deploy.clone(), now_us).await.unwrap();
            format!("{posted:?}")
        }
        Deed::Judge(service, before, number) => {
            let newest = store.deploys(deploys_of(service, None, 3)).await.unwrap();
            match newest.into_iter().nth(*before) {
                None => String::new(),
                Some(entry) => {
                    let report = report(entry.deploy, *number);
                    store.put_report(report).await.unwrap().to_string()
                }
            }
        }
        Deed::Alert(service, deploy, state) => {
            let of = Deploy {
                service: (*service).into(),
                id: (*deploy).into(),
                started_us: now_us,
                ..Deploy::default()
            };
            let mut kept = Vec::new();
            for version in [1, 3, 2, 2] {
                let status = AlertStatus {
                    version,
                    state: *state,
                    changed_us: now_us,
                    by: Some("it's \\ 日本".into()),
                    ..AlertStatus::of(&of)
                };
                kept.push(store.put_alert_status(status).await.unwrap());
            }
            format!("{kept:?}")
        }
        Deed::Day(service, span, requests) => {
            let day = super::day(service, NOON + span * SECOND, *requests);
            store.put_day(day).await.unwrap();
            String::new()
        }
        Deed::Forget(horizons) => {
            // How often a cell is folded, and what that gives back, is each store's own.
            let forgotten = Forgotten {
                folded: 0,
                bytes: 0,
                ..super::forget(store, *horizons).await
            };
            format!("{forgotten:?}")
        }
    }
}

fn deploys_of(service: &str, id: Option<&str>, limit: u32) -> DeployQuery {
    DeployQuery {
        service: service.into(),
        id: id.map(str::to_owned),
        started: TimeRange::ALL,
        after: None,
        limit,
    }
}

/// One that differs from those of other numbers, in its summary too.
pub(in crate::store) fn report(deploy: Deploy, number: f64) -> DeployReport {
    DeployReport {
        summary: DeploySummary {
            status: DeployStatus::Judged,
            verdict: DeployVerdict::NoChange,
            headline: format!("it's \\ 日本 {number}"),
            findings: Vec::new(),
            judged_us: Some(deploy.started_us),
            deploy,
        },
        from_us: None,
        until_us: None,
        comparison: None,
        memory: None,
        hosts: None,
        split: Some(appweight::api::WeightSplit {
            metric: appweight::api::Metric::Cpu,
            before: number,
            after: number / 3.0,
            requests_per_user: 0.1,
            mix: 0.2,
            new: 0.4,
            vanished: -0.5,
            cost: 0.3,
            endpoints: Vec::new(),
        }),
        detected: None,
        earlier_run: None,
    }
}

/// Compares all cells, records, profiles and roll-outs of all services, of which each has a deploy `a`.
pub(in crate::store) async fn same_accounts(one: &impl Store, other: &impl Store) {
    assert_eq!(account(one).await, account(other).await);
}

async fn account(store: &impl Store) -> Vec<String> {
    let services = store.services().await.unwrap();
    assert!(!services.is_empty());
    let alerts = alerts(store).await;
    assert!(!alerts.is_empty());
    let mut all = vec![format!("{services:#?} {alerts:#?}")];
    for service in &services {
        let service = service.service.as_str();
        let cells = CellQuery {
            service: service.into(),
            deploys: Vec::new(),
            time: TimeRange::ALL,
        };
        all.push(format!("{:#?}", store.cells(cells).await.unwrap()));
        let processes = ProcessQuery::all(service, TimeRange::ALL);
        all.push(format!(
            "{:#?}",
            store.process_points(processes).await.unwrap()
        ));
        let requests = RequestQuery {
            service: service.into(),
            endpoint: None,
            deploy: None,
            time: TimeRange::ALL,
            order: RequestOrder::Time,
            skip: 0,
            limit: 1_000,
        };
        all.push(format!("{:#?}", store.requests(requests).await.unwrap()));
        let deploys = store.deploys(deploys_of(service, None, 100)).await.unwrap();
        all.push(format!("{deploys:#?}"));
        let days = store.days(service, TimeRange::ALL).await.unwrap();
        all.push(format!("{days:#?}"));
        all.push(format!(
            "{:#?}",
            store.endpoints(service, 100).await.unwrap()
        ));
        let profiles = profile_answers(store, service, "a").await;
        assert!(!profiles.is_empty());
        all.push(format!("{profiles:#?}"));
    }
    all
}

/// Every question of the trait, for everything that there may be, with its answer: all numbers in full, so that
/// alike are only those whose every bit is.
async fn all_answers(store: &impl Store) -> Vec<(String, String)> {
    let mut all = vec![
        (
            "services".into(),
            format!("{:#?}", store.services().await.unwrap()),
        ),
        ("unjudged".into(), format!("{:#?}", unjudged(store).await)),
        ("alerts".into(), format!("{:#?}", alerts(store).await)),
    ];
    for service in SERVICES.into_iter().chain(["nobody"]) {
        let of = |question: &str| format!("{question} of {service}");
        for limit in [1, 100] {
            let endpoints = store.endpoints(service, limit).await.unwrap();
            all.push((of("endpoints"), format!("{limit}: {endpoints:?}")));
        }
        let widths = store.cell_widths(service).await.unwrap();
        all.push((of("widths"), format!("{widths:?}")));
        for time in times() {
            let days = store.days(service, time).await.unwrap();
            all.push((of("days"), format!("{time:?}: {days:#?}")));
            all.extend(cell_answers(store, service, time).await);
            all.extend(process_answers(store, service, time).await);
        }
        for span in 0..SPANS {
            let next = store
                .next_start(service, NOON + span * SECOND)
                .await
                .unwrap();
            all.push((of("next start"), format!("{span}: {next:?}")));
            let views = store
                .process_views(service, NOON + span * SECOND)
                .await
                .unwrap();
            all.push((of("processes"), format!("{span}: {views:#?}")));
        }
        for id in [None, Some("a"), Some(DEPLOYS[2])] {
            for limit in [1, 100] {
                let query = deploys_of(service, id, limit);
                let short = summaries(store, query.clone()).await;
                all.push((of("summaries"), format!("{id:?} {limit}: {short:#?}")));
                let entries = store.deploys(query).await.unwrap();
                all.push((of("deploys"), format!("{id:?} {limit}: {entries:#?}")));
            }
        }
        for id in DEPLOYS {
            let query = DeployQuery {
                after: Some((NOON + 3 * SECOND, id.into())),
                ..deploys_of(service, None, 100)
            };
            let entries = store.deploys(query).await.unwrap();
            all.push((of("later deploys"), format!("{id}: {entries:#?}")));
        }
        all.extend(request_answers(store, service).await);
        for deploy in DEPLOYS {
            all.extend(profile_answers(store, service, deploy).await);
        }
    }
    all
}

fn times() -> [TimeRange; 2] {
    let some = TimeRange {
        from_us: NOON + SECOND,
        until_us: NOON + 4 * SECOND,
    };
    [TimeRange::ALL, some]
}

/// Of several that began at once, of different services, either may come first.
async fn unjudged(store: &impl Store) -> Vec<Deploy> {
    let mut all = store.unjudged().await.unwrap();
    assert!(all.is_sorted_by_key(|deploy| deploy.started_us));
    all.sort_by(|a, b| (a.started_us, &a.service).cmp(&(b.started_us, &b.service)));
    all
}

/// In whichever order they come.
async fn alerts(store: &impl Store) -> Vec<AlertStatus> {
    let mut all = store.alert_statuses().await.unwrap();
    all.sort_by_key(|status| {
        (
            status.service.clone(),
            status.started_us,
            status.deploy.clone(),
        )
    });
    all
}

async fn cell_answers(store: &impl Store, service: &str, time: TimeRange) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for deploys in [
        vec![],
        vec!["a".into()],
        vec!["b".into(), DEPLOYS[2].into()],
    ] {
        let query = CellQuery {
            service: service.into(),
            deploys,
            time,
        };
        let cells = store.cells(query.clone()).await.unwrap();
        all.push((format!("{query:?}"), format!("{cells:#?}")));
        let moments = store.moments(query.clone(), None).await.unwrap();
        assert_eq!(
            moments,
            cells.into_iter().map(moments_of).collect::<Vec<_>>()
        );
    }
    let flags = store.flag_moments(service, time, 100_000).await.unwrap();
    let first = flags.len() / 2;
    assert_eq!(
        store.flag_moments(service, time, first).await.unwrap(),
        flags[..first]
    );
    all.push((
        format!("flags of {service} {time:?}"),
        format!("{flags:#?}"),
    ));
    for deploy in DEPLOYS {
        let span = store.cell_span(service, deploy, time).await.unwrap();
        all.push((
            format!("span of {service} {deploy} {time:?}"),
            format!("{span:?}"),
        ));
    }
    all
}

/// What a judge needs of a cell.
fn moments_of(placed: PlacedCell) -> PlacedCell {
    let moments = |all: Distribution| Distribution {
        n: all.n,
        sum: all.sum,
        sum_squares: all.sum_squares,
        sum_logs: all.sum_logs,
        sum_squared_logs: all.sum_squared_logs,
        ..Distribution::default()
    };
    let cell = placed.cell;
    PlacedCell {
        cell: Cell {
            instructions: cell.instructions.map(moments),
            cpu_ns: cell.cpu_ns.map(moments),
            wall_ns: None,
            allocated_bytes: None,
            ..cell
        },
        ..placed
    }
}

async fn process_answers(
    store: &impl Store,
    service: &str,
    time: TimeRange,
) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (deploy, oldest_us) in [(None, u64::MAX), (Some("a"), u64::MAX), (None, 1)] {
        let query = ProcessQuery {
            deploy: deploy.map(str::to_owned),
            oldest_us,
            ..ProcessQuery::all(service, time)
        };
        let points = store.process_points(query.clone()).await.unwrap();
        all.push((format!("{query:?}"), format!("{points:#?}")));
    }
    for window_us in [SECOND, 3 * SECOND] {
        let windows = store.windows(service, time, window_us).await.unwrap();
        let question = format!("windows of {window_us} of {service} {time:?}");
        all.push((question, format!("{windows:#?}")));
    }
    all
}

async fn request_answers(store: &impl Store, service: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for order in [RequestOrder::Cost, RequestOrder::Time] {
        let [always, some] = times();
        for (endpoint, deploy, time, skip, limit) in [
            (None, None, always, 0, 100),
            (None, None, always, 2, 3),
            (None, None, some, 1, 100),
            (Some("/日本"), None, always, 0, 100),
            (Some("/feed"), Some(DEPLOYS[2]), always, 0, 100),
        ] {
            let query = RequestQuery {
                service: service.into(),
                endpoint: endpoint.map(str::to_owned),
                deploy: deploy.map(str::to_owned),
                time,
                order,
                skip,
                limit,
            };
            let views = store.requests(query.clone()).await.unwrap();
            all.push((format!("{query:?}"), format!("{views:#?}")));
        }
    }
    all
}

async fn profile_answers(store: &impl Store, service: &str, deploy: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for summary in store.profiles(service, deploy).await.unwrap() {
        let query = ProfileQuery {
            service: service.into(),
            deploy: deploy.into(),
            of: summary.of.clone(),
        };
        let replicates = store.profile(query).await.unwrap();
        let trees = replicates.iter().map(|tree| {
            let mut lines: Vec<String> = folded::write(tree).lines().map(str::to_owned).collect();
            lines.sort();
            let calls: u64 = tree.nodes().map(|node| tree.calls(node)).sum();
            (
                lines,
                tree.replicates().to_vec(),
                tree.taken(),
                tree.folded(),
                (tree.builds().clone(), tree.timer_cost()),
                calls,
                tree.nodes().len(),
            )
        });
        let trees: Vec<_> = trees.collect();
        all.push((
            format!("{service} {deploy}"),
            format!("{summary:#?} {trees:#?}"),
        ));
    }
    all
}
