use axum::body::Body;
use http::{Request, header};

use crate::testing::Bench;

#[tokio::test]
async fn unknown_routes_and_methods_are_problems_too() {
    let bench = Bench::new();
    for uri in ["/", "/v1", "/v1/nothing", "/v1/batches", "/v1/deploys/a/b"] {
        bench.get(uri).await.assert_problem(404, None);
    }
    for (method, uri) in [
        ("DELETE", "/v1/deploys"),
        ("GET", "/v1/batches/x"),
        ("POST", "/healthz"),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .body(Body::empty())
            .unwrap();
        let answer = bench.send(request).await;
        answer.assert_problem(405, None);
        assert!(answer.headers.contains_key(header::ALLOW), "{method} {uri}");
    }
}

#[tokio::test]
async fn says_whether_it_is_well() {
    let bench = Bench::new();
    let answer = bench.get("/healthz").await;
    assert_eq!(
        (answer.status.as_u16(), answer.body.as_str()),
        (200, Some("ok\n"))
    );
    let metrics = bench
        .get("/metrics")
        .await
        .body
        .as_str()
        .unwrap()
        .to_owned();
    let size = metrics
        .lines()
        .find_map(|line| line.strip_prefix("appweight_collector_store_size_bytes "));
    assert!(size.unwrap().parse::<u64>().unwrap() > 0, "{metrics}");
    assert!(metrics.ends_with("# EOF\n"));
}

#[tokio::test]
async fn the_document_tells_every_route() {
    let bench = Bench::new();
    let document = bench.get("/v1/openapi.json").await.body;
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    assert_eq!(
        paths,
        [
            "/healthz",
            "/metrics",
            "/v1/alerts",
            "/v1/batches/{uuid}",
            "/v1/compare",
            "/v1/deploys",
            "/v1/deploys/{id}",
            "/v1/drift",
            "/v1/flags",
            "/v1/openapi.json",
            "/v1/processes",
            "/v1/profile",
            "/v1/profile/diff",
            "/v1/profiles",
            "/v1/requests",
            "/v1/services",
            "/v1/weight",
        ]
    );
}
