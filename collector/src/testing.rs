//! What the tests of this crate share: batches, and a collector with a clock of its own.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use appweight::profile::{Profile, Timer, to_record};
use appweight_wire::{
    ActiveUsers, Age, Batch, Cell, CellKey, Content, CounterStatus, Format, Function,
    InstructionSource, Kind, Origin, ProcessRecord, ProfileRecord, RequestRecord, VERSION, encode,
};
use axum::body::Body;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use uuid::Uuid;

use crate::app::App;
use crate::store::SqliteStore;
use crate::{Clock, Collector, CollectorOptions};

#[cfg(feature = "clickhouse")]
#[path = "../../tests/src/left_out.rs"]
#[expect(unreachable_pub, reason = "it is another crate's too")]
mod left_out;

#[cfg(feature = "clickhouse")]
pub(crate) use left_out::left_out;

pub(crate) const SECOND: u64 = 1_000_000;
/// Some Monday.
pub(crate) const NOON: u64 = 1_790_000_000 * SECOND;

/// A batch of process `source` of service `photo`.
pub(crate) fn batch(source: u128, sequence: u64, deploy: &str) -> Batch {
    Batch {
        version: VERSION,
        source: Uuid::from_u128(source),
        sequence,
        origin: Origin {
            service: "photo".into(),
            deploy: deploy.into(),
            host: format!("web-{source}"),
            ..Origin::default()
        },
        content: Content::Cells,
        cell_width_us: None,
        cells: Vec::new(),
        requests: Vec::new(),
        processes: Vec::new(),
        profiles: Vec::new(),
    }
}

/// A cell of a second in which `/feed` was asked for once for each CPU time.
pub(crate) fn cell(start_us: u64, cpu_ns: &[u64]) -> Cell {
    let mut cell = Cell::new(CellKey {
        start_us,
        width_us: SECOND,
        kind: Kind::Request,
        endpoint: "/feed".into(),
        instruction_source: InstructionSource::None,
        age: Age::Warm,
        flag: None,
    });
    cell.n = cpu_ns.len() as u64;
    cell.weight = cell.n;
    for &value in cpu_ns {
        cell.cpu_ns.get_or_insert_default().observe(value);
        cell.wall_ns.get_or_insert_default().observe(2 * value);
    }
    cell
}

/// The record of one of the requests of [`cell`].
pub(crate) fn request(start_us: u64, cpu_ns: u64) -> RequestRecord {
    RequestRecord {
        start_us,
        endpoint: "/feed".into(),
        weight: 1,
        cpu_ns: Some(cpu_ns),
        wall_ns: 2 * cpu_ns,
        ..RequestRecord::default()
    }
}

/// A process record of a second.
pub(crate) fn process(start_us: u64, users: u64) -> ProcessRecord {
    let mut active_users = ActiveUsers::new();
    for user in 0..users {
        active_users.insert_hash(user);
    }
    ProcessRecord {
        start_us,
        width_us: SECOND,
        process_age_us: 600 * SECOND,
        cpu_ns: 500_000_000,
        instructions: None,
        cpu_outside_ns: None,
        rss_bytes: Some(50_000_000),
        anonymous_bytes: None,
        page_faults: None,
        context_switches: None,
        requests_total: 70,
        endpoints: Vec::new(),
        active_users: Some(active_users),
        cpu_model: String::new(),
        kernel: String::new(),
        counters: vec![CounterStatus {
            name: "instructions".into(),
            read_by: None,
            absent_because: Some("no PMU".into()),
        }],
        clock_checks_total: 0,
        clock_disagreements_total: 0,
        agent_cpu_ns: 0,
        agent_bytes_sent: 0,
        dropped_total: 0,
    }
}

/// One of 2 kB, which nothing makes shorter.
pub(crate) fn long_process(start_us: u64) -> ProcessRecord {
    ProcessRecord {
        kernel: "x".repeat(2_000),
        ..process(start_us, 0)
    }
}

/// The profile of one request to `/feed` in a second, with what each chain of calls (`feed;query`) itself cost.
pub(crate) fn profile(start_us: u64, stacks: &[(&str, i64)]) -> ProfileRecord {
    let mut profile = Profile::new(Timer::new("cpu", "ns"));
    for (stack, own) in stacks {
        let node = stack.split(';').fold(profile.root(), |node, name| {
            profile.child(node, &Function::named(name))
        });
        profile.add(node, 1, *own);
    }
    profile.count(1, 0);
    ProfileRecord {
        start_us,
        width_us: SECOND,
        endpoint: "/feed".into(),
        ..to_record(&profile)
    }
}

