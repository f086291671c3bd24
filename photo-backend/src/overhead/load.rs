use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::Request;
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::OverheadError;

/// Of the head of an answer, so many lines are read.
const HEADERS: usize = 32;

/// Connections to one instance. Each asks for the next thing as soon as it has its answer.
///
/// It speaks no more HTTP than the service needs: what asks shall cost less than what answers, else
/// the service waits, and nothing of it is seen in the throughput.
#[derive(Debug)]
pub(super) struct Load {
    connections: Vec<Connection>,
}

/// A request as it is sent.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    path: String,
    bytes: Bytes,
}

/// How some requests were answered.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Block {
    pub(super) seconds: f64,
    pub(super) p99_seconds: f64,
}

type Queue = Arc<Mutex<std::vec::IntoIter<Ask>>>;

impl Ask {
    pub(super) async fn of(request: Request<Full<Bytes>>) -> Self {
        let (head, body) = request.into_parts();
        // A body that is there already cannot fail.
        let body = body.collect().await.unwrap_or_default().to_bytes();
        let mut bytes = BytesMut::new();
        let line = format!("{} {} HTTP/1.1\r\nhost: photos\r\n", head.method, head.uri);
        bytes.extend(line.as_bytes());
        for (name, value) in &head.headers {
            bytes.extend(name.as_str().as_bytes());
            bytes.extend(b": ");
            bytes.extend(value.as_bytes());
            bytes.extend(b"\r\n");
        }
        bytes.extend(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
        bytes.extend(body);
        Self {
            path: head.uri.path().to_owned(),
            bytes: bytes.freeze(),
        }
    }
}

impl Load {
    pub(super) async fn connect(address: &str, connections: usize) -> Result<Self, OverheadError> {
        let mut open = Vec::with_capacity(connections);
        for _ in 0..connections {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            open.push(Connection {
                stream,
                read: BytesMut::with_capacity(1 << 16),
            });
        }
        Ok(Self { connections: open })
    }

    /// Sends these, and waits until all are answered.
    pub(super) async fn ask(&mut self, requests: Vec<Ask>) -> Result<Block, OverheadError> {
        let mut latencies = Vec::with_capacity(requests.len());
        let queue: Queue = Arc::new(Mutex::new(requests.into_iter()));
        let mut open = JoinSet::new();
        let begun = Instant::now();
        for connection in self.connections.drain(..) {
            open.spawn(work(connection, Arc::clone(&queue)));
        }
        while let Some(done) = open.join_next().await {
            let (connection, mut times) =
                done.map_err(|error| OverheadError::Failed(error.to_string()))??;
            self.connections.push(connection);
            latencies.append(&mut times);
        }
        Ok(Block {
            seconds: begun.elapsed().as_secs_f64(),
            p99_seconds: p99(&mut latencies),
        })
    }
}

async fn work(
    mut connection: Connection,
    queue: Queue,
) -> Result<(Connection, Vec<f64>), OverheadError> {
    let mut latencies = Vec::new();
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    while let Some(ask) = next() {
        let begun = Instant::now();
        connection.stream.write_all(&ask.bytes).await?;
        let status = connection.answer().await?;
        latencies.push(begun.elapsed().as_secs_f64());
        if !(200..300).contains(&status) {
            return Err(OverheadError::Failed(format!("{}: {status}", ask.path)));
        }
    }
    Ok((connection, latencies))
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    read: BytesMut,
}

impl Connection {
    /// Reads one whole answer; its status.
    async fn answer(&mut self) -> Result<u16, OverheadError> {
        self.read.clear();
        loop {
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Err(OverheadError::Failed("a connection was closed".into()));
            }
            if let Some((status, length)) = head(&self.read)? {
                while self.read.len() < length {
                    if self.stream.read_buf(&mut self.read).await? == 0 {
                        return Err(OverheadError::Failed("an answer was cut off".into()));
                    }
                }
                return Ok(status);
            }
        }
    }
}

/// The status of an answer and its length, if all of its head is there.
fn head(read: &[u8]) -> Result<Option<(u16, usize)>, OverheadError> {
    let failed = |why: &str| OverheadError::Failed(format!("the service's answer: {why}"));
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response
        .parse(read)
        .map_err(|error| failed(&error.to_string()))?;
    let httparse::Status::Complete(head_length) = parsed else {
        return Ok(None);
    };
    let status = response.code.unwrap_or_default();
    let length = response
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .map(|header| str::from_utf8(header.value).ok()?.parse::<usize>().ok());
    let body_length = match (length, status) {
        (Some(Some(length)), _) => length,
        (None, 204) => 0,
        _ => return Err(failed("it has no length")),
    };
    Ok(Some((status, head_length + body_length)))
}

/// The value that 99 % do not exceed, by nearest rank.
fn p99(latencies: &mut [f64]) -> f64 {
    latencies.sort_unstable_by(f64::total_cmp);
    let rank = (latencies.len() * 99).div_ceil(100).max(1) - 1;
    latencies.get(rank).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_99th_of_a_hundred_is_p99() {
        let mut latencies: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(p99(&mut latencies), 99.0);
        assert_eq!(p99(&mut latencies[..1]), 1.0);
        assert!(p99(&mut []).is_nan());
    }

    #[test]
    fn an_answer_ends_where_its_head_says() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: x\r\nContent-Length: 5\r\n\r\nhel";
        assert_eq!(head(answer).unwrap(), Some((200, answer.len() + 2)));
        assert_eq!(head(&answer[..20]).unwrap(), None);
        let empty = b"HTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(head(empty).unwrap(), Some((204, empty.len())));
        assert!(head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(head(b"SSH-2.0").is_err());
    }

    #[tokio::test]
    async fn a_request_is_sent_whole() {
        let request = Request::post("/seen")
            .header("x-user", 7)
            .body(Full::new(Bytes::from_static(b"{}")))
            .unwrap();
        let sent = Ask::of(request).await.bytes;
        let expected =
            "POST /seen HTTP/1.1\r\nhost: photos\r\nx-user: 7\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(sent, expected);
    }
}
