use appweight::api::{
    DeployReport, DeploySummary, ProcessView, RequestView, ServiceSummary, WeightSeries,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::testing::{Bench, NOON, SECOND, batch, cell, process, request};

/// Two deploys of `photo`, the second ten seconds after the first.
async fn two_deploys() -> Bench {
    let bench = Bench::new();
    for (source, deploy, from) in [(1, "a", 0), (2, "release/2", 10)] {
        let mut batch = batch(source, 0, deploy);
        for second in from..from + 10 {
            batch.cells.push(cell(NOON + second * SECOND, &[5, 6, 7]));
            batch.processes.push(process(NOON + second * SECOND, 3));
        }
        batch.requests.push(request(NOON + from * SECOND, 5 + from));
        assert_eq!(bench.put_batch(&batch).await.status.as_u16(), 201);
    }
    bench.at(NOON + 20 * SECOND);
    bench
}

/// All pages of a list, each asked for as the one before says.
async fn pages(bench: &Bench, path: &str, query: &str) -> Vec<Vec<Value>> {
    let (mut pages, mut query) = (Vec::new(), query.to_owned());
    loop {
        let answer = bench.get(&format!("{path}?{query}")).await;
        assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
        pages.push(answer.body.as_array().unwrap().clone());
        let Some(link) = answer.headers.get("link") else {
            return pages;
        };
        let link = link.to_str().unwrap().strip_prefix("<?").unwrap();
        query = link.strip_suffix(">; rel=\"next\"").unwrap().to_owned();
    }
}

async fn ask<T: DeserializeOwned>(bench: &Bench, uri: &str) -> T {
    let answer = bench.get(uri).await;
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    serde_json::from_value(answer.body).unwrap()
}

#[tokio::test]
async fn the_service_may_be_left_out_while_there_is_one() {
    let bench = Bench::new();
    bench
        .get("/v1/deploys")
        .await
        .assert_problem(404, Some("service"));
    let bench = two_deploys().await;
    let services: Vec<ServiceSummary> = ask(&bench, "/v1/services").await;
    assert_eq!(
        (services[0].first_us, services[0].last_us),
        (NOON, NOON + 20 * SECOND)
    );
    assert_eq!(services[0].deploy.as_deref(), Some("release/2"));
    let left_out: Vec<DeploySummary> = ask(&bench, "/v1/deploys").await;
    assert_eq!(
        left_out,
        ask::<Vec<DeploySummary>>(&bench, "/v1/deploys?service=photo").await
    );
    bench
        .post_deploy(json!({"service": "other", "id": "x"}))
        .await;
    for uri in [
        "/v1/deploys",
        "/v1/weight",
        "/v1/processes",
        "/v1/requests",
        "/v1/deploys/a",
    ] {
        bench.get(uri).await.assert_problem(400, Some("service"));
        bench
            .get(&format!("{uri}?service=none"))
            .await
            .assert_problem(404, Some("service"));
    }
    // One that is known, and of which nothing is found.
    for uri in ["/v1/weight", "/v1/processes", "/v1/requests"] {
        let answer = bench.get(&format!("{uri}?service=other")).await;
        assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    }
}

#[tokio::test]
async fn deploys_are_listed_and_shown() {
    let bench = two_deploys().await;
    let newest_first: Vec<DeploySummary> = ask(&bench, "/v1/deploys").await;
    let ids: Vec<&str> = newest_first
        .iter()
        .map(|summary| summary.deploy.id.as_str())
        .collect();
    assert_eq!(ids, ["release/2", "a"]);
    let uri = format!("/v1/deploys?until_us={}", NOON + 1);
    assert_eq!(ask::<Vec<DeploySummary>>(&bench, &uri).await.len(), 1);
    assert_eq!(
        ask::<Vec<DeploySummary>>(&bench, "/v1/deploys?limit=1")
            .await
            .len(),
        1
    );

    let report: DeployReport = ask(&bench, "/v1/deploys/release%2F2").await;
    assert_eq!(report.summary.deploy.replaced.as_deref(), Some("a"));
    assert_eq!(report.summary.deploy.started_us, NOON + 10 * SECOND);
    let uri = format!("/v1/deploys/a?started_us={NOON}");
    assert_eq!(
        ask::<DeployReport>(&bench, &uri).await.summary.deploy.id,
        "a"
    );
    bench
        .get("/v1/deploys/none")
        .await
        .assert_problem(404, Some("id"));
    bench
        .get("/v1/deploys/a?started_us=1")
        .await
        .assert_problem(404, Some("started_us"));
    bench
        .get("/v1/deploys/a?started=1")
        .await
        .assert_problem(400, Some("started"));
    bench
        .get("/v1/deploys?limit=0")
        .await
        .assert_problem(400, Some("limit"));
}

#[tokio::test]
async fn the_weight_comes_with_its_deploys() {
    let bench = two_deploys().await;
    let series: WeightSeries = ask(&bench, "/v1/weight?window_us=5000000").await;
    assert_eq!(series.deploys.len(), 2);
    assert_eq!(series.points.len(), 4);
    for point in &series.points {
        // Half a second of CPU time in each of five seconds, for the same three users.
        assert_eq!(point.total, 2_500_000_000.0);
        assert!(
            (point.active_users.unwrap() - 3.0).abs() < 0.01,
            "{point:?}"
        );
    }
    assert_eq!(
        series.instructions_absent_because.as_deref(),
        Some("no PMU")
    );
    let uri = format!(
        "/v1/weight?from_us={}&until_us={}",
        NOON + 10 * SECOND,
        NOON + 20 * SECOND
    );
    assert_eq!(
        ask::<WeightSeries>(&bench, &(uri + "&window_us=5000000"))
            .await
            .deploys
            .len(),
        1
    );
    bench
        .get("/v1/weight?window_us=0")
        .await
        .assert_problem(400, Some("window_us"));
    bench
        .get("/v1/weight?from_us=-1")
        .await
        .assert_problem(400, Some("from_us"));
    bench
        .get("/v1/weight?from_us=2&until_us=1")
        .await
        .assert_problem(400, Some("from_us"));
}

#[tokio::test]
async fn two_deploys_are_compared_or_it_is_said_why_not() {
    let bench = two_deploys().await;
    bench
        .get("/v1/compare?head=a")
        .await
        .assert_problem(400, Some("base"));
    bench
        .get("/v1/compare?base=a&head=none")
        .await
        .assert_problem(404, Some("head"));
    bench
        .get("/v1/compare?base=none&head=a")
        .await
        .assert_problem(404, Some("base"));
    bench
        .get("/v1/compare?base=a&head=a&metric=rss")
        .await
        .assert_problem(400, Some("metric"));
    bench
        .post_deploy(json!({"service": "photo", "id": "empty"}))
        .await;
    bench
        .get("/v1/compare?base=empty&head=a")
        .await
        .assert_problem(404, Some("base"));
}

#[tokio::test]
async fn processes_and_requests_are_shown() {
    let bench = two_deploys().await;
    let processes: Vec<ProcessView> = ask(&bench, "/v1/processes").await;
    let hosts: Vec<_> = processes
        .iter()
        .map(|process| (process.host.as_str(), process.last_us))
        .collect();
    assert_eq!(
        hosts,
        [("web-1", NOON + 10 * SECOND), ("web-2", NOON + 20 * SECOND)]
    );
    bench.at(NOON + 20 * SECOND + 300 * SECOND);
    assert!(
        ask::<Vec<ProcessView>>(&bench, "/v1/processes")
            .await
            .is_empty()
    );

    let requests: Vec<RequestView> = ask(&bench, "/v1/requests?order=cost&endpoint=/feed").await;
    let costs: Vec<_> = requests.iter().map(|view| view.request.cpu_ns).collect();
    assert_eq!(costs, [Some(15), Some(5)]);
    let requests: Vec<RequestView> = ask(&bench, "/v1/requests?order=time&deploy=a&limit=5").await;
    assert_eq!((requests.len(), requests[0].host.as_str()), (1, "web-1"));
    bench
        .get("/v1/requests?order=size")
        .await
        .assert_problem(400, Some("order"));
}

#[tokio::test]
async fn every_list_comes_page_by_page() {
    let bench = two_deploys().await;
    for id in ["x", "y", "z"] {
        bench
            .post_deploy(json!({"service": "photo", "id": id, "started_us": NOON + 20 * SECOND}))
            .await;
        bench
            .post_deploy(json!({"service": format!("other {id}"), "id": id}))
            .await;
    }
    for (path, query, count) in [
        ("/v1/services", "", 4),
        ("/v1/deploys", "service=photo&until_us=9000000000000000", 5),
        ("/v1/processes", "service=photo", 2),
        ("/v1/requests", "service=photo&order=time", 2),
        ("/v1/requests", "service=photo&endpoint=%2Ffeed", 2),
    ] {
        let whole = pages(&bench, path, query).await.concat();
        assert_eq!(whole.len(), count, "{path}?{query}");
        for limit in 1..=count + 1 {
            let pages = pages(&bench, path, &format!("limit={limit}&{query}")).await;
            assert_eq!(pages.len(), count.div_ceil(limit), "{path}?{query}");
            assert_eq!(pages.concat(), whole, "{path}?{query}");
        }
        bench
            .get(&format!("{path}?cursor=%3F&{query}"))
            .await
            .assert_problem(400, Some("cursor"));
    }
}

#[tokio::test]
async fn a_cursor_holds_for_its_own_list_alone() {
    let bench = two_deploys().await;
    let first = bench.get("/v1/deploys?limit=1").await;
    let link = first.headers["link"].to_str().unwrap();
    let (_, cursor) = link.split_once("cursor=").unwrap();
    let cursor = cursor.split('>').next().unwrap();
    for (query, fits) in [
        ("/v1/deploys?", true),
        ("/v1/deploys?limit=50&", true),
        ("/v1/deploys?from_us=1&", false),
        // Of the same form.
        ("/v1/alerts?", false),
        ("/v1/processes?", false),
    ] {
        let answer = bench.get(&format!("{query}cursor={cursor}")).await;
        if fits {
            assert_eq!(answer.body.as_array().map(Vec::len), Some(1), "{query}");
        } else {
            answer.assert_problem(400, Some("cursor"));
        }
    }
}

#[tokio::test]
async fn a_roll_out_that_begins_meanwhile_moves_no_page() {
    let bench = two_deploys().await;
    let first = bench.get("/v1/deploys?limit=1").await;
    assert_eq!(first.body[0]["deploy"]["id"], "release/2");
    bench
        .post_deploy(json!({"service": "photo", "id": "new"}))
        .await;
    let link = first.headers["link"].to_str().unwrap();
    let query = link.trim_start_matches('<').split('>').next().unwrap();
    let second: Vec<DeploySummary> = ask(&bench, &format!("/v1/deploys{query}")).await;
    assert_eq!(second[0].deploy.id, "a");
}

#[tokio::test]
async fn what_was_is_found_by_time() {
    let bench = two_deploys().await;
    let requests = async |query: &str| -> Vec<u64> {
        let uri = format!("/v1/requests?order=time&{query}");
        let views: Vec<RequestView> = ask(&bench, &uri).await;
        views
            .iter()
            .map(|view| (view.request.start_us - NOON) / SECOND)
            .collect()
    };
    assert_eq!(requests("").await, [10, 0]);
    assert_eq!(requests(&format!("until_us={}", NOON + SECOND)).await, [0]);
    assert_eq!(requests(&format!("from_us={}", NOON + SECOND)).await, [10]);

    bench.at(NOON + 3_600 * SECOND);
    let since = |us: u64| format!("/v1/processes?since_us={us}");
    assert_eq!(ask::<Vec<ProcessView>>(&bench, &since(NOON)).await.len(), 2);
    let later = since(NOON + 15 * SECOND);
    assert_eq!(ask::<Vec<ProcessView>>(&bench, &later).await.len(), 1);

    let compared = async |query: &str| {
        let uri = format!("/v1/compare?base=a&head=release%2F2{query}");
        let comparison: Value = ask(&bench, &uri).await;
        comparison["endpoints"][0]["before"]["requests"].as_u64()
    };
    assert_eq!(compared("").await, Some(30));
    let from = format!("&from_us={}", NOON + 5 * SECOND);
    assert_eq!(compared(&from).await, Some(15));
    bench
        .get("/v1/compare?base=a&head=a&until_us=1")
        .await
        .assert_problem(404, Some("base"));
}
