//! What a store may be asked: generated, so that no bound, filter or page is the same each time.

use appweight::api::DeploySummary;
use proptest::prelude::*;
use proptest::sample::select;

use super::deeds::{DEPLOYS, ENDPOINTS, SERVICES, SPANS};
use crate::store::*;
use crate::testing::{NOON, SECOND};

/// One of the questions of the trait that have more than a name in them, with all that may be asked for drawn.
#[derive(Debug, Clone)]
pub(in crate::store) enum Question {
    Endpoints(&'static str, usize),
    Deploys(DeployQuery),
    Summaries(DeployQuery),
    NextStart(&'static str, u64),
    ProcessViews(&'static str, u64),
    Cells(CellQuery),
    Moments(CellQuery, Option<usize>),
    FlagMoments(&'static str, TimeRange, usize),
    CellSpan(&'static str, &'static str, TimeRange),
    ProcessPoints(ProcessQuery),
    Windows(&'static str, TimeRange, u64),
    Days(&'static str, TimeRange),
    Requests(RequestQuery),
}

/// Some of each.
pub(in crate::store) fn questions() -> impl Strategy<Value = Vec<Question>> {
    let most = || prop_oneof![4 => 0..8_usize, 1 => Just(100_000)];
    let each = vec![
        (service(), most())
            .prop_map(|(service, most)| Question::Endpoints(service, most))
            .boxed(),
        deploys().prop_map(Question::Deploys).boxed(),
        deploys().prop_map(Question::Summaries).boxed(),
        (service(), moment())
            .prop_map(|(service, us)| Question::NextStart(service, us))
            .boxed(),
        (service(), moment())
            .prop_map(|(service, us)| Question::ProcessViews(service, us))
            .boxed(),
        cells().prop_map(Question::Cells).boxed(),
        (cells(), prop::option::of(most()))
            .prop_map(|(query, most)| Question::Moments(query, most))
            .boxed(),
        (service(), time(), most())
            .prop_map(|(service, time, most)| Question::FlagMoments(service, time, most))
            .boxed(),
        (service(), deploy(), time())
            .prop_map(|(service, deploy, time)| Question::CellSpan(service, deploy, time))
            .boxed(),
        points().prop_map(Question::ProcessPoints).boxed(),
        (service(), time(), 1..6_000_000_u64)
            .prop_map(|(service, time, width_us)| Question::Windows(service, time, width_us))
            .boxed(),
        (service(), time())
            .prop_map(|(service, time)| Question::Days(service, time))
            .boxed(),
        requests().prop_map(Question::Requests).boxed(),
    ];
    let some = each.into_iter().map(|one| prop::collection::vec(one, 6));
    (some.collect::<Vec<_>>()).prop_map(|all| all.into_iter().flatten().collect())
}

/// What a store says, with all numbers in full.
pub(super) async fn answer(store: &impl Store, question: Question) -> String {
    match question {
        Question::Endpoints(service, most) => {
            format!("{:?}", store.endpoints(service, most).await.unwrap())
        }
        Question::Deploys(query) => format!("{:#?}", store.deploys(query).await.unwrap()),
        Question::Summaries(query) => format!("{:#?}", summaries(store, query).await),
        Question::NextStart(service, us) => {
            format!("{:?}", store.next_start(service, us).await.unwrap())
        }
        Question::ProcessViews(service, us) => {
            format!("{:#?}", store.process_views(service, us).await.unwrap())
        }
        Question::Cells(query) => format!("{:#?}", store.cells(query).await.unwrap()),
        Question::Moments(query, most) => {
            format!("{:#?}", store.moments(query, most).await.unwrap())
        }
        Question::FlagMoments(service, time, most) => {
            let found = store.flag_moments(service, time, most).await;
            format!("{:#?}", found.unwrap())
        }
        Question::CellSpan(service, deploy, time) => {
            let span = store.cell_span(service, deploy, time).await;
            format!("{:?}", span.unwrap())
        }
        Question::ProcessPoints(query) => {
            format!("{:#?}", store.process_points(query).await.unwrap())
        }
        Question::Windows(service, time, width_us) => {
            let windows = store.windows(service, time, width_us).await;
            format!("{:#?}", windows.unwrap())
        }
        Question::Days(service, time) => format!("{:#?}", store.days(service, time).await.unwrap()),
        Question::Requests(query) => format!("{:#?}", store.requests(query).await.unwrap()),
    }
}

/// What is told of reports in short: the same when it is asked again, which a store may keep in mind, and as in the reports.
pub(super) async fn summaries(
    store: &impl Store,
    query: DeployQuery,
) -> Vec<DeployEntry<DeploySummary>> {
    let told = store.summaries(query.clone()).await.unwrap();
    let again = store.summaries(query.clone()).await.unwrap();
    assert_eq!(told, again, "{query:?}");
    let whole = store.deploys(query).await.unwrap().into_iter();
    let whole = whole.map(|entry| DeployEntry {
        deploy: entry.deploy,
        report: entry.report.map(|report| report.summary),
    });
    assert_eq!(told, whole.collect::<Vec<_>>());
    told
}

fn service() -> impl Strategy<Value = &'static str> {
    prop_oneof![9 => select(&SERVICES[..]), 1 => Just("nobody")]
}

fn deploy() -> impl Strategy<Value = &'static str> {
    prop_oneof![9 => select(&DEPLOYS[..]), 1 => Just("none")]
}

/// At an edge of what there is, or a µs beside it.
fn moment() -> impl Strategy<Value = u64> {
    (0..SPANS + 2, 0..3_u64).prop_map(|(span, beside)| NOON + span * SECOND + beside - 1)
}

fn time() -> impl Strategy<Value = TimeRange> {
    let some = (moment(), moment()).prop_map(|(one, other)| TimeRange {
        from_us: one.min(other),
        until_us: one.max(other),
    });
    prop_oneof![1 => Just(TimeRange::ALL), 4 => some]
}

fn limit() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 1..6_u32, 1 => Just(1_000)]
}

fn deploys() -> impl Strategy<Value = DeployQuery> {
    (
        service(),
        prop::option::weighted(0.4, deploy()),
        time(),
        prop::option::of((moment(), deploy())),
        limit(),
    )
        .prop_map(|(service, id, started, after, limit)| DeployQuery {
            service: service.into(),
            id: id.map(str::to_owned),
            started,
            after: after.map(|(us, id)| (us, id.to_owned())),
            limit,
        })
}

fn cells() -> impl Strategy<Value = CellQuery> {
    let deploys = prop::sample::subsequence(&DEPLOYS[..], 0..=DEPLOYS.len());
    (service(), deploys, time()).prop_map(|(service, deploys, time)| CellQuery {
        service: service.into(),
        deploys: deploys.into_iter().map(str::to_owned).collect(),
        time,
    })
}

fn points() -> impl Strategy<Value = ProcessQuery> {
    (
        service(),
        prop::option::of(deploy()),
        time(),
        select(&[0, SECOND, 5 * SECOND, 600 * SECOND, u64::MAX][..]),
    )
        .prop_map(|(service, deploy, time, oldest_us)| ProcessQuery {
            service: service.into(),
            deploy: deploy.map(str::to_owned),
            time,
            oldest_us,
        })
}

fn requests() -> impl Strategy<Value = RequestQuery> {
    (
        service(),
        prop::option::of(select(&ENDPOINTS[..])),
        prop::option::of(deploy()),
        time(),
        select(&[RequestOrder::Cost, RequestOrder::Time][..]),
        0..6_u32,
        limit(),
    )
        .prop_map(
            |(service, endpoint, deploy, time, order, skip, limit)| RequestQuery {
                service: service.into(),
                endpoint: endpoint.map(str::to_owned),
                deploy: deploy.map(str::to_owned),
                time,
                order,
                skip,
                limit,
            },
        )
}
