//! A collector of a few lines that keeps what it is sent, and CPU to burn.

#![expect(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod disk;
#[path = "../../../tests/src/left_out.rs"]
#[expect(unreachable_pub, reason = "it is another crate's too")]
pub(crate) mod left_out;
pub(crate) mod load;
pub(crate) mod log;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
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
    pub(crate) content_encoding: String,
    pub(crate) authorization: String,
    pub(crate) body: Vec<u8>,
    pub(crate) status: u16,
}

/// What a put is answered with.
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// How long the answer takes.
    pub(crate) delay: Duration,
    /// Further headers, each with its line's end.
    pub(crate) headers: &'static str,
}

impl From<(u16, Duration)> for Reply {
    fn from((status, delay): (u16, Duration)) -> Self {
        Self {
            status,
            delay,
            headers: "",
        }
    }
}

/// Says for the n-th put (from 0) what to answer.
type Script = dyn Fn(usize) -> Reply + Send + Sync;

pub(crate) struct TestCollector {
    scheme: &'static str,
    address: SocketAddr,
    puts: Arc<Mutex<Vec<Put>>>,
}

impl TestCollector {
    pub(crate) fn start() -> Self {
        Self::scripted(|_| (200, Duration::ZERO))
    }

    /// One that answers 503 while it is down.
    pub(crate) fn while_up(down: &Arc<AtomicBool>) -> Self {
        let down = Arc::clone(down);
        Self::scripted(move |_| {
            let down = down.load(Ordering::SeqCst);
            (if down { 503 } else { 200 }, Duration::ZERO)
        })
    }

    pub(crate) fn scripted<R: Into<Reply>>(
        script: impl Fn(usize) -> R + Send + Sync + 'static,
    ) -> Self {
        Self::listening("http", script, Some)
    }

    /// Behind TLS, with that certificate.
    pub(crate) fn over_tls(config: rustls::ServerConfig) -> Self {
        let config = Arc::new(config);
        Self::listening(
            "https",
            |_| (200, Duration::ZERO),
            move |stream| {
                let session = rustls::ServerConnection::new(Arc::clone(&config)).ok()?;
                Some(rustls::StreamOwned::new(session, stream))
            },
        )
    }

    fn listening<R: Into<Reply>, S: Read + Write>(
        scheme: &'static str,
        script: impl Fn(usize) -> R + Send + Sync + 'static,
        accept: impl Fn(TcpStream) -> Option<S> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let puts = Arc::new(Mutex::new(Vec::new()));
        let script: Arc<Script> = Arc::new(move |n| script(n).into());
        let accept = Arc::new(accept);
        thread::spawn({
            let puts = Arc::clone(&puts);
            move || {
                for stream in listener.incoming() {
                    let (puts, script) = (Arc::clone(&puts), Arc::clone(&script));
                    let accept = Arc::clone(&accept);
                    // A client that goes away ends its own thread only.
                    thread::spawn(move || {
                        let mut stream = accept(stream.unwrap())?;
                        while let Some(()) = answer(&mut stream, &puts, &*script) {}
                        Some(())
                    });
                }
            }
        });
        Self {
            scheme,
            address,
            puts,
        }
    }

    pub(crate) fn address(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// An agent that sends here and records every request.
    pub(crate) fn agent(&self) -> AgentBuilder {
        Agent::builder()
            .service("tested")
            .collector(self.address())
            .record_one_in(1)
            // Drawn by chance, else, and then one record more.
            .profile_one_in(0)
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
                assert_eq!(put.content_encoding, "zstd");
                let body = zstd::stream::decode_all(put.body.as_slice()).unwrap();
                let batch = decode_batch(&body, Format::MessagePack).unwrap();
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

    /// How many requests and tasks arrived, a batch that came twice counted once.
    pub(crate) fn counted(&self) -> u64 {
        let mut batches = self.batches();
        batches.sort_by_key(Batch::id);
        batches.dedup_by_key(|batch| batch.id());
        let cells = batches.iter().flat_map(|batch| &batch.cells);
        // Cells of a flag repeat what others hold.
        let whole = cells.filter(|cell| cell.key.flag.is_none());
        whole.map(|cell| cell.n).sum()
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

fn answer(stream: &mut (impl Read + Write), puts: &Mutex<Vec<Put>>, script: &Script) -> Option<()> {
    // Nothing is lost with it: a client waits for the answer before it sends more.
    let mut reader = BufReader::new(&mut *stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let id = line
        .strip_prefix("PUT /v1/batches/")?
        .split(' ')
        .next()?
        .parse()
        .ok()?;
    let mut length = 0;
    let (mut content_type, mut content_encoding, mut authorization) =
        (String::new(), String::new(), String::new());
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "content-type" => value.trim().clone_into(&mut content_type),
            "content-encoding" => value.trim().clone_into(&mut content_encoding),
            "authorization" => value.trim().clone_into(&mut authorization),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let reply = {
        let mut puts = puts.lock().unwrap();
        let reply = script(puts.len());
        puts.push(Put {
            id,
            content_type,
            content_encoding,
            authorization,
            body,
            status: reply.status,
        });
        reply
    };
    thread::sleep(reply.delay);
    let (status, headers) = (reply.status, reply.headers);
    let words = format!("answer {status}");
    let length = words.len();
    // In one piece: what follows a first small piece waits for its acknowledgement, 40 ms.
    let answer = format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\n\r\n{words}");
    stream
        .write_all(answer.as_bytes())
        .and_then(|()| stream.flush())
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

/// Waits until it holds; fails after a minute, in which even a busy machine gets to everything.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// An address where nobody listens.
pub(crate) const NOWHERE: &str = "http://127.0.0.1:1";

/// A folder in memory, where there is one: a disk that others keep busy may take seconds for a file.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

pub(crate) const SOON: Duration = Duration::from_secs(5);

pub(crate) fn get_request(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}
