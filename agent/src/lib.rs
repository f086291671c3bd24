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
//! there is one), at the edges of each poll: some nanoseconds each where the kernel tells user space
//! of context switches, and a system call elsewhere, where of a busy endpoint not every request is counted:
//! those that are stand for the others. What is read is added to *cells* of the thread's own, without a lock;
//! threads of the agent fetch, seal and send them. A request never waits for the collector, and
//! nothing that the collector does costs more than the records, which are counted.
//!
//! A response body that is streamed is a part of its request, which is counted when the stream ends; of one that goes on beyond
//! a cell's end what it used until then is counted in that cell, so that a stream without an end is not missing
//! ([`MeasureBody`]). A request that its client gives up, or whose body is not sent to its end, is counted with what it used until
//! then, as an error.
//!
//! # Settings
//!
//! | variable | default | what it is |
//! | --- | --- | --- |
//! | `APPWEIGHT_DISABLED` | `0` | `1`: the agent does nothing at all |
//! | `APPWEIGHT_COLLECTOR` | `http://127.0.0.1:7070` | where to send; `https://` with the feature `tls` |
//! | `APPWEIGHT_TOKEN` | none | sent as `Authorization: Bearer …`, never logged |
//! | `APPWEIGHT_CA_FILE` | the system's | certificates (PEM) that may vouch for the collector's |
//! | `APPWEIGHT_QUEUE_BYTES` | `8MiB` | batches that wait in memory before the oldest are given up |
//! | `APPWEIGHT_SPOOL` | none | a folder for batches that cannot be sent, so that they survive the end of the process; empty: none |
//! | `APPWEIGHT_SPOOL_BYTES` | `64MiB` | what they may take of the disk, for each process, before the oldest are given up |
//! | `APPWEIGHT_SERVICE` | as built in | the service's name |
//! | `APPWEIGHT_DEPLOY` | as the program sets, else what it was when that was built, else `unknown` | what is deployed, usually the commit |
//! | `APPWEIGHT_HOST` | machine's name and process id | the instance |
//! | `APPWEIGHT_CLUSTER`, `APPWEIGHT_REGION` | none | a part of the fleet |
//! | `APPWEIGHT_CELL_WIDTH` | `60s` | how much time a cell covers |
//! | `APPWEIGHT_PROCESS_INTERVAL` | `10s` | how much time a process record covers, a cell at most |
//! | `APPWEIGHT_WARM_UP` | `60s` | how long a process is young |
//! | `APPWEIGHT_COUNT_ONE_IN` | `1`; `adaptive` where CPU time costs a system call | one request in so many is counted and stands for them; `adaptive`: all of rare endpoints, one in up to 1,024 of busy ones |
//! | `APPWEIGHT_COUNT_TARGET` | `1000` | with `adaptive`: how many requests a cell of an endpoint is to have |
//! | `APPWEIGHT_RECORD_ONE_IN` | `100` | of those counted, one in so many is recorded with all its facts, and the costliest of each endpoint and cell beside them; `0`: none at all |
//! | `APPWEIGHT_PROFILE_ONE_IN` | `1000` | of those counted, one in so many is profiled by function; `0`: none |
//! | `APPWEIGHT_PROFILE_TIMERS` | `instructions,cpu,allocated` | what profiles count: of those, and of `wall`, `allocations`, `page_faults`, `rss`, and the service's own |
//! | `APPWEIGHT_SAMPLE_STACKS` | `0` | of a profiled request, so many stacks are taken per second of CPU, at most 10,000; `0`: none. Needs perf events and `-C force-frame-pointers=yes` |
//! | `APPWEIGHT_SAMPLE_PROCESS` | 99 where stacks of requests were asked for and perf events are forbidden | where requests cannot be sampled: so many stacks of the whole process per second of CPU, by `SIGPROF`, under no endpoint; `0`: none |
//! | `APPWEIGHT_SAMPLE_ALLOCATIONS` | `0` | one allocation each so many bytes (`512KiB`) is looked at: which function allocates, and what of it stays; `0`: none. Needs `AppweightAlloc` and `-C force-frame-pointers=yes` |
//! | `APPWEIGHT_CHECK_CLOCK` | `0` | `1`: compares the cheap CPU clock with the system call a hundred times as often as usual; `AgentStatus` and process records tell how many comparisons failed, and where one in ten does, the system call is used from then on |
//! | `APPWEIGHT_USER_KEY` | derived from the token | the secret that users are hashed with, one per service |
//!
//! The environment overrides what a program sets through [`AgentBuilder`]. A value that makes no
//! sense is logged and ignored.
//!
//! # When the collector cannot be reached
//!
//! Batches wait in memory and are tried again, in order and with growing pauses. With a folder in
//! `APPWEIGHT_SPOOL` they are written there instead, one file each, and sent when the collector is back: by
//! this process, or by the next one that starts with the same folder. What has to be given up for the
//! bounds of both is counted in [`AgentStatus::dropped`], and to the request in
//! [`AgentStatus::dropped_requests`].
//!
//! # Processes that fork
//!
//! A child that was forked after the agent's start is measured as a process of its own, from its first
//! request on, with threads of its own; what its parent had counted stays the parent's. Only children
//! made by the C library's `fork` are noticed.
//!
//! # Facts
//!
//! [`flag`] and [`downstream`] tell about the request that the calling thread works on: the one
//! whose future is being polled. What runs elsewhere (a spawned task, a thread of its own) is a part
//! of the request if it was started with [`spawn`] or [`spawn_blocking`]; other work is measured by
//! itself with [`Agent::measure`] and [`Agent::measure_future`].
//!
//! # Profiles
//!
//! Functions with [`profiled`] and blocks with [`scope!`] are told by name: one request in 1,000 is profiled, and what
//! each of them cost there, by each [`Timer`] and in its calling context, is added to the profile of its endpoint. A scope
//! costs next to nothing in the other requests. What the timers themselves cost is measured at start, logged and taken off.
//!
//! The agent says what it has to say through `tracing`. It works on Linux.
//!
//! # Features
//!
//! `tls`, on by default: `https://` collectors, through rustls.

