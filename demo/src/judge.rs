//! What the collector says, asked over HTTP as anyone would.

use anyhow::Context;
use appweight::api::{DeployReport, DeployStatus, DeploySummary};
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

    /// How wide the widest interval is, to either side, among the endpoints that the service spends
    /// its time in; without an answer while nothing can be compared. What lies in the intervals is
    /// not looked at.
    pub(crate) async fn width(&self, deploy: &Deploy) -> anyhow::Result<Option<f64>> {
        const MAIN_SHARE: f64 = 0.1;
        let path = format!("/v1/deploys/{}", deploy.id);
        let started_us = deploy.started_us.to_string();
        let report: DeployReport = self
            .call(move |collector| {
                let query = [("service", SERVICE), ("started_us", &started_us)];
                collector.get(&path, &query)
            })
            .await?;
        let endpoints = report.comparison.map_or(Vec::new(), |c| c.endpoints);
        Ok(endpoints
            .iter()
            .filter(|endpoint| endpoint.share >= MAIN_SHARE)
            .filter_map(|endpoint| endpoint.change.as_ref())
            .map(|change| (change.high - change.low) / 2.0)
            .max_by(f64::total_cmp))
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
