//! The AppWeight agent: a service embeds it, and every request is counted, some are recorded.
//!
//! ```no_run
//! use appweight_agent::Agent;
//! use axum::{Router, routing::get};
//!
//! # async fn serve() -> std::io::Result<()> {
//! let agent = Agent::builder().service("photos").deploy("8f2c1a9").start();
//! let app: Router = Router::new()
//!     .route("/feed/{user}", get(async || "a feed"))
//!     .layer(agent.layer());
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! axum::serve(listener, app).await?;
//! agent.shutdown(std::time::Duration::from_secs(2));
//! # Ok(())
//! # }
//! ```
//!
//! A request costs a few readings of the thread's CPU clock (and of its instruction counter, where
//! there is one), at the edges of each poll. What is read is added to *cells* of the thread's own;
//! threads of the agent fetch, seal and send them. A request never waits for the collector, and
//! nothing that the collector does costs more than the records, which are counted.
//!
//! The agent says what it has to say through `tracing`. It works on Linux.

mod agent;
mod builder;
mod client;
mod collect;
mod core;
mod counters;
mod downstream;
mod facts;
mod hooks;
mod layer;
mod measured;
mod measurement;
mod names;
mod queue;
mod rss;
mod settings;
mod shard;
mod shards;
mod ship;
mod status;
mod stop;
mod sys;
mod totals;
mod usage;

pub use agent::Agent;
pub use appweight_wire::CounterStatus;
pub use builder::AgentBuilder;
pub use downstream::{downstream, downstream_blocking};
pub use facts::flag;
pub use layer::{AgentLayer, AgentService, ResponseFuture};
pub use status::AgentStatus;