mod adaptive;
mod agent;
mod allocator;
mod backoff;
mod body;
mod buckets;
mod build_id;
mod builder;
mod cells;
mod chance;
mod children;
mod client;
mod clock;
mod collect;
mod contents;
mod core;
mod costliest;
mod counters;
mod current;
mod doctor;
mod downstream;
mod facts;
mod fork;
mod frames;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod handover;
mod head;
mod hooks;
mod layer;
mod machine;
mod measured;
mod measurement;
mod names;
mod outside;
mod own_threads;
mod profile;
mod profiled;
mod queue;
mod sampling;
mod scopes;
mod settings;
mod shard;
mod shards;
mod ship;
mod spool;
mod status;
mod stock;
mod stop;
mod sys;
mod thinning;
#[cfg(feature = "tls")]
mod tls;
mod totals;
mod usage;

pub use agent::Agent;
pub use allocator::AppweightAlloc;
/// Makes a function a scope of its own in profiles: how often it is called, and what it costs in which calling context.
///
/// It does next to nothing unless the request that runs is one of those that are profiled
/// ([`AgentBuilder::profile_one_in`]). An async function is in its scope only while it is polled: what it waits for costs it
/// nothing, and what runs meanwhile is another's. A panic ends the scope. A function is told by its path, or as
/// `#[profiled(name = "…")]` says; blocks and futures are told by [`scope!`].
///
/// ```
/// use appweight_agent::profiled;
///
/// struct Store(Vec<u64>);
///
/// impl Store {
///     #[profiled]
///     fn likes(&self, post: usize) -> Option<u64> {
///         self.0.get(post).copied()
///     }
/// }
///
/// #[profiled]
/// async fn post(store: &Store, post: usize) -> Result<String, &'static str> {
///     let likes = store.likes(post).ok_or("no such post")?;
///     Ok(format!("{likes} likes"))
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// assert_eq!(post(&Store(vec![7]), 0).await.unwrap(), "7 likes");
/// # }
/// ```
///
/// A function that returns a future without being async, and one behind `#[async_trait]` below this attribute, is in its scope
/// only until it has made the future. Crates that use it depend on `appweight-agent` by that name. Functions that run
/// while they are compiled (`const fn`) cannot have it.
pub use appweight_agent_macros::profiled;
pub use appweight_wire::CounterStatus;
pub use body::{MeasureBody, MeasuredBody, StreamedRequest};
pub use builder::AgentBuilder;
pub use children::{spawn, spawn_blocking};
pub use clock::thread_cpu_ns;
pub use doctor::{Advice, Diagnosis, Machine, Way, Ways, doctor};
pub use downstream::{downstream, downstream_blocking};
pub use facts::flag;
pub use head::RequestHead;
pub use layer::{AgentLayer, AgentService, ResponseFuture};
pub use sampling::SamplingStatus;
pub use scopes::timer::{CustomTimer, Timer};
pub use status::AgentStatus;

/// What the macros expand to.
#[doc(hidden)]
pub mod __private {
    pub use crate::scopes::{Scope, Scoped, Site};
}
