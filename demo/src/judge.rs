//! What the collector says, asked over HTTP as anyone would.

use anyhow::Context;
use appweight::api::{DeployStatus, DeploySummary};
use appweight_cli::Collector;
use appweight_wire::{Deploy, Format, encode};

/// The photo service's name in the collector.
pub(crate) const SERVICE: &str = "photos";

/// The collector, without blocking the day.
#[derive(Debug, Clone)]
pub(crate) struct Api(Collector);

impl Api {
    pub(crate) fn new(url: &str) -> Self {
        Self(Collector::new(url))
    }

    /// Says that a roll-out starts, or ends if it has an end.
    pub(crate) async fn post(&self, deploy: Deploy) -> anyhow::Result<Deploy> {
        let body = encode(&deploy, Format::Json);
        self.call(move |collector| collector.post("/v1/deploys", &body))
            .await
    }

    /// The deploys so far that are judged for good, oldest first.
    pub(crate) async fn judged(&self) -> anyhow::Result<Vec<DeploySummary>> {
        let query = [("service", SERVICE), ("limit", "100")];
        let mut deploys: Vec<DeploySummary> = self
            .call(move |collector| collector.get("/v1/deploys", &query))
            .await?;
        deploys.retain(|summary| summary.status == DeployStatus::Judged);
        deploys.sort_by_key(|summary| summary.deploy.started_us);
        Ok(deploys)
    }

    async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Collector) -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let collector = self.0.clone();
        tokio::task::spawn_blocking(move || call(&collector))
            .await
            .context("the question was cut off")?
    }
}
