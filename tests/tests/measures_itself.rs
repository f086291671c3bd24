//! A collector that is started with `--measure-itself` is a service in its own store.

use std::collections::BTreeMap;

use appweight_tests::{ByHand, Collector, an_hour_ago};
use serde_json::Value;

const ITSELF: &str = "appweight-collector";

#[test]
fn its_own_requests_are_a_service_and_its_own_batches_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut collector = Collector::start_with(folder.path(), |command| {
        command.env("APPWEIGHT_MEASURE_ITSELF", "true");
    });
    let mut client = ByHand::new(&collector.url, "photos", "a", "web-1");
    let batch = client.batch(&[ByHand::request(an_hour_ago(), "/feed", 700_000)]);
    assert_eq!(client.send(&batch).unwrap().status, 201);
    for _ in 0..3 {
        assert_eq!(collector.get("/v1/services").status, 200);
    }
    assert_eq!(collector.get("/healthz").status, 200);
    assert_eq!(collector.get("/").status, 200);
    // What was counted comes with the last batch, before it ends.
    assert!(collector.stop().success());

    collector.restart();
    let services = collector.get("/v1/services").json();
    let services = services.as_array().unwrap().iter();
    let services: Vec<&Value> = services.map(|service| &service["service"]).collect();
    assert_eq!(services, [ITSELF, "photos"]);
    // Of each route the costliest is recorded at least.
    let recorded = collector.get(&format!("/v1/requests?service={ITSELF}&limit=1000"));
    let mut routes: BTreeMap<String, u64> = BTreeMap::new();
    for view in recorded.json().as_array().unwrap() {
        let route = view["request"]["endpoint"].as_str().unwrap();
        *routes.entry(route.to_owned()).or_default() += 1;
    }
    let routes: Vec<&str> = routes.keys().map(String::as_str).collect();
    assert_eq!(
        routes,
        ["/", "/healthz", "/v1/batches/{uuid}", "/v1/services"]
    );
    let processes = collector.get(&format!("/v1/processes?service={ITSELF}"));
    let process = &processes.json()[0];
    assert_eq!(
        process["deploy"],
        format!("appweight-{}", env!("CARGO_PKG_VERSION"))
    );
    // The client's batch, and none of the agent's.
    assert_eq!(process["requests_total"], 6, "{processes:?}");
}
