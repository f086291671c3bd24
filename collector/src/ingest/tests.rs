use appweight_wire::{Content, Format, encode};
use axum::body::Body;
use bytes::Bytes;
use http::{Request, header};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::retention;
use crate::store::{CellQuery, Store, TimeRange};
use crate::testing::{Bench, NOON, SECOND, batch, cell, long_process, process, request};

async fn cells(bench: &Bench) -> Vec<appweight::evidence::PlacedCell> {
    let query = CellQuery {
        service: "photo".into(),
        deploys: Vec::new(),
        time: TimeRange::ALL,
    };
    bench.store.cells(query).await.unwrap()
}

fn full() -> appweight_wire::Batch {
    let mut batch = batch(1, 0, "a");
    batch.cells = vec![cell(NOON, &[5, 7])];
    batch.requests = vec![request(NOON, 5)];
    batch.processes = vec![process(NOON, 3)];
    batch
}

/// The batch of [`full`] as JSON with one value replaced.
fn with(pointer: &str, value: Value) -> Vec<u8> {
    let mut json = serde_json::to_value(full()).unwrap();
    *json.pointer_mut(pointer).unwrap() = value;
    json.to_string().into_bytes()
}

#[tokio::test]
async fn both_formats_are_taken_and_mean_the_same() {
    for format in [Format::MessagePack, Format::Json] {
        let bench = Bench::new();
        let body = encode(&full(), format);
        let uuid = full().id().to_string();
        let answer = bench.put(&uuid, format.content_type(), body.clone()).await;
        assert_eq!(
            (answer.status, answer.body),
            (StatusCode::CREATED, json!({"duplicate": false}))
        );
        let answer = bench.put(&uuid, format.content_type(), body).await;
        assert_eq!(
            (answer.status, answer.body),
            (StatusCode::OK, json!({"duplicate": true}))
        );
        let cells = cells(&bench).await;
        assert_eq!(cells.len(), 1);
        assert_eq!(cells[0].cell, cell(NOON, &[5, 7]));
    }
}

#[tokio::test]
async fn what_is_acknowledged_outlives_the_process() {
    let bench = Bench::new();
    assert_eq!(bench.put_batch(&full()).await.status, StatusCode::CREATED);
    let before = cells(&bench).await;
    // Dropped, not closed: as if the process had been killed.
    let Bench {
        folder,
        store,
        collector,
        ..
    } = bench;
    drop((store, collector));
    let bench = Bench::on(folder);
    assert_eq!(cells(&bench).await, before);
    assert_eq!(bench.put_batch(&full()).await.body["duplicate"], true);
    assert_eq!(bench.get("/v1/deploys").await.body[0]["deploy"]["id"], "a");
    bench.collector.close().await.unwrap();
    assert_eq!(cells(&bench).await, before);
}

