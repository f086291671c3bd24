use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use appweight_agent::{Agent, AgentBuilder};
use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// How a service is measured, with settings that suit a test.
#[derive(Debug)]
pub struct Measured(AgentBuilder);

impl Measured {
    /// Every request counted and recorded, cells of a fifth of a second, no warm-up.
    #[must_use]
    pub fn by(collector: &str, deploy: &str, host: &str) -> Self {
        Self(
            Agent::builder()
                .service("small")
                .deploy(deploy)
                .host(host)
                .collector(collector)
                .cell_width(Duration::from_millis(200))
                .warm_up(Duration::ZERO)
                .record_one_in(1)
                .user_key("a secret")
                .user(|head| Some(head.headers.get("x-user")?.to_str().ok()?.into())),
        )
    }

    /// With a setting changed.
    #[must_use]
    pub fn with(self, set: impl FnOnce(AgentBuilder) -> AgentBuilder) -> Self {
        Self(set(self.0))
    }
}

/// A small service with the agent embedded, on a port of its own.
#[derive(Debug)]
pub struct Service {
    runtime: Runtime,
    /// The agent.
    pub agent: Agent,
    /// Where it listens.
    pub url: String,
}

impl Service {
    /// Starts it. Hashing `/work` takes `rounds` rounds.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(measured: Measured, rounds: u64) -> Self {
        let agent = measured.0.start();
        let app = Router::new()
            .route("/hello/{name}", get(hello))
            .route("/save", post(async || StatusCode::CREATED))
            .route("/broken", get(async || StatusCode::INTERNAL_SERVER_ERROR))
            .route("/work", get(async move || work(rounds)))
            .layer(agent.layer());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime starts");
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a port is free");
        let url = format!("http://{}", listener.local_addr().expect("it has one"));
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self {
            runtime,
            agent,
            url,
        }
    }

    /// Stops serving, and ships what was counted. Says whether everything arrived.
    #[must_use]
    pub fn stop(self, wait: Duration) -> bool {
        drop(self.runtime);
        self.agent.shutdown(wait)
    }
}

async fn hello(Path(name): Path<String>) -> String {
    format!("Hello {name}")
}

/// Every second request has a flag, which changes nothing.
fn work(rounds: u64) -> String {
    static ASKED: AtomicU64 = AtomicU64::new(0);
    let is_second = ASKED.fetch_add(1, Ordering::Relaxed) % 2 == 1;
    appweight_agent::flag("even", if is_second { "on" } else { "off" });
    hash(rounds).to_string()
}

/// Work that no compiler can leave out: a chain of mixing steps.
fn hash(rounds: u64) -> u64 {
    (0..rounds).fold(0x9e37_79b9_7f4a_7c15, |hash: u64, round| {
        std::hint::black_box(
            (hash ^ round)
                .wrapping_mul(0x0000_0100_0000_01b3)
                .rotate_left(23),
        )
    })
}
