//! All that this service says to the agent, but for the names of its functions, which stand where they are.

use std::time::Duration;

use appweight_agent::Agent;
use axum::Router;
use tower::layer::util::Identity;

use crate::serve::MeasureOptions;

/// The service's name on the dashboard.
const SERVICE: &str = "photos";
const SHIP_WITHIN: Duration = Duration::from_secs(2);

/// The agent of this process, if it has one.
#[derive(Debug, Clone)]
pub(crate) struct Measured(Option<Agent>);

impl Measured {
    pub(crate) fn start(options: Option<MeasureOptions>) -> Self {
        Self(options.map(|options| {
            Agent::builder()
                .service(SERVICE)
                .deploy(options.deploy)
                .host(options.host)
                .collector(options.collector)
                .cell_width(options.cell_width)
                .warm_up(options.warm_up)
                .record_one_in(options.record_one_in)
                .profile_one_in(options.profile_one_in)
                .user(|head| Some(head.headers.get("x-user")?.to_str().ok()?.into()))
                .start()
        }))
    }

    /// The service with every request measured; as it is without an agent, so that the two can be
    /// compared, or in a layer that does nothing.
    pub(crate) fn wrap(&self, service: Router, idle_layer: bool) -> Router {
        match &self.0 {
            Some(agent) => service.layer(agent.layer()),
            None if idle_layer => service.layer(Identity::new()),
            None => service,
        }
    }

    /// Work that nobody waits for, measured like a request.
    pub(crate) fn task<T>(&self, name: &'static str, work: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(agent) => agent.measure(name, work),
            None => work(),
        }
    }

    /// Ships what is left.
    pub(crate) async fn stop(self) {
        let Some(agent) = self.0 else { return };
        let shipped = tokio::task::spawn_blocking(move || agent.shutdown(SHIP_WITHIN)).await;
        if !matches!(shipped, Ok(true)) {
            tracing::warn!("not everything that was measured reached the collector");
        }
    }
}

/// A call to the database, charged to the request as time spent downstream.
pub(crate) fn sqlite<T>(call: impl FnOnce() -> T) -> T {
    appweight_agent::downstream_blocking("sqlite", call)
}
