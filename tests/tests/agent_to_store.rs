//! The whole way of the data: requests to a service with the agent embedded, cells in the store,
//! answers of the API, pages of the dashboard.

use std::collections::BTreeSet;
use std::time::Duration;

use appweight_tests::{Answer, Collector, Measured, Service, eventually, get, post};
use serde_json::Value;

const WAIT: Duration = Duration::from_secs(20);

/// Sends `times` requests and expects that status.
fn ask(url: &str, times: u64, status: u16) {
    for _ in 0..times {
        assert_eq!(
            get(url).expect("the service answers").status,
            status,
            "{url}"
        );
    }
}

#[test]
fn every_request_is_counted_where_it_belongs() {
    let collector = Collector::start();
    let measured = Measured::by(&collector.url, "8f2c1a9", "web-1");
    let service = Service::start(measured, 1_000);
    for name in ["Kim", "Sam", "Robin"] {
        ask(&format!("{}/hello/{name}", service.url), 11, 200);
    }
    ask(&format!("{}/work", service.url), 20, 200);
    ask(&format!("{}/broken", service.url), 5, 500);
    ask(&format!("{}/nowhere", service.url), 3, 404);
    let save = post(&format!("{}/save", service.url), "text/plain", b"");
    assert_eq!(save.unwrap().status, 201);

    // A deploy that nobody announced is seen first in a record, while the service runs.
    let known = eventually("the deploy is known", || {
        let answer = collector.get("/v1/deploys/8f2c1a9?service=small");
        (answer.status == 200)
            .then(|| answer.json())
            .ok_or(answer.text)
    });
    assert_eq!(known["summary"]["deploy"]["id"], "8f2c1a9");

    assert!(service.stop(WAIT), "everything is sent at the end");
    collector.expect_requests(
        "small",
        "8f2c1a9",
        &[
            ("/broken", 5),
            ("/hello/{name}", 33),
            ("/save", 1),
            ("/work", 20),
            ("unmatched", 3),
        ],
    );
    let counted = collector.counted("small", "8f2c1a9").unwrap();
    assert_eq!(
        (counted["/broken"].errors, counted["/broken"].weight),
        (5, 5)
    );
    assert_eq!(counted["/hello/{name}"].errors, 0);
    assert!(
        counted["/hello/{name}"].cpu_ns > 0.0,
        "CPU time is measured"
    );

    let recorded = collector
        .get("/v1/requests?service=small&deploy=8f2c1a9&limit=1000")
        .json();
    let recorded = recorded.as_array().unwrap();
    assert_eq!(recorded.len(), 62, "one in one is recorded");
    assert!(recorded.iter().all(|record| record["host"] == "web-1"));
    assert!(
        !recorded
            .iter()
            .any(|record| record.to_string().contains("Robin")),
        "a raw path never leaves the service"
    );

    let processes = collector.get("/v1/processes?service=small").json();
    assert_eq!(processes.as_array().map(Vec::len), Some(1));
    assert_eq!(processes[0]["requests_total"], 62);
    assert_eq!(processes[0]["dropped_total"], 0);
    assert!(processes[0]["rss_bytes"].as_u64() > Some(1 << 20));
}

#[test]
fn users_are_counted_and_the_weight_is_per_user() {
    let collector = Collector::start();
    let measured = Measured::by(&collector.url, "8f2c1a9", "web-1");
    let service = Service::start(measured, 1_000);
    let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().into();
    for user in 0..50 {
        for _ in 0..2 {
            let request = agent.get(format!("{}/work", service.url));
            request.header("x-user", user.to_string()).call().unwrap();
        }
    }
    assert!(service.stop(WAIT));
    let weight = collector
        .get("/v1/weight?service=small&window_us=200000")
        .json();
    let points = weight["points"].as_array().unwrap();
    let sum = |name: &'static str| points.iter().filter_map(move |point| point[name].as_f64());
    assert_eq!(sum("requests").sum::<f64>(), 100.0, "{weight}");
    let users = sum("active_users").fold(0.0, f64::max);
    assert!((1.0..=51.0).contains(&users), "{weight}");
    // A user whose two requests fall into two windows is active in both.
    let all = sum("active_users").sum::<f64>();
    assert!((49.0..=101.0).contains(&all), "{weight}");
    let peak = &weight["peak"];
    let (total, each) = (&peak["total"], &peak["weight"]);
    let expected = total.as_f64().unwrap() / peak["active_users"].as_f64().unwrap();
    assert!((each.as_f64().unwrap() - expected).abs() < 1e-6 * expected);
}

#[test]
fn pages_and_answers_are_there() {
    let collector = Collector::start();
    assert_eq!(collector.get("/").status, 200, "an empty store has a page");
    let service = Service::start(Measured::by(&collector.url, "8f2c1a9", "web-1"), 1);
    ask(&format!("{}/work", service.url), 3, 200);
    assert!(service.stop(WAIT));

    let health = collector.get("/healthz");
    assert_eq!((health.status, health.text.as_str()), (200, "ok\n"));
    let metrics = collector.get("/metrics");
    assert_eq!(metrics.status, 200);
    assert!(
        collector.metric(r#"appweight_collector_batches_total{outcome="stored"} "#) > 0,
        "{metrics:?}"
    );
    for path in ["/", "/deploys/8f2c1a9", "/processes"] {
        let page = collector.get(path);
        assert_eq!(page.status, 200, "{path}: {}", page.text);
        assert!(page.content_type.starts_with("text/html"), "{path}");
        assert!(page.text.contains("8f2c1a9"), "{path}: {}", page.text);
    }
    let nowhere = collector.get("/deploys/never-seen");
    assert_eq!(nowhere.status, 404, "{}", nowhere.text);
    assert!(nowhere.content_type.starts_with("text/html"));
}

#[test]
fn the_openapi_document_tells_what_is_answered_and_nothing_else() {
    let collector = Collector::start();
    let document = collector.get("/v1/openapi.json").json();
    let paths = document["paths"].as_object().unwrap();

    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../collector/src/routes.rs");
    let source = std::fs::read_to_string(source).unwrap();
    let routes: BTreeSet<&str> = source
        .split(".route(\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    let told: BTreeSet<&str> = paths
        .keys()
        .map(String::as_str)
        .chain(["/v1/openapi.json"])
        .collect();
    assert_eq!(told, routes);

    for (path, methods) in paths {
        let path = path.replace(['{', '}'], "x");
        for method in ["get", "put", "post", "delete", "patch"] {
            let answer = call(method, &format!("{}{path}", collector.url));
            let known = methods.get(method).is_some_and(Value::is_object);
            assert_eq!(answer.status != 405, known, "{method} {path}: {answer:?}");
            assert!(
                !answer.text.contains("There is nothing at"),
                "{method} {path}: {answer:?}"
            );
            assert!(answer.status < 500, "{method} {path}: {answer:?}");
        }
    }
    assert_eq!(collector.get("/v1/nothing").status, 404);
}

fn call(method: &str, url: &str) -> Answer {
    match method {
        "get" => get(url),
        "post" => post(url, "application/json", b"{}"),
        _ => appweight_tests::send(method, url, "application/json", b"{}"),
    }
    .expect("the collector answers")
}
