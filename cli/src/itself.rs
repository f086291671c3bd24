//! The collector measured by the agent that it asks services to embed.
//!
//! Its agent sends to the collector itself, as any other. Those batches alone are not measured: each would be
//! a request to tell of in the next one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use appweight_agent::{Agent, AgentBuilder};
use appweight_collector::Access;
use axum::Router;
use axum::extract::Request;
use tower::{ServiceExt, service_fn};
use uuid::Uuid;

/// What the collector is called in its own store.
const SERVICE: &str = "appweight-collector";

/// How long the last batch is waited for.
const FAREWELL: Duration = Duration::from_secs(2);

/// The agent of a collector.
#[derive(Clone)]
pub(crate) struct Itself {
    agent: Agent,
    access: Access,
}

/// How the collector knows its agent, drawn anew at each start.
pub(crate) struct Acquaintance(String);

impl Acquaintance {
    /// Tells the collector.
    pub(crate) fn make(access: &mut Access) -> anyhow::Result<Self> {
        let secret = Uuid::new_v4().simple().to_string();
        access.allow_own(SERVICE, secret.parse().context("a token of its own")?);
        Ok(Self(secret))
    }
}

impl Itself {
    /// Starts to measure the collector that listens there.
    pub(crate) fn start(address: SocketAddr, known_by: &Acquaintance, access: &Access) -> Self {
        Self {
            agent: builder(address, known_by).start_without_environment(),
            access: access.clone(),
        }
    }

    /// Rooms whose requests are measured, by their routes.
    pub(crate) fn measure(&self, rooms: Router) -> Router {
        rooms.layer(self.agent.layer())
    }

    /// Lets the agent's own batches by to where nothing is measured.
    pub(crate) fn leave_out_own(&self, measured: Router, api: Router) -> Router {
        let access = self.access.clone();
        Router::new().fallback_service(service_fn(move |request: Request| {
            let own = access.is_own(request.headers());
            let room = if own { &api } else { &measured };
            room.clone().oneshot(request)
        }))
    }

    /// Sends what is left. The collector must still listen.
    pub(crate) async fn stop(self) {
        let stopped = tokio::task::spawn_blocking(move || self.agent.shutdown(FAREWELL)).await;
        if !matches!(stopped, Ok(true)) {
            tracing::warn!("the last of what the collector measured of itself was not stored");
        }
    }
}

fn builder(address: SocketAddr, known_by: &Acquaintance) -> AgentBuilder {
    Agent::builder()
        .service(SERVICE)
        .deploy(concat!("appweight-", env!("CARGO_PKG_VERSION")))
        .collector(format!("http://{}", near(address)))
        .token(&known_by.0)
}

/// The address by which what listens there is reached from the same machine.
fn near(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    address
}

#[cfg(test)]
mod tests {
    use appweight_collector::{Collector, CollectorOptions};
    use serde_json::Value;
    use tokio::net::TcpListener;

    use super::*;

    fn get(url: &str) -> Value {
        let client: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().into();
        let text = client.get(url).call().unwrap().into_body().read_to_string();
        let text = text.unwrap();
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    }

    /// The routes of the recorded requests, which are all.
    fn routes(url: &str) -> Vec<String> {
        let recorded = get(&format!(
            "{url}/v1/requests?service={SERVICE}&order=time&limit=1000"
        ));
        let routes = recorded.as_array().unwrap().iter();
        routes
            .map(|view| view["request"]["endpoint"].as_str().unwrap().to_owned())
            .collect()
    }

    fn stored(url: &str) -> u64 {
        let metrics = get(&format!("{url}/metrics"));
        let name = r#"appweight_collector_batches_total{outcome="stored"} "#;
        let lines = metrics.as_str().unwrap().lines();
        lines
            .filter_map(|line| line.strip_prefix(name)?.parse().ok())
            .next()
            .unwrap_or(0)
    }

    /// Waits for some batches more of the agent's.
    fn some_later(url: &str) {
        let until = stored(url) + 4;
        for _ in 0..1_000 {
            if stored(url) >= until {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the agent sends no batches");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn its_requests_are_cells_of_its_own_and_its_batches_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut access = Access::default();
        let known_by = Acquaintance::make(&mut access).unwrap();
        // So that the token counts.
        access.allow_write(None, "of-somebody-else-0123456789".parse().unwrap());
        let collector = Collector::open(CollectorOptions {
            database: folder.path().join("store.db"),
            access: access.clone(),
            ..CollectorOptions::default()
        })
        .await
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let span = Duration::from_millis(200);
        let agent = builder(address, &known_by)
            .cell_width(span)
            .record_one_in(1);
        let itself = Itself {
            agent: agent.start_without_environment(),
            access,
        };
        let measured = itself.measure(collector.router());
        let rooms = itself.leave_out_own(measured, collector.router());
        let server = tokio::spawn(async move { axum::serve(listener, rooms).await });
        let url = format!("http://{address}");
        let asked = tokio::task::spawn_blocking(move || {
            for _ in 0..3 {
                get(&format!("{url}/v1/services"));
            }
            some_later(&url);
            let first = routes(&url);
            some_later(&url);
            (first, routes(&url))
        });
        let (first, later) = asked.await.unwrap();
        let services = |routes: &[String]| routes.iter().filter(|at| *at == "/v1/services").count();
        assert_eq!((services(&first), services(&later)), (3, 3));
        for route in &later {
            let asked = ["/v1/services", "/metrics", "/v1/requests"].contains(&route.as_str());
            assert!(asked, "{route} in {later:?}");
        }
        itself.stop().await;
        server.abort();
    }

    #[test]
    fn it_is_reached_where_it_listens() {
        for (listens, reached) in [
            ("0.0.0.0:7070", "127.0.0.1:7070"),
            ("[::]:7070", "[::1]:7070"),
            ("10.1.2.3:80", "10.1.2.3:80"),
        ] {
            assert_eq!(near(listens.parse().unwrap()), reached.parse().unwrap());
        }
    }
}
