//! What one request record adds to a batch as it is shipped: the demo's traffic, its batches as the agent sends them.
//!
//! Facts that the records lack here (instructions where the machine cannot count them, flags) are made up from the CPU time,
//! so that every field is set.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::print_stdout,
    reason = "the figures are wanted, not only whether they hold"
)]

#[expect(dead_code, reason = "each test binary uses a part of it")]
mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use appweight_agent::AppweightAlloc;
use appweight_wire::{
    Batch, Flag, Format, InstructionSource, RequestRecord, decode_batch, encode_packed,
};
use axum::Router;
use axum::routing::put;
use bytes::Bytes;
use common::{Database, Running, USERS};
use photo_backend::Variants;
use photo_backend::serve::MeasureOptions;
use photo_backend::traffic::{Targets, Traffic, TrafficOptions};
use tokio::net::TcpListener;

#[global_allocator]
static ALLOCATOR: AppweightAlloc = AppweightAlloc::system();

/// What a record may take with every field set, bytes.
const AIM: f64 = 60.0;

type Bodies = Arc<Mutex<Vec<Bytes>>>;

/// Keeps the bodies of all batches; gives its address.
async fn collector(bodies: &Bodies) -> String {
    let bodies = Arc::clone(bodies);
    let keep = move |body: Bytes| {
        bodies.lock().unwrap().push(body);
        std::future::ready("")
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = Router::new().route("/v1/batches/{id}", put(keep));
    tokio::spawn(async move { axum::serve(listener, service).await });
    format!("http://{address}")
}

/// As the demo measures, for some seconds.
async fn batches() -> Vec<Batch> {
    let bodies = Bodies::default();
    let database = Database::new();
    let measure = MeasureOptions {
        deploy: "8f2c1a9".into(),
        host: "web-1".into(),
        collector: collector(&bodies).await,
        cell_width: Duration::from_secs(1),
        warm_up: Duration::ZERO,
        record_one_in: 100,
        profile_one_in: 20,
    };
    let server = Running::measured(&database, Variants::default(), Some(measure)).await;
    let targets = Targets::new();
    targets.add(&server.url()).unwrap();
    let options = TrafficOptions {
        users: USERS,
        seeded_users: USERS,
        rate: 330.0,
        ..TrafficOptions::default()
    };
    let traffic = Traffic::start(options, targets).unwrap();
    tokio::time::sleep(Duration::from_secs(12)).await;
    let counts = traffic.stop().await;
    assert!(counts.ok > 1_000, "{counts:?}");
    server.stop().await;
    let bodies = bodies.lock().unwrap();
    let read = |body: &Bytes| {
        let body = zstd::stream::decode_all(body.as_ref()).unwrap();
        decode_batch(&body, Format::MessagePack).unwrap()
    };
    bodies.iter().map(read).collect()
}

/// Numbers of about the entropy that measured ones have, from the CPU time and its lowest digits.
fn fill(request: &mut RequestRecord) {
    let cpu = request.cpu_ns.unwrap_or(request.wall_ns);
    let noise = cpu.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    if request.instructions.is_none() {
        request.instruction_source = InstructionSource::HardwareUser;
    }
    request
        .instructions
        .get_or_insert(cpu * 3 + noise % 100_000);
    if request.flags.is_empty() {
        request.flags.push(Flag {
            name: "new-feed".into(),
            value: if noise.is_multiple_of(2) { "on" } else { "off" }.into(),
        });
    }
}

/// As the agent ships it.
fn shipped(batch: &Batch) -> f64 {
    zstd::bulk::compress(&encode_packed(batch), 1)
        .unwrap()
        .len() as f64
}

/// What those records add to their batches, bytes each; says it, too.
fn bytes_each(what: &str, batches: &[Batch], is_meant: fn(&RequestRecord) -> bool) -> f64 {
    let (mut bytes, mut records, mut number) = (0.0, 0, 0);
    for batch in batches {
        let mut with = batch.clone();
        with.requests.retain(is_meant);
        if with.requests.is_empty() {
            continue;
        }
        let mut without = with.clone();
        without.requests.clear();
        bytes += shipped(&with) - shipped(&without);
        records += with.requests.len();
        number += 1;
    }
    let each = bytes / records as f64;
    println!(
        "{what}: {number} batches of {:.1} records, {each:.1} B each",
        records as f64 / f64::from(number)
    );
    each
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_with_every_field_is_small() {
    let captured = batches().await;
    bytes_each("all, as captured", &captured, |_| true);
    let mut filled = captured;
    let requests = filled.iter_mut().flat_map(|batch| &mut batch.requests);
    requests.for_each(fill);
    let drawn = |request: &RequestRecord| request.weight > 0;
    let all = filled.iter().flat_map(|batch| &batch.requests);
    assert!(all.clone().count() > 50);
    for request in all.filter(|request| drawn(request)) {
        assert!(request.cpu_ns.is_some() && request.allocated_bytes.is_some());
        assert!(request.rss_start_bytes.is_some() && request.rss_end_bytes.is_some());
    }
    let each = bytes_each("all, every field set", &filled, |_| true);
    // A batch has the costliest of each endpoint beside them, so that these are never alone.
    bytes_each("those of one in 100 alone, every field set", &filled, drawn);
    assert!(each <= AIM, "{each} B");
}
