//! What the tests of the service have in common: a small database and a client.

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use photo_backend::serve::{MeasureOptions, ServeOptions, Server};
use photo_backend::{App, Store, Variants, router, seed};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower::ServiceExt;

/// So many users the database holds.
pub(crate) const USERS: u32 = 120;

/// A database that goes when this is dropped.
pub(crate) struct Database {
    _directory: TempDir,
    /// The file.
    pub(crate) path: PathBuf,
}

impl Database {
    /// A seeded one.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("photos.sqlite");
        seed(&path, USERS).unwrap();
        Self {
            _directory: directory,
            path,
        }
    }

    /// The service on it, without a network.
    pub(crate) fn service(&self, variants: Variants) -> Router {
        router(App::new(Store::open(&self.path).unwrap(), variants))
    }
}

/// One answer.
pub(crate) async fn ask(
    service: &Router,
    method: Method,
    path: &str,
    user: u32,
    body: impl Into<Body>,
) -> (StatusCode, Bytes) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("x-user", user)
        .body(body.into())
        .unwrap();
    let answer = service.clone().oneshot(request).await.unwrap();
    let status = answer.status();
    (
        status,
        answer.into_body().collect().await.unwrap().to_bytes(),
    )
}

/// The JSON of an answer that must be a success.
pub(crate) async fn get(service: &Router, path: &str, user: u32) -> Value {
    let (status, body) = ask(service, Method::GET, path, user, "").await;
    assert_eq!(status, StatusCode::OK, "{path}: {body:?}");
    serde_json::from_slice(&body).unwrap()
}

/// The same for a write.
pub(crate) async fn post(service: &Router, path: &str, user: u32, body: impl Into<Body>) -> Value {
    let (status, body) = ask(service, Method::POST, path, user, body).await;
    assert_eq!(status, StatusCode::OK, "{path}: {body:?}");
    serde_json::from_slice(&body).unwrap()
}

/// A server on a free port.
pub(crate) struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    /// Starts one without the agent.
    pub(crate) async fn start(database: &Database, variants: Variants) -> Self {
        Self::measured(database, variants, None).await
    }

    /// Starts one with the agent, if it is told how to measure.
    pub(crate) async fn measured(
        database: &Database,
        variants: Variants,
        measure: Option<MeasureOptions>,
    ) -> Self {
        let server = Server::bind(ServeOptions {
            listen: "127.0.0.1:0".parse().unwrap(),
            database: database.path.clone(),
            measure,
            idle_layer: false,
            variants,
        })
        .await
        .unwrap();
        let address = server.address();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let stopped = async {
                stopped.await.ok();
            };
            server.run(stopped).await.unwrap();
        });
        Self {
            address,
            stop,
            task,
        }
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops it as SIGTERM does.
    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }
}
