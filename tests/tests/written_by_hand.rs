//! An agent in another language: clients that know `docs/wire.md` and nothing of the Rust types.

use appweight_tests::{ByHand, Collector, Counted, an_hour_ago, put, put_encoded};
use serde_json::{Value, json};

const SECOND: u64 = 1_000_000;

fn requests() -> Vec<Value> {
    let mut failed = ByHand::request(an_hour_ago() + 3, "/save", 500_000);
    failed["error"] = json!(true);
    failed["status"] = json!(503);
    vec![
        ByHand::request(an_hour_ago(), "/feed/{user}", 800_000),
        ByHand::request(an_hour_ago() + 1, "/feed/{user}", 1_200_000),
        ByHand::request(an_hour_ago() + 2 * SECOND, "/feed/{user}", 1_000_000),
        ByHand::request(an_hour_ago() + 2, "/save", 300_000),
        failed,
    ]
}

fn expected() -> Vec<(String, Counted)> {
    let counted = |requests, errors, cpu_ns| Counted {
        requests,
        weight: requests,
        errors,
        cpu_ns,
    };
    vec![
        ("/feed/{user}".to_owned(), counted(3, 0, 1_000_000.0)),
        ("/save".to_owned(), counted(2, 1, 400_000.0)),
    ]
}

fn stored(collector: &Collector, deploy: &str) -> Vec<(String, Counted)> {
    let counted = collector.counted("photos", deploy).expect("it has cells");
    counted.into_iter().collect()
}

#[test]
fn request_records_as_json_are_counted() {
    let collector = Collector::start();
    let mut client = ByHand::new(&collector.url, "photos", "json", "web-1");
    let batch = client.batch(&requests());
    let first = client.send(&batch).unwrap();
    assert_eq!(
        (first.status, first.json()),
        (201, json!({"duplicate": false}))
    );
    let again = client.send(&batch).unwrap();
    assert_eq!(
        (again.status, again.json()),
        (200, json!({"duplicate": true}))
    );
    assert_eq!(stored(&collector, "json"), expected());
    let recorded = collector.get("/v1/requests?service=photos&deploy=json");
    assert_eq!(recorded.json().as_array().map(Vec::len), Some(5));
}

#[test]
fn request_records_as_messagepack_are_counted_alike() {
    let collector = Collector::start();
    let mut client = ByHand::new(&collector.url, "photos", "packed", "web-1");
    let batch = client.batch(&requests());
    let id = client.id(0);
    let source = batch["source"].as_str().unwrap().parse().unwrap();
    let answer = put(
        &client.url(&batch),
        "application/msgpack",
        &packed(&batch, source),
    )
    .unwrap();
    assert_eq!(answer.status, 201, "{id}: {answer:?}");
    assert_eq!(stored(&collector, "packed"), expected());
    // The same values in other bytes are not the same batch.
    let json = client.send(&batch).unwrap();
    assert_eq!((json.status, &json.json()["field"]), (409, &json!("uuid")));
}

#[test]
fn a_batch_may_be_compressed_and_is_the_same_then() {
    let collector = Collector::start();
    let mut client = ByHand::new(&collector.url, "photos", "zstd", "web-1");
    let batch = client.batch(&requests());
    let url = client.url(&batch);
    let body = zstd::stream::encode_all(batch.to_string().as_bytes(), 3).unwrap();
    let send = |encoding, body| put_encoded(&url, "application/json", encoding, body).unwrap();
    assert_eq!(send("zstd", &body).status, 201);
    assert_eq!(client.send(&batch).unwrap().json()["duplicate"], true);
    assert_eq!(stored(&collector, "zstd"), expected());
    let unknown = send("gzip", &body);
    assert_eq!(
        (unknown.status, &unknown.json()["field"]),
        (415, &json!("Content-Encoding"))
    );
}

