use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::OverheadError;

/// Connections to one instance. Each asks for the next thing as soon as it has its answer.
#[derive(Debug)]
pub(super) struct Load {
    connections: Vec<SendRequest<Full<Bytes>>>,
}

/// How some requests were answered.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Block {
    pub(super) seconds: f64,
    pub(super) p99_seconds: f64,
}

type Queue = Arc<Mutex<std::vec::IntoIter<Request<Full<Bytes>>>>>;

impl Load {
    pub(super) async fn connect(address: &str, connections: usize) -> Result<Self, OverheadError> {
        let mut open = Vec::with_capacity(connections);
        for _ in 0..connections {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(failed)?;
            tokio::spawn(connection);
            open.push(sender);
        }
        Ok(Self { connections: open })
    }

    /// Sends these, and waits until all are answered.
    pub(super) async fn ask(
        &mut self,
        requests: Vec<Request<Full<Bytes>>>,
    ) -> Result<Block, OverheadError> {
        let mut latencies = Vec::with_capacity(requests.len());
        let queue: Queue = Arc::new(Mutex::new(requests.into_iter()));
        let mut open = JoinSet::new();
        let begun = Instant::now();
        for connection in self.connections.drain(..) {
            open.spawn(work(connection, Arc::clone(&queue)));
        }
        while let Some(done) = open.join_next().await {
            let (connection, mut times) = done.map_err(failed)??;
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
    mut connection: SendRequest<Full<Bytes>>,
    queue: Queue,
) -> Result<(SendRequest<Full<Bytes>>, Vec<f64>), OverheadError> {
    let mut latencies = Vec::new();
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    while let Some(request) = next() {
        connection.ready().await.map_err(failed)?;
        let path = request.uri().path().to_owned();
        let begun = Instant::now();
        let mut response = connection.send_request(request).await.map_err(failed)?;
        while let Some(frame) = response.body_mut().frame().await {
            frame.map_err(failed)?;
        }
        latencies.push(begun.elapsed().as_secs_f64());
        if !response.status().is_success() {
            let status = response.status();
            return Err(OverheadError::Failed(format!("{path}: {status}")));
        }
    }
    Ok((connection, latencies))
}

fn failed(error: impl std::fmt::Display) -> OverheadError {
    OverheadError::Failed(error.to_string())
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
}
