//! What is refused names the field at fault and changes nothing.

use appweight_tests::{Answer, ByHand, Collector, an_hour_ago, post, put};
use serde_json::{Value, json};

/// All that the store can be asked.
fn state(collector: &Collector) -> Vec<String> {
    let mut state: Vec<String> = [
        "/v1/services",
        "/v1/deploys?service=photos",
        "/v1/deploys/good?service=photos",
        // Without the reference to which others are compared: records as old as it are forgotten at any moment.
        "/v1/requests?service=photos&deploy=good",
        "/v1/processes?service=photos",
        "/v1/weight?service=photos&from_us=1789999000000000&until_us=1790001000000000",
    ]
    .map(|path| {
        let answer = collector.get(path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.text
    })
    .to_vec();
    state.push(format!("{:?}", collector.counted("photos", "good")));
    for name in [
        r#"appweight_collector_batches_total{outcome="stored"} "#,
        r#"appweight_collector_records_total{kind="request"} "#,
        "appweight_collector_commit_seconds_count ",
    ] {
        state.push(format!("{name}{}", collector.metric(name)));
    }
    state
}

fn assert_refused(name: &str, answer: &Answer, status: u16, field: &str) {
    assert_eq!(answer.status, status, "{name}: {answer:?}");
    assert_eq!(answer.content_type, "application/problem+json", "{name}");
    let problem = answer.json();
    assert_eq!(problem["field"], field, "{name}: {answer:?}");
    assert_eq!(problem["status"], status, "{name}");
    let detail = problem["detail"].as_str().unwrap_or_default();
    assert!(detail.len() > 5, "{name}: {answer:?}");
}

#[test]
fn bad_batches_are_refused_by_field_and_change_nothing() {
    let collector = Collector::start();
    let mut client = ByHand::new(&collector.url, "photos", "good", "web-1");
    let good = client.batch(&[ByHand::request(an_hour_ago(), "/feed", 700_000)]);
    assert_eq!(client.send(&good).unwrap().status, 201);
    // The second look has what the first one stored to count by.
    let _ = state(&collector);
    let before = state(&collector);

    let next = client.batch(&[ByHand::request(an_hour_ago() + 1, "/feed", 900_000)]);
    let url = client.url(&next);
    let with = |pointer: &str, value: Value| {
        let mut batch = next.clone();
        *batch.pointer_mut(pointer).expect(pointer) = value;
        batch.to_string().into_bytes()
    };
    let (json, packed) = ("application/json", "application/msgpack");
    let text = next.to_string();
    // {"version": 1, "sequence": NaN}
    let nan = [
        b"\x82\xa7version\x01\xa8sequence\xcb\x7f\xf8".as_slice(),
        &[0; 6],
    ]
    .concat();
    let long = "x".repeat(201);
    let cases: Vec<(&str, u16, &str, &str, Vec<u8>)> = vec![
        ("not MessagePack", 400, ".", packed, vec![0xc1; 9]),
        ("JSON as MessagePack", 400, ".", packed, text.clone().into()),
        ("not JSON", 400, ".", json, b"no batch at all".to_vec()),
        (
            "half a batch",
            400,
            ".",
            json,
            text[..text.rfind('}').unwrap() - 3].into(),
        ),
        (
            "more than a batch",
            400,
            ".",
            json,
            format!("{text}{text}").into(),
        ),
        ("an empty body", 400, ".", json, Vec::new()),
        (
            "another type",
            415,
            "Content-Type",
            "text/plain",
            text.clone().into(),
        ),
        (
            "over the limit",
            413,
            ".",
            packed,
            vec![0; 8 * 1024 * 1024 + 1],
        ),
        (
            "a long service",
            422,
            "origin.service",
            json,
            with("/origin/service", json!(long)),
        ),
        (
            "a long endpoint",
            422,
            "requests[0].endpoint",
            json,
            with("/requests/0/endpoint", json!(long)),
        ),
        (
            "no name",
            422,
            "origin.deploy",
            json,
            with("/origin/deploy", json!("")),
        ),
        (
            "a negative weight",
            400,
            "requests[0].weight",
            json,
            with("/requests/0/weight", json!(-1)),
        ),
        (
            "a negative time",
            400,
            "requests[0].cpu_ns",
            json,
            with("/requests/0/cpu_ns", json!(-5)),
        ),
        (
            "a fraction",
            400,
            "requests[0].cpu_ns",
            json,
            with("/requests/0/cpu_ns", json!(0.5)),
        ),
        (
            "weight of nothing",
            422,
            "requests[0].weight",
            json,
            with("/requests/0/weight", json!(0)),
        ),
        (
            "seconds for µs",
            422,
            "requests[0].start_us",
            json,
            with("/requests/0/start_us", json!(1_790_000_000)),
        ),
        (
            "NaN in JSON",
            400,
            "sequence",
            json,
            br#"{"version":1,"sequence":NaN}"#.to_vec(),
        ),
        ("NaN in MessagePack", 400, "sequence", packed, nan),
        (
            "an unknown version",
            422,
            "version",
            json,
            with("/version", json!(7)),
        ),
        (
            "another source",
            422,
            "uuid",
            json,
            with("/source", json!("01234567-89ab-4def-8123-456789abcdef")),
        ),
    ];
    for (name, status, field, content_type, body) in cases {
        let answer = put(&url, content_type, &body).unwrap();
        assert_refused(name, &answer, status, field);
    }
    let answer = put(&url.replace("batches/", "batches/x"), json, text.as_bytes()).unwrap();
    assert_refused("no uuid", &answer, 400, "uuid");
    let wrong = format!("{}/v1/batches/{}", collector.url, client.id(99));
    let answer = put(&wrong, json, text.as_bytes()).unwrap();
    assert_refused("the uuid of another batch", &answer, 422, "uuid");
    let mut other = good.clone();
    other["requests"][0]["cpu_ns"] = json!(1);
    assert_refused("other bytes", &client.send(&other).unwrap(), 409, "uuid");

    assert_eq!(state(&collector), before);
    assert_eq!(
        collector.metric(r#"appweight_collector_batches_total{outcome="conflict"} "#),
        1
    );
    assert_eq!(
        client.send(&next).unwrap().status,
        201,
        "the good one is still taken"
    );
    collector.expect_requests("photos", "good", &[("/feed", 2)]);
}

#[test]
fn bad_deploys_and_questions_are_refused_by_field() {
    let collector = Collector::start();
    let mut client = ByHand::new(&collector.url, "photos", "good", "web-1");
    let good = client.batch(&[ByHand::request(an_hour_ago(), "/feed", 700_000)]);
    assert_eq!(client.send(&good).unwrap().status, 201);
    let _ = state(&collector);
    let before = state(&collector);

    let url = format!("{}/v1/deploys", collector.url);
    for (name, status, field, deploy) in [
        ("no id", 422, "id", json!({"service": "photos", "id": ""})),
        (
            "a long id",
            422,
            "id",
            json!({"service": "photos", "id": "x".repeat(201)}),
        ),
        (
            "a long title",
            422,
            "title",
            json!({"service": "photos", "id": "a", "title": "x".repeat(2_001)}),
        ),
        (
            "a negative start",
            400,
            "started_us",
            json!({"service": "photos", "id": "a", "started_us": -1}),
        ),
        (
            "an unknown one to end",
            404,
            "id",
            json!({"service": "photos", "id": "unknown", "ended_us": an_hour_ago()}),
        ),
        (
            "a script",
            422,
            "link",
            json!({"service": "photos", "id": "a", "link": "javascript:alert(1)"}),
        ),
    ] {
        let answer = post(&url, "application/json", deploy.to_string().as_bytes()).unwrap();
        assert_refused(name, &answer, status, field);
    }
    for (path, status, field) in [
        ("/v1/deploys/unknown?service=photos", 404, "id"),
        (
            "/v1/compare?service=photos&base=good&head=unknown",
            404,
            "head",
        ),
        (
            "/v1/compare?service=photos&base=unknown&head=good",
            404,
            "base",
        ),
        ("/v1/compare?service=photos&base=good", 400, "head"),
        ("/v1/weight?service=unknown", 404, "service"),
        ("/v1/weight?service=photos&from_us=NaN", 400, "from_us"),
        ("/v1/weight?service=photos&window_us=-1", 400, "window_us"),
        ("/v1/requests?service=photos&order=sideways", 400, "order"),
        ("/v1/requests?service=photos&limt=5", 400, "limt"),
    ] {
        assert_refused(path, &collector.get(path), status, field);
    }
    assert_eq!(state(&collector), before);
}
