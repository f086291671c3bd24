//! Every refusal is driven once, and held against the document: what it tells has to be there, headers too.

use std::time::Duration;

use appweight_wire::{Format, encode};
use axum::body::Body;
use http::header::{ACCEPT_ENCODING, ALLOW, LINK, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, Method, Request, header};
use serde_json::{Value, json};

use crate::testing::{Answer, Bench, Halted, NOON, batch, cell, long_process};
use crate::{Access, CollectorOptions};

/// Headers that say what to do next.
const TELLING: [HeaderName; 5] = [ACCEPT_ENCODING, ALLOW, LINK, RETRY_AFTER, WWW_AUTHENTICATE];
const WRITES: [(&str, &str); 3] = [
    ("put", "/v1/batches/{uuid}"),
    ("post", "/v1/deploys"),
    ("post", "/v1/alerts"),
];

/// Checks that the document tells such an answer of an operation, and gives back which of the headers it has.
#[track_caller]
fn told(answer: &Answer, status: u16, method: &str, path: &str) -> Vec<HeaderName> {
    let document = serde_json::to_value(crate::document()).unwrap();
    assert_eq!(
        answer.status.as_u16(),
        status,
        "{method} {path}: {answer:?}"
    );
    let said = &document["paths"][path][method]["responses"][status.to_string()];
    assert!(said.is_object(), "{method} {path} {status}");
    let declared = said["headers"].as_object();
    let declared = |name: &HeaderName| {
        declared.is_some_and(|all| {
            all.keys()
                .any(|one| one.eq_ignore_ascii_case(name.as_str()))
        })
    };
    for name in TELLING {
        let is_sent = answer.headers.contains_key(&name);
        // A page may be the last one, and the type be at fault.
        let may_lack = [LINK, ACCEPT_ENCODING].contains(&name);
        assert!(
            declared(&name) == is_sent || declared(&name) && may_lack,
            "{name} of {method} {path} {status}"
        );
    }
    let sent = TELLING.into_iter();
    sent.filter(|name| answer.headers.contains_key(name))
        .collect()
}

/// The operations that read, each with an address.
fn questions() -> Vec<(String, String)> {
    let document = serde_json::to_value(crate::document()).unwrap();
    let mut questions = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let Some(question) = operations.get("get") else {
            continue;
        };
        let given = question["parameters"].as_array().into_iter().flatten();
        let given: Vec<String> = given
            .filter(|parameter| parameter["required"] == true && parameter["in"] == "query")
            .map(|parameter| format!("{}=a", parameter["name"].as_str().unwrap()))
            .collect();
        let uri = format!("{}?{}", path.replace("{id}", "a"), given.join("&"));
        questions.push((path.clone(), uri));
    }
    questions
}

fn full(sequence: u64) -> appweight_wire::Batch {
    let mut batch = batch(1, sequence, "a");
    batch.cells = vec![cell(NOON, &[5])];
    batch
}

/// What is taken by that operation, or would be.
fn body(path: &str) -> Vec<u8> {
    match path {
        "/v1/batches/{uuid}" => encode(&full(0), Format::Json),
        "/v1/deploys" => json!({"service": "photo", "id": "b"}).to_string().into(),
        _ => json!({"service": "photo", "deploy": "a", "state": "acknowledged"})
            .to_string()
            .into(),
    }
}

fn request(method: &str, path: &str) -> http::request::Builder {
    let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
    Request::builder()
        .method(method)
        .uri(path.replace("{uuid}", &full(0).id().to_string()))
        .header(header::CONTENT_TYPE, "application/json")
}

#[tokio::test]
async fn without_a_token() {
    let bench = Bench::with(|options: &mut CollectorOptions| {
        let mut access = Access::default();
        let lists = "read may-read-0123456789\nwrite small may-write-0123456789";
        access.add_list(lists).unwrap();
        options.access = access;
    });
    for (path, uri) in questions() {
        if ["/healthz", "/v1/openapi.json"].contains(&path.as_str()) {
            continue;
        }
        let sent = told(&bench.get(&uri).await, 401, "get", &path);
        assert_eq!(sent, [WWW_AUTHENTICATE]);
    }
    for (method, path) in WRITES {
        let without = request(method, path).body(Body::from(body(path)));
        let answer = bench.send(without.unwrap()).await;
        assert_eq!(told(&answer, 401, method, path), [WWW_AUTHENTICATE]);
        let of_another = request(method, path)
            .header(header::AUTHORIZATION, "Bearer may-write-0123456789")
            .body(Body::from(body(path)));
        let answer = bench.send(of_another.unwrap()).await;
        assert!(told(&answer, 403, method, path).is_empty());
    }
}

