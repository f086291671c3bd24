use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::traffic::Made;
use crate::{Measured, measure};

/// As many as bars are about.
pub(crate) const SENDERS: usize = 8;

/// Clients that each send one batch after another and wait for its answer.
pub(crate) struct Senders(Vec<Connection>);

impl Senders {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::so_many(SENDERS, address)
    }

    pub(crate) fn so_many(senders: usize, address: SocketAddr) -> Self {
        Self((0..senders).map(|_| Connection::to(address)).collect())
    }

    /// How often something happened by now: a counter of `/metrics`, over all its labels.
    pub(crate) fn counted(&mut self, name: &str) -> u64 {
        let metrics = tokio::task::block_in_place(|| self.0[0].call("GET", "/metrics", "", &[]));
        metrics
            .1
            .lines()
            .filter(|line| line.starts_with(&format!("appweight_collector_{name}")))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum()
    }

    /// Sends batches, each sender its part.
    pub(crate) async fn send(&mut self, batches: Vec<Made>) -> Measured {
        let records = batches.iter().map(|made| made.records).sum();
        let mut parts: Vec<Vec<Made>> = (0..self.0.len()).map(|_| Vec::new()).collect();
        for (at, batch) in batches.into_iter().enumerate() {
            let senders = parts.len();
            parts[at % senders].push(batch);
        }
        let connections = &mut self.0;
        // The runtime's threads go on serving meanwhile.
        tokio::task::block_in_place(|| {
            measure(records, || {
                std::thread::scope(|scope| {
                    let threads: Vec<_> = connections
                        .iter_mut()
                        .zip(&parts)
                        .map(|(connection, part)| {
                            scope.spawn(move || {
                                part.iter()
                                    .map(|made| connection.put(made))
                                    .collect::<Vec<_>>()
                            })
                        })
                        .collect();
                    let waits = threads.into_iter().map(|thread| thread.join());
                    waits.flat_map(|waits| waits.expect("a sender")).collect()
                })
            })
        })
    }
}

/// Posts a roll-out each second, over when it is told, so that the watch always has one to judge: by all the cells
/// since its start, of the new deploy and of the old one beside it.
pub(crate) async fn keep_judging(address: SocketAddr, began_us: u64) {
    for second in 1_u64.. {
        let started_us = began_us + second * 1_000_000;
        let ended_us = started_us + 1_000_000;
        let body = format!(
            r#"{{"service":"photos","id":"8f2c1a9","replaced":"5f9cd00","started_us":{started_us},"ended_us":{ended_us}}}"#
        );
        let told = tokio::task::spawn_blocking(move || {
            let headers = "content-type: application/json\r\n";
            Connection::to(address).call("POST", "/v1/deploys", headers, body.as_bytes())
        });
        let (status, said) = told.await.expect("it is told");
        assert!((200..300).contains(&status), "{said}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// HTTP/1.1 over a connection that is kept: as little of it as costs next to nothing.
pub(crate) struct Connection(TcpStream);

impl Connection {
    pub(crate) fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_nodelay(true).expect("an option of TCP");
        Self(stream)
    }

    /// Sends a batch, and tells how long it took until it was stored.
    pub(crate) fn put(&mut self, made: &Made) -> Duration {
        let began = Instant::now();
        let (status, said) = self.offer(made.batch.id(), &made.body);
        assert_eq!(status, 201, "{said}");
        began.elapsed()
    }

    /// Sends a batch that may be refused.
    pub(crate) fn offer(&mut self, id: Uuid, body: &[u8]) -> (u16, String) {
        let headers = "content-type: application/msgpack\r\ncontent-encoding: zstd\r\n";
        self.call("PUT", &format!("/v1/batches/{id}"), headers, body)
    }

    /// Asks a question, and tells how long its answer took.
    pub(crate) fn ask(&mut self, path: &str) -> Duration {
        let began = Instant::now();
        let (status, said) = self.call("GET", path, "", &[]);
        assert_eq!(status, 200, "{path}: {said}");
        began.elapsed()
    }

    pub(crate) fn call(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> (u16, String) {
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: here\r\n{headers}content-length: {length}\r\n\r\n"
        );
        self.0
            .write_all(&[head.as_bytes(), body].concat())
            .expect("it reads");
        let mut answer = Vec::new();
        let mut buffer = [0; 16 * 1024];
        // Where the answer's body begins and ends, once its head is there.
        let mut body: Option<std::ops::Range<usize>> = None;
        loop {
            if body.is_none()
                && let Some(at) = answer.windows(4).position(|four| four == b"\r\n\r\n")
            {
                let head = String::from_utf8_lossy(&answer[..at]).to_lowercase();
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "));
                let length: usize = length.and_then(|text| text.parse().ok()).expect("a length");
                body = Some(at + 4..at + 4 + length);
            }
            if let Some(body) = body.clone().filter(|body| body.end <= answer.len()) {
                let status = String::from_utf8_lossy(&answer[9..12]).parse();
                let text = String::from_utf8_lossy(&answer[body]).into_owned();
                return (status.expect("a status"), text);
            }
            let read = self.0.read(&mut buffer).expect("it answers");
            assert!(read > 0, "it hung up");
            answer.extend_from_slice(&buffer[..read]);
        }
    }
}

/// What this process used of the CPU so far, all threads: to a hundredth of a second.
pub(crate) fn cpu_time() -> Duration {
    const TICK_MS: u64 = 10;
    let stat = std::fs::read_to_string("/proc/self/stat").expect("procfs");
    // Behind the program's name, which may hold blanks.
    let fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    let ticks: u64 = fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * TICK_MS)
}