#[tokio::test]
async fn bad_batches_are_refused_by_field_and_change_nothing() {
    /// Its name, the status, the field, the type and the body.
    type Case = (
        &'static str,
        u16,
        Option<&'static str>,
        &'static str,
        Vec<u8>,
    );
    let bench = Bench::new();
    let uuid = full().id().to_string();
    let (json, msgpack) = ("application/json", "application/msgpack");
    let packed = encode(&full(), Format::MessagePack);
    // Where a MessagePack integer stands, a float that is not a number.
    let mut with_nan = rmp_serde::to_vec_named(&json!({"version": 1, "sequence": 0})).unwrap();
    let at = with_nan.iter().rposition(|&byte| byte == 0).unwrap();
    with_nan.splice(at..=at, [0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0]);
    let cases: Vec<Case> = vec![
        ("not MessagePack", 400, Some("."), msgpack, vec![0xc1, 0xff]),
        (
            "cut off",
            400,
            Some("processes[0].dropped_total"),
            msgpack,
            packed[..packed.len() - 1].to_vec(),
        ),
        ("not JSON", 400, Some("."), json, b"cells: none".to_vec()),
        (
            "bytes after the end",
            400,
            Some("."),
            msgpack,
            [packed.as_slice(), b"x"].concat(),
        ),
        ("NaN", 400, Some("sequence"), msgpack, with_nan),
        (
            "NaN in JSON",
            400,
            Some("sequence"),
            json,
            br#"{"version":1,"sequence":NaN}"#.to_vec(),
        ),
        (
            "negative count",
            400,
            Some("cells[0].n"),
            json,
            with("/cells/0/n", json!(-1)),
        ),
        (
            "weight under n",
            422,
            Some("cells[0].weight"),
            json,
            with("/cells/0/weight", json!(1)),
        ),
        (
            "over-long name",
            422,
            Some("cells[0].endpoint"),
            json,
            with("/cells/0/endpoint", json!("x".repeat(201))),
        ),
        (
            "over-long service",
            422,
            Some("origin.service"),
            json,
            with("/origin/service", json!("x".repeat(201))),
        ),
        (
            "unknown version",
            422,
            Some("version"),
            json,
            with("/version", json!(9)),
        ),
        (
            "id of another batch",
            422,
            Some("uuid"),
            json,
            with("/sequence", json!(1)),
        ),
        (
            "over the limit",
            413,
            Some("."),
            msgpack,
            vec![0; 64 * 1024 + 1],
        ),
        (
            "another type",
            415,
            Some("Content-Type"),
            "text/plain",
            packed.clone(),
        ),
    ];
    for (name, status, field, content_type, body) in cases {
        let answer = bench.put(&uuid, content_type, body).await;
        assert_eq!(answer.body["field"].as_str(), field, "{name}: {answer:?}");
        answer.assert_problem(status, field);
    }
    bench
        .put("not-a-uuid", msgpack, packed.clone())
        .await
        .assert_problem(400, Some("uuid"));
    bench
        .put("%ff", msgpack, packed.clone())
        .await
        .assert_problem(400, None);
    let untyped = Request::put(format!("/v1/batches/{uuid}"))
        .body(Body::from(packed))
        .unwrap();
    bench
        .send(untyped)
        .await
        .assert_problem(415, Some("Content-Type"));

    assert!(cells(&bench).await.is_empty());
    assert_eq!(bench.get("/v1/services").await.body, json!([]));
    assert_eq!(bench.put_batch(&full()).await.body["duplicate"], false);
    let metrics = bench
        .get("/metrics")
        .await
        .body
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        metrics.contains(r#"appweight_collector_batches_total{outcome="refused"} 17"#),
        "{metrics}"
    );
    assert!(
        metrics.contains(r#"appweight_collector_batches_total{outcome="stored"} 1"#),
        "{metrics}"
    );
    assert!(
        metrics.contains(r#"appweight_collector_records_total{kind="cell"} 1"#),
        "{metrics}"
    );
    let value = |name: &str| -> f64 {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim().parse().unwrap()
    };
    assert_eq!(value("appweight_collector_lag_seconds_count"), 1.0);
    let room = value("appweight_collector_queue_room_bytes");
    assert_eq!(room, f64::from(64 << 20));
    assert_eq!(value("appweight_collector_queue_room_free_bytes"), room);
}

#[tokio::test]
async fn says_how_late_a_batch_comes() {
    let bench = Bench::new();
    bench.at(NOON + 31 * SECOND);
    let mut late = batch(1, 0, "a");
    late.cells = vec![cell(NOON, &[5]), cell(NOON - 5 * SECOND, &[5])];
    assert_eq!(bench.put_batch(&late).await.status.as_u16(), 201);
    // Nor has a clock that is ahead come before it was sent.
    let mut ahead = batch(2, 0, "a");
    ahead.cells = vec![cell(NOON + 60 * SECOND, &[5])];
    let body = encode(&ahead, Format::MessagePack);
    let id = ahead.id().to_string();
    let answer = bench.put(&id, "application/msgpack", body).await;
    assert_eq!(answer.status.as_u16(), 201);
    let metrics = bench
        .get("/metrics")
        .await
        .body
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        metrics.contains("appweight_collector_lag_seconds_sum 30.0\n"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_body_without_a_length_is_cut_at_the_limit() {
    struct Endless(usize);
    impl http_body::Body for Endless {
        type Data = Bytes;
        type Error = std::io::Error;
        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
            self.0 += 1;
            assert!(self.0 < 1_000, "it is read on and on");
            std::task::Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(
                &[0; 1024],
            )))))
        }
    }
    let bench = Bench::new();
    let request = Request::put(format!("/v1/batches/{}", full().id()))
        .header(header::CONTENT_TYPE, "application/msgpack")
        .body(Body::new(Endless(0)))
        .unwrap();
    bench.send(request).await.assert_problem(413, Some("."));
}