#[tokio::test]
async fn what_is_wrong_or_not_there() {
    let bench = Bench::new();
    assert_eq!(bench.put_batch(&full(0)).await.status, 201);
    for (path, uri) in questions() {
        if path.starts_with("/v1") && path != "/v1/openapi.json" {
            let answer = bench.get(&format!("{uri}&unknown=1")).await;
            assert!(told(&answer, 400, "get", &path).is_empty());
        }
    }
    let other = full(0);
    let other = appweight_wire::Batch {
        cells: vec![cell(NOON, &[7])],
        ..other
    };
    let (method, path) = WRITES[0];
    assert!(told(&bench.put_batch(&other).await, 409, method, path).is_empty());
    let nothing_to_end = json!({"service": "photo", "id": "x", "ended_us": NOON});
    let answer = bench.post_deploy(nothing_to_end).await;
    assert!(told(&answer, 404, "post", "/v1/deploys").is_empty());
}

#[tokio::test]
async fn a_body_that_cannot_be() {
    let bench = Bench::with(|options| options.body_patience = Duration::from_millis(10));
    for (method, path) in WRITES {
        let send = async |request: http::request::Builder, body: Vec<u8>| {
            bench.send(request.body(Body::from(body)).unwrap()).await
        };
        let answer = send(request(method, path), b"none".to_vec()).await;
        assert!(told(&answer, 400, method, path).is_empty());
        let answer = send(request(method, path), vec![b' '; 64 * 1_024 + 1]).await;
        assert!(told(&answer, 413, method, path).is_empty());
        let gzip = request(method, path).header(header::CONTENT_ENCODING, "gzip");
        let answer = send(gzip, body(path)).await;
        assert_eq!(told(&answer, 415, method, path), [ACCEPT_ENCODING]);
        let mut text = request(method, path);
        let headers = text.headers_mut().unwrap();
        headers.insert(header::CONTENT_TYPE, "text/plain".parse().unwrap());
        assert!(told(&send(text, body(path)).await, 415, method, path).is_empty());
        let mut wrong: Value = serde_json::from_slice(&body(path)).unwrap();
        let name = if path.contains("batches") {
            "/origin/service"
        } else {
            "/service"
        };
        *wrong.pointer_mut(name).unwrap() = "".into();
        let answer = send(request(method, path), wrong.to_string().into()).await;
        assert!(told(&answer, 422, method, path).is_empty());
        let halted = request(method, path).body(Body::new(Halted));
        let answer = bench.send(halted.unwrap()).await;
        assert!(told(&answer, 408, method, path).is_empty());
    }
}

#[tokio::test]
async fn too_much_at_once() {
    let bench = Bench::with(|options| options.queue_bytes = 0);
    let app = bench.collector.app();
    let _batches = app.committer.seat(5 * 64 * 1_024).unwrap();
    let _posts = app.posts.all();
    let _small = app.turns.small.full();
    let _large = app.turns.large.full();
    for (method, path) in WRITES {
        let answer = request(method, path).body(Body::from(body(path)));
        let answer = bench.send(answer.unwrap()).await;
        assert_eq!(told(&answer, 429, method, path), [RETRY_AFTER]);
    }
    for (path, uri) in questions() {
        let answer = bench.get(&uri).await;
        if ["/healthz", "/metrics", "/v1/openapi.json"].contains(&path.as_str()) {
            assert!(told(&answer, 200, "get", &path).is_empty());
        } else {
            assert_eq!(told(&answer, 429, "get", &path), [RETRY_AFTER]);
        }
    }
}

#[tokio::test]
async fn a_store_that_fails() {
    let bench = Bench::new();
    let mut large = full(1);
    large.processes = (0..20).map(|at| long_process(NOON + at)).collect();
    bench.store.leave_room_for(Some(2)).await;
    let (method, path) = WRITES[0];
    let answer = bench.put_batch(&large).await;
    assert_eq!(told(&answer, 503, method, path), [RETRY_AFTER]);
    bench.store.leave_room_for(None).await;
    bench.store.lose_all().await;
    for (method, path) in WRITES {
        let answer = request(method, path).body(Body::from(body(path)));
        let answer = bench.send(answer.unwrap()).await;
        assert_eq!(told(&answer, 503, method, path), [RETRY_AFTER]);
    }
    for (path, uri) in questions() {
        let answer = bench.get(&uri).await;
        if ["/metrics", "/v1/openapi.json"].contains(&path.as_str()) {
            continue;
        }
        assert_eq!(told(&answer, 503, "get", &path), [RETRY_AFTER], "{path}");
    }
}
