//! A collector that counts the calls in profiles, so that it is known whether each was recorded.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use appweight_wire::{Format, decode_batch};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::put;

type Calls = Arc<Mutex<HashMap<String, u64>>>;

/// On a port of its own, as long as the process lives.
pub struct Collector {
    address: SocketAddr,
    calls: Calls,
}

impl Collector {
    /// Starts it, on a thread of its own.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("an address");
        let calls = Calls::default();
        let router = Router::new()
            .route("/v1/batches/{id}", put(take))
            .with_state(Arc::clone(&calls));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
                axum::serve(listener, router).await
            })
        });
        Self { address, calls }
    }

    /// Where agents send to.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many calls the profiles of that service tell of.
    pub fn calls(&self, service: &str) -> u64 {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.get(service).copied().unwrap_or(0)
    }
}

async fn take(State(calls): State<Calls>, body: Bytes) -> StatusCode {
    let body = zstd::decode_all(body.as_ref()).expect("zstd");
    let batch = decode_batch(&body, Format::MessagePack).expect("a batch");
    // The first node of a profile is the request itself.
    let of_scopes = batch
        .profiles
        .iter()
        .flat_map(|profile| &profile.calls[1..]);
    let mut calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
    *calls.entry(batch.origin.service).or_default() += of_scopes.sum::<u64>();
    StatusCode::CREATED
}
