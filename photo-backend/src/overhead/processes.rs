use std::collections::BTreeMap;

use bytes::Bytes;
use http::Uri;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;

use super::OverheadError;
use super::sides::host;

/// What the processes' records tell of the agent's CPU time. The collector shows the newest record of
/// each, so it is asked more often than there is a new one.
#[derive(Debug)]
pub(super) struct AgentCpu {
    collector: String,
    client: Client<HttpConnector, Empty<Bytes>>,
    /// By host and the end of the span.
    seen: BTreeMap<(String, u64), ProcessView>,
}

/// What is read of `GET /v1/processes`.
#[derive(Debug, Clone, Deserialize)]
struct ProcessView {
    host: String,
    last_us: u64,
    requests_total: u64,
    cpu_ns: u64,
    agent_cpu_ns: u64,
    dropped_total: u64,
}

impl AgentCpu {
    pub(super) fn of(collector: &str) -> Self {
        Self {
            collector: collector.to_owned(),
            client: Client::builder(TokioExecutor::new()).build_http(),
            seen: BTreeMap::new(),
        }
    }

    pub(super) async fn look(&mut self) -> Result<(), OverheadError> {
        let failed = |error: &dyn std::fmt::Display| {
            OverheadError::Failed(format!("the collector's processes: {error}"))
        };
        let uri: Uri = format!("{}/v1/processes?service=photos", self.collector)
            .parse()
            .map_err(|error| failed(&error))?;
        let answer = self.client.get(uri).await.map_err(|error| failed(&error))?;
        if answer.status() == http::StatusCode::NOT_FOUND {
            // Nothing was sent yet.
            return Ok(());
        }
        let body = answer.into_body().collect().await;
        let body = body.map_err(|error| failed(&error))?.to_bytes();
        let views: Vec<ProcessView> =
            serde_json::from_slice(&body).map_err(|error| failed(&error))?;
        for view in views {
            self.seen.insert((view.host.clone(), view.last_us), view);
        }
        Ok(())
    }

    /// The agent has counted what it was asked, and lost nothing.
    pub(super) fn expect_requests(&self, start: usize, asked: u64) -> Result<(), OverheadError> {
        let host = host(start);
        let last = self.seen.range((host.clone(), 0)..=(host, u64::MAX)).last();
        match last {
            Some((_, view)) if view.requests_total == asked && view.dropped_total == 0 => Ok(()),
            other => Err(OverheadError::Failed(format!(
                "{asked} requests were answered, and the agent says: {other:?}"
            ))),
        }
    }

    /// Nanoseconds of the agent, and of the whole processes.
    pub(super) fn sums(&self) -> (u64, u64) {
        self.seen.values().fold((0, 0), |(agent, process), view| {
            (agent + view.agent_cpu_ns, process + view.cpu_ns)
        })
    }
}