#[test]
fn cells_made_by_hand_are_those_that_the_collector_makes() {
    let collector = Collector::start();
    let mut client = ByHand::new(&collector.url, "photos", "cells", "web-1");
    let mut batch = client.batch(&[]);
    let map = batch.as_object_mut().unwrap();
    map.remove("content");
    map.remove("cell_width_us");
    let cell = |start_us: u64, endpoint: &str, errors: u64, values: &[u64]| {
        json!({
            "start_us": start_us, "width_us": SECOND, "endpoint": endpoint,
            "n": values.len(), "weight": values.len(), "errors": errors,
            "cpu_ns": distribution(values),
        })
    };
    batch["cells"] = json!([
        cell(an_hour_ago(), "/feed/{user}", 0, &[800_000, 1_200_000]),
        cell(an_hour_ago() + 2 * SECOND, "/feed/{user}", 0, &[1_000_000]),
        cell(an_hour_ago(), "/save", 1, &[300_000, 500_000]),
    ]);
    let answer = client.send(&batch).unwrap();
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(stored(&collector, "cells"), expected());
}

/// The document's distribution, word for word.
fn distribution(values: &[u64]) -> Value {
    let logs: Vec<u64> = values
        .iter()
        .map(|&v| ((v.max(1) as f64).log2() * 65_536.0).round() as u64)
        .collect();
    let wide = |numbers: &[u64]| {
        let sum: u128 = numbers.iter().map(|&v| u128::from(v).pow(2)).sum();
        json!([(sum >> 64) as u64, sum as u64])
    };
    let mut histogram = std::collections::BTreeMap::<u64, u64>::new();
    for &v in values {
        let e = u64::from(v.ilog2());
        let bucket = if v < 8 {
            v
        } else {
            8 * (e - 2) + (v >> (e - 3)) - 8
        };
        *histogram.entry(bucket).or_default() += 1;
    }
    json!({
        "n": values.len(),
        "sum": values.iter().sum::<u64>(),
        "sum_squares": wide(values),
        "sum_logs": logs.iter().sum::<u64>(),
        "sum_squared_logs": wide(&logs),
        "min": values.iter().min(),
        "max": values.iter().max(),
        "histogram": histogram.into_iter().collect::<Vec<_>>(),
    })
}

/// A batch as MessagePack, byte by byte: maps, arrays, strings, unsigned integers, and the source as
/// 16 bytes.
fn packed(batch: &Value, source: uuid::Uuid) -> Vec<u8> {
    let mut bytes = Vec::new();
    pack(batch, &mut bytes);
    // fixstr "source", then str8 with 36 characters, which becomes bin8 with 16.
    let name = [b"\xa6source".as_slice(), &[0xd9, 36]].concat();
    let at = bytes
        .windows(name.len())
        .position(|window| window == name)
        .expect("it has a source");
    let value = at + 7;
    let bin = [[0xc4, 16].as_slice(), source.as_bytes()].concat();
    bytes.splice(value..value + 38, bin);
    bytes
}

fn pack(value: &Value, bytes: &mut Vec<u8>) {
    match value {
        Value::Null => bytes.push(0xc0),
        Value::Bool(false) => bytes.push(0xc2),
        Value::Bool(true) => bytes.push(0xc3),
        Value::Number(number) => {
            bytes.push(0xcf);
            bytes.extend(number.as_u64().expect("a whole number").to_be_bytes());
        }
        Value::String(text) => {
            match u8::try_from(text.len()).expect("a short text") {
                short @ 0..32 => bytes.push(0xa0 | short),
                long => bytes.extend([0xd9, long]),
            }
            bytes.extend(text.as_bytes());
        }
        Value::Array(list) => {
            bytes.push(0xdc);
            bytes.extend(
                u16::try_from(list.len())
                    .expect("a short list")
                    .to_be_bytes(),
            );
            list.iter().for_each(|value| pack(value, bytes));
        }
        Value::Object(map) => {
            bytes.push(0xde);
            bytes.extend(u16::try_from(map.len()).expect("a small map").to_be_bytes());
            for (name, value) in map {
                pack(&json!(name), bytes);
                pack(value, bytes);
            }
        }
    }
}
