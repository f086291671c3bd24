//! A collector of a few lines that keeps what it is sent, and CPU to burn.

#![expect(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod log;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use appweight_agent::{Agent, AgentBuilder};
use appweight_wire::{Batch, Cell, Format, ProcessRecord, RequestRecord, decode_batch};
use axum::body::Body;
use http::Request;
use uuid::Uuid;

/// What was put, whatever was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Put {
    pub(crate) id: Uuid,
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
    pub(crate) status: u16,
}

/// Says for the n-th put (from 0) which status to answer with, and after how long.
type Script = dyn Fn(usize) -> (u16, Duration) + Send + Sync;

pub(crate) struct TestCollector {
    address: SocketAddr,
    puts: Arc<Mutex<Vec<Put>>>,
}

impl TestCollector {
    pub(crate) fn start() -> Self {
        Self::scripted(|_| (200, Duration::ZERO))
    }

    pub(crate) fn scripted(
        script: impl Fn(usize) -> (u16, Duration) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let puts = Arc::new(Mutex::new(Vec::new()));
        let script: Arc<Script> = Arc::new(script);
        thread::spawn({
            let puts = Arc::clone(&puts);
            move || {
                for stream in listener.incoming() {
                    let (puts, script) = (Arc::clone(&puts), Arc::clone(&script));
                    // A client that goes away ends its own thread only.
                    thread::spawn(move || {
                        while let Some(()) = answer(stream.as_ref().unwrap(), &puts, &*script) {}
                    });
                }
            }
        });
        Self { address, puts }
    }

    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// An agent that sends here and records every request.
    pub(crate) fn agent(&self) -> AgentBuilder {
        Agent::builder()
            .service("tested")
            .collector(self.address())
            .record_one_in(1)
            .warm_up(Duration::ZERO)
    }

    pub(crate) fn puts(&self) -> Vec<Put> {
        self.puts.lock().unwrap().clone()
    }

    /// The batches that were taken, each checked as a collector checks it.
    pub(crate) fn batches(&self) -> Vec<Batch> {
        let taken = self.puts().into_iter().filter(|put| put.status == 200);
        taken
            .map(|put| {
                assert_eq!(put.content_type, "application/msgpack");
                let batch = decode_batch(&put.body, Format::MessagePack).unwrap();
                assert_eq!(batch.id(), put.id);
                batch
            })
            .collect()
    }

    pub(crate) fn cells(&self) -> Vec<Cell> {
        self.batches()
            .into_iter()
            .flat_map(|batch| batch.cells)
            .collect()
    }

    pub(crate) fn requests(&self) -> Vec<RequestRecord> {
        self.batches()
            .into_iter()
            .flat_map(|batch| batch.requests)
            .collect()
    }

    pub(crate) fn processes(&self) -> Vec<ProcessRecord> {
        self.batches()
            .into_iter()
            .flat_map(|batch| batch.processes)
            .collect()
    }

    /// The only record of that endpoint.
    pub(crate) fn request(&self, endpoint: &str) -> RequestRecord {
        let mut found = self.requests();
        found.retain(|record| record.endpoint == endpoint);
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }
}

fn answer(stream: &TcpStream, puts: &Mutex<Vec<Put>>, script: &Script) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let id = line
        .strip_prefix("PUT /v1/batches/")?
        .split(' ')
        .next()?
        .parse()
        .ok()?;
    let (mut length, mut content_type) = (0, String::new());
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "content-type" => value.trim().clone_into(&mut content_type),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (status, delay) = {
        let mut puts = puts.lock().unwrap();
        let (status, delay) = script(puts.len());
        puts.push(Put {
            id,
            content_type,
            body,
            status,
        });
        (status, delay)
    };
    thread::sleep(delay);
    let words = format!("answer {status}");
    let length = words.len();
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{words}"
    )
    .ok()
}

/// Burns CPU: the same amount for each unit, some tenths of a millisecond.
pub(crate) fn burn(units: u32) {
    let mut state = 1_u64;
    for _ in 0..units * 100_000 {
        state = std::hint::black_box(
            state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1),
        );
    }
}

/// Waits until it holds; fails after ten seconds.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(10), "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) const SOON: Duration = Duration::from_secs(5);

pub(crate) fn get_request(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}
