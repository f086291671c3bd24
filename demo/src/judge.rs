//! What the collector says, asked over HTTP as anyone would.

use anyhow::Context;
use appweight::api::{DeployStatus, DeploySummary, ProfileDiff, ProfileSummary};
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

    /// What profiles there are of a deploy.
    pub(crate) async fn profiles(&self, deploy: &str) -> anyhow::Result<Vec<ProfileSummary>> {
        let deploy = deploy.to_owned();
        self.call(move |collector| {
            let query = [("service", SERVICE), ("deploy", deploy.as_str())];
            collector.get("/v1/profiles", &query)
        })
        .await
    }

    /// What a deploy changed in an endpoint, function by function.
    pub(crate) async fn profile_diff(
        &self,
        base: &str,
        head: &str,
        endpoint: &str,
        timer: Option<&str>,
    ) -> anyhow::Result<ProfileDiff> {
        let [base, head, endpoint] = [base, head, endpoint].map(str::to_owned);
        let timer = timer.map(str::to_owned);
        self.call(move |collector| {
            let mut query = vec![
                ("service", SERVICE),
                ("base", base.as_str()),
                ("head", &head),
                ("endpoint", &endpoint),
            ];
            query.extend(timer.as_deref().map(|timer| ("timer", timer)));
            collector.get("/v1/profile/diff", &query)
        })
        .await
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