/// A collector on a file that goes away with it, at a time that the test sets.
pub(crate) struct Bench {
    pub(crate) collector: Collector,
    pub(crate) store: SqliteStore,
    pub(crate) folder: tempfile::TempDir,
    now_us: Arc<AtomicU64>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::on(tempfile::tempdir().unwrap())
    }

    /// On a file that may be there already.
    pub(crate) fn on(folder: tempfile::TempDir) -> Self {
        Self::of(folder, |_| {})
    }

    /// With other options.
    pub(crate) fn with(set: impl FnOnce(&mut CollectorOptions)) -> Self {
        Self::of(tempfile::tempdir().unwrap(), set)
    }

    /// The same store after a restart, with these options.
    pub(crate) fn restarted(self, set: impl FnOnce(&mut CollectorOptions)) -> Self {
        let now_us = self.now_us.load(Ordering::Relaxed);
        let bench = Self::of(self.folder, set);
        bench.at(now_us);
        bench
    }

    fn of(folder: tempfile::TempDir, set: impl FnOnce(&mut CollectorOptions)) -> Self {
        let now_us = Arc::new(AtomicU64::new(NOON));
        let store = SqliteStore::open(&folder.path().join("test.db")).unwrap();
        let mut options = CollectorOptions {
            settle: Duration::from_secs(10),
            body_limit: 64 * 1024,
            keep_rolling: Duration::ZERO,
            clock: Clock::new({
                let now_us = Arc::clone(&now_us);
                move || now_us.load(Ordering::Relaxed)
            }),
            ..CollectorOptions::default()
        };
        set(&mut options);
        let collector = Collector::of(App::new(Arc::new(store.clone()), options));
        Self {
            collector,
            store,
            folder,
            now_us,
        }
    }

    /// Another collector on the same file, at the same time.
    pub(crate) fn another(&self, set: impl FnOnce(&mut CollectorOptions)) -> Collector {
        let store = SqliteStore::open(&self.folder.path().join("test.db")).unwrap();
        let mut options = self.collector.app().options.clone();
        set(&mut options);
        Collector::of(App::new(Arc::new(store), options))
    }

    /// Sets the time.
    pub(crate) fn at(&self, now_us: u64) {
        self.now_us.store(now_us, Ordering::Relaxed);
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.collector.router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: serde_json::from_slice(&body)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned())),
        }
    }

    pub(crate) async fn get(&self, uri: &str) -> Answer {
        self.send(Request::get(uri).body(Body::empty()).unwrap())
            .await
    }

    pub(crate) async fn put(&self, uuid: &str, content_type: &str, body: Vec<u8>) -> Answer {
        let request =
            Request::put(format!("/v1/batches/{uuid}")).header(header::CONTENT_TYPE, content_type);
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    /// Sends a batch, not before the last of its records is over.
    pub(crate) async fn put_batch(&self, batch: &Batch) -> Answer {
        let cells = batch
            .cells
            .iter()
            .map(|cell| cell.key.start_us + cell.key.width_us);
        let processes = batch
            .processes
            .iter()
            .map(|process| process.start_us + process.width_us);
        let profiles = batch
            .profiles
            .iter()
            .map(|profile| profile.start_us + profile.width_us);
        let over_us = cells.chain(processes).chain(profiles).max().unwrap_or(0);
        self.now_us.fetch_max(over_us, Ordering::Relaxed);
        let body = encode(batch, Format::MessagePack);
        self.put(&batch.id().to_string(), "application/msgpack", body)
            .await
    }

    pub(crate) async fn post_deploy(&self, json: Value) -> Answer {
        self.post("/v1/deploys", json).await
    }

    pub(crate) async fn post(&self, path: &str, json: Value) -> Answer {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(Body::from(json.to_string())).unwrap())
            .await
    }

    /// A minute, so many seconds after noon, in which two hosts run the first and two the second of these deploys side by
    /// side, 50 requests a second at that cost. It ends ten seconds after the second was rolled out everywhere.
    pub(crate) async fn roll_out(&self, start: u64, ids: [&str; 2], costs_ns: [u64; 2]) {
        let start_us = NOON + start * SECOND;
        self.post_deploy(json!({"service": "photo", "id": ids[1], "started_us": start_us}))
            .await;
        for (source, side) in [(1, 0), (2, 0), (3, 1), (4, 1)] {
            let mut batch = batch(u128::from(start) * 10 + source, start, ids[side]);
            for second in 0..60 {
                // Spread evenly within a tenth of the mean.
                let cpu_ns: Vec<u64> = (0..50)
                    .map(|at| costs_ns[side] * (90 + (at * 7 + second) % 21) / 100)
                    .collect();
                batch.cells.push(cell(start_us + second * SECOND, &cpu_ns));
            }
            assert_eq!(self.put_batch(&batch).await.status.as_u16(), 201);
        }
        self.at(start_us + 60 * SECOND);
        let end = json!({"service": "photo", "id": ids[1], "ended_us": start_us + 60 * SECOND});
        self.post_deploy(end).await;
        self.at(start_us + 70 * SECOND);
    }
}

/// A body that never comes to its end.
pub(crate) struct Halted;

impl http_body::Body for Halted {
    type Data = Bytes;
    type Error = std::io::Error;
    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
        Poll::Pending
    }
}

/// An answer that was read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// Checks that it is a problem of that status that names that field.
    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16, field: Option<&str>) {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(
            self.headers[header::CONTENT_TYPE],
            "application/problem+json"
        );
        assert_eq!(self.body["status"], status);
        assert_eq!(self.body["field"].as_str(), field, "{self:?}");
        assert!(!self.body["detail"].as_str().unwrap().is_empty());
    }
}
