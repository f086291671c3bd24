use std::sync::mpsc::{Receiver as Received, channel};
use std::thread;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Uri};
use axum::routing::post;
use serde_json::Value;

use crate::wait::PATIENCE;

/// Somebody who takes whatever is posted to a port of this machine.
#[derive(Debug)]
pub struct Receiver {
    /// Where it listens.
    pub url: String,
    received: Received<Message>,
}

/// What was posted.
#[derive(Debug)]
pub struct Message {
    /// Where to, without the host.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, as JSON.
    pub body: Value,
}

impl Receiver {
    /// Starts one; it lasts as long as the process.
    ///
    /// # Panics
    /// If there is no port for it.
    #[must_use]
    pub fn start() -> Self {
        let (sender, received) = channel();
        let (told, url) = channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(async {
                let take = move |uri: Uri, headers: HeaderMap, body: Bytes| async move {
                    let message = Message {
                        path: uri.path().to_owned(),
                        headers,
                        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
                    };
                    // Nobody asks any more, perhaps.
                    let _ = sender.send(message);
                };
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
                let listener = listener.expect("there is a free port");
                let address = listener.local_addr().expect("it has an address");
                told.send(format!("http://{address}")).expect("it is asked");
                let router = Router::new().route("/{*path}", post(take));
                axum::serve(listener, router).await.expect("it serves");
            });
        });
        Self {
            url: url.recv().expect("it starts"),
            received,
        }
    }

    /// The next message, in the order in which they came.
    ///
    /// # Panics
    /// If none comes for two minutes.
    #[must_use]
    pub fn next(&self) -> Message {
        self.received
            .recv_timeout(PATIENCE)
            .expect("a message comes within two minutes")
    }

    /// Those that came already and were not asked for.
    #[must_use]
    pub fn waiting(&self) -> Vec<Message> {
        self.received.try_iter().collect()
    }
}
