//! What the collector says, asked over HTTP as anyone would.

use std::time::Duration;

use anyhow::{Context, bail};
use appweight::api::{DeployStatus, DeploySummary, Problem};
use appweight_wire::{Deploy, Format, encode};
use ureq::Agent;

/// The photo service's name in the collector.
pub(crate) const SERVICE: &str = "photos";

/// The collector's API.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    agent: Agent,
    pub(crate) url: String,
}

impl Api {
    pub(crate) fn new(url: String) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(20)))
            .http_status_as_error(false)
            .build();
        Self {
            agent: config.into(),
            url,
        }
    }

    /// Says that a roll-out starts, or ends if it has an end.
    pub(crate) async fn post(&self, deploy: Deploy) -> anyhow::Result<Deploy> {
        let body = encode(&deploy, Format::Json);
        self.call(move |api| {
            api.agent
                .post(format!("{}/v1/deploys", api.url))
                .content_type("application/json")
                .send(&body)
        })
        .await
    }

    /// The deploys so far that are judged for good, oldest first.
    pub(crate) async fn judged(&self) -> anyhow::Result<Vec<DeploySummary>> {
        let mut deploys: Vec<DeploySummary> = self
            .get("/v1/deploys".to_owned(), vec![("limit", "100".to_owned())])
            .await?;
        deploys.retain(|summary| summary.status == DeployStatus::Judged);
        deploys.sort_by_key(|summary| summary.deploy.started_us);
        Ok(deploys)
    }

    async fn get<T>(&self, path: String, query: Vec<(&'static str, String)>) -> anyhow::Result<T>
    where
        T: serde::de::DeserializeOwned + Send + 'static,
    {
        self.call(move |api| {
            let mut request = api
                .agent
                .get(format!("{}{path}", api.url))
                .query("service", SERVICE);
            for (name, value) in &query {
                request = request.query(*name, value);
            }
            request.call()
        })
        .await
    }

    async fn call<T, F>(&self, call: F) -> anyhow::Result<T>
    where
        T: serde::de::DeserializeOwned + Send + 'static,
        F: FnOnce(&Self) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> + Send + 'static,
    {
        let api = self.clone();
        tokio::task::spawn_blocking(move || {
            let mut response = call(&api).context("the collector does not answer")?;
            let status = response.status();
            let body = response
                .body_mut()
                .read_to_vec()
                .context("the collector broke off")?;
            if !status.is_success() {
                let problem: Problem = serde_json::from_slice(&body).unwrap_or_default();
                bail!("the collector refuses ({status}): {}", problem.detail);
            }
            serde_json::from_slice(&body).context("the collector's answer is not understood")
        })
        .await
        .context("the question was cut off")?
    }
}