fn zstd(content: &[u8]) -> Vec<u8> {
    ::zstd::bulk::compress(content, 1).unwrap()
}

async fn put_encoded(bench: &Bench, encoding: &str, body: Vec<u8>) -> crate::testing::Answer {
    let request = Request::put(format!("/v1/batches/{}", full().id()))
        .header(header::CONTENT_TYPE, "application/msgpack")
        .header(header::CONTENT_ENCODING, encoding);
    bench.send(request.body(Body::from(body)).unwrap()).await
}

#[tokio::test]
async fn a_batch_is_the_same_however_it_is_compressed() {
    let bench = Bench::new();
    let plain = encode(&full(), Format::MessagePack);
    let answer = put_encoded(&bench, "zstd", zstd(&plain)).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let harder = ::zstd::bulk::compress(&plain, 19).unwrap();
    assert_ne!(harder, zstd(&plain));
    for (encoding, body) in [("zstd", harder), ("identity", plain)] {
        let answer = put_encoded(&bench, encoding, body).await;
        assert_eq!(answer.body, json!({"duplicate": true}), "{encoding}");
    }
    let mut other = full();
    other.cells[0] = cell(NOON, &[9]);
    put_encoded(&bench, "zstd", zstd(&encode(&other, Format::MessagePack)))
        .await
        .assert_problem(409, Some("uuid"));
    assert_eq!(cells(&bench).await[0].cell, cell(NOON, &[5, 7]));
}

#[tokio::test]
async fn what_cannot_be_decompressed_is_refused_and_changes_nothing() {
    let bench = Bench::new();
    let plain = encode(&full(), Format::MessagePack);
    let bomb = zstd(&vec![0; 100 << 20]);
    assert!(bomb.len() < 64 * 1024);
    put_encoded(&bench, "zstd", bomb)
        .await
        .assert_problem(413, Some("."));
    put_encoded(&bench, "zstd", plain.clone())
        .await
        .assert_problem(400, Some("."));
    let answer = put_encoded(&bench, "gzip", zstd(&plain)).await;
    answer.assert_problem(415, Some("Content-Encoding"));
    assert_eq!(answer.headers[header::ACCEPT_ENCODING], "zstd");
    let deploy = Request::post("/v1/deploys")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONTENT_ENCODING, "br");
    bench
        .send(deploy.body(Body::from("{}")).unwrap())
        .await
        .assert_problem(415, Some("Content-Encoding"));
    assert_eq!(bench.get("/v1/services").await.body, json!([]));
    let answer = put_encoded(&bench, "zstd", zstd(&plain)).await;
    assert_eq!(answer.status, StatusCode::CREATED);
}

#[tokio::test]
async fn other_bytes_under_a_known_id_are_refused() {
    let bench = Bench::new();
    bench.put_batch(&full()).await;
    let mut other = full();
    other.cells[0] = cell(NOON, &[9]);
    bench
        .put_batch(&other)
        .await
        .assert_problem(409, Some("uuid"));
    assert_eq!(cells(&bench).await[0].cell, cell(NOON, &[5, 7]));
}

#[tokio::test]
async fn a_full_store_is_told_and_the_batch_may_come_again() {
    let bench = Bench::new();
    let mut large = full();
    large.processes = (0..20).map(|at| long_process(NOON + at)).collect();
    bench.store.leave_room_for(Some(2)).await;
    let answer = bench.put_batch(&large).await;
    answer.assert_problem(503, None);
    assert!(answer.headers.contains_key(header::RETRY_AFTER));
    assert!(cells(&bench).await.is_empty());
    bench.store.leave_room_for(None).await;
    assert_eq!(bench.put_batch(&large).await.status, StatusCode::CREATED);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn request_records_alone_give_the_cells_that_an_agent_would_have_sent(
        seconds in prop::collection::vec(prop::collection::vec(any::<u32>(), 1..5), 1..4),
    ) {
        let seconds: Vec<Vec<u64>> = seconds.into_iter().map(|cpu_ns| cpu_ns.into_iter().map(u64::from).collect()).collect();
        let (mut counted, mut recorded) = (batch(1, 0, "a"), batch(1, 0, "a"));
        recorded.content = Content::Requests;
        recorded.cell_width_us = Some(SECOND);
        for (start_us, cpu_ns) in (NOON..).step_by(SECOND as usize).zip(&seconds) {
            counted.cells.push(cell(start_us, cpu_ns));
            recorded.requests.extend(cpu_ns.iter().map(|&cpu_ns| request(start_us + cpu_ns % SECOND, cpu_ns)));
        }
        let stored = |batch: appweight_wire::Batch| {
            tokio::runtime::Runtime::new().unwrap().block_on(async {
                let bench = Bench::new();
                assert_eq!(bench.put_batch(&batch).await.status, StatusCode::CREATED);
                cells(&bench).await
            })
        };
        prop_assert_eq!(stored(recorded), stored(counted));
    }
}

#[tokio::test]
async fn a_deploy_is_started_described_and_ended() {
    let bench = Bench::new();
    let answer = bench
        .post_deploy(json!({"service": "photo", "id": "a"}))
        .await;
    assert_eq!(answer.status, StatusCode::CREATED);
    assert_eq!(answer.body["started_us"], NOON);
    bench.at(NOON + SECOND);
    let answer = bench
        .post_deploy(json!({"service": "photo", "id": "b", "author": "Kim"}))
        .await;
    assert_eq!(answer.body["replaced"], "a");
    let end = json!({"service": "photo", "id": "b", "ended_us": NOON + 2 * SECOND});
    let answer = bench.post_deploy(end).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        answer.body,
        json!({
            "service": "photo", "id": "b", "started_us": NOON + SECOND, "ended_us": NOON + 2 * SECOND,
            "replaced": "a", "author": "Kim",
        })
    );
    let known = json!({"service": "photo", "id": "a", "started_us": NOON, "title": "First"});
    let answer = bench.post_deploy(known).await;
    assert_eq!(
        (answer.status, &answer.body["title"]),
        (StatusCode::OK, &json!("First"))
    );
    assert_eq!(answer.body["ended_us"], NOON + SECOND);
}

#[tokio::test]
async fn bad_deploys_are_refused_by_field() {
    let bench = Bench::new();
    for (status, field, body) in [
        (
            404,
            "id",
            json!({"service": "photo", "id": "a", "ended_us": NOON}),
        ),
        (422, "service", json!({"service": "", "id": "a"})),
        (
            422,
            "started_us",
            json!({"service": "photo", "id": "a", "started_us": 5}),
        ),
        (
            422,
            "ended_us",
            json!({"service": "photo", "id": "a", "started_us": NOON, "ended_us": NOON - 1}),
        ),
        (
            422,
            "link",
            json!({"service": "photo", "id": "a", "link": "javascript:alert(1)"}),
        ),
        (
            400,
            "started_us",
            json!({"service": "photo", "id": "a", "started_us": -1}),
        ),
        (400, ".", json!({"id": "a"})),
        (
            422,
            "started_us",
            json!({"service": "photo", "id": "a", "started_us": NOON + 3_601 * SECOND}),
        ),
        (
            422,
            "ended_us",
            json!({"service": "photo", "id": "a", "ended_us": NOON + 3_601 * SECOND}),
        ),
    ] {
        bench
            .post_deploy(body)
            .await
            .assert_problem(status, Some(field));
    }
    assert_eq!(bench.get("/v1/services").await.body, json!([]));
}

#[tokio::test]
async fn old_records_are_forgotten() {
    let bench = Bench::new();
    bench.put_batch(&full()).await;
    bench.at(NOON + 3 * 86_400 * SECOND);
    let forgotten = retention::forget(bench.collector.app()).await.unwrap();
    assert_eq!((forgotten.records, forgotten.cells), (2, 0));
    assert_eq!(bench.get("/v1/requests").await.body, json!([]));
    assert_eq!(cells(&bench).await.len(), 1);
    let metrics = bench.get("/metrics").await.body;
    let metrics = metrics.as_str().unwrap();
    for line in [
        "appweight_collector_forgotten_total{kind=\"record\"} 2".to_owned(),
        format!(
            "appweight_collector_retention_done_timestamp_seconds {}",
            NOON / SECOND + 3 * 86_400
        ),
    ] {
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
}
