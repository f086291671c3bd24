//! The collector: takes batches, keeps them in a store, judges every deploy, answers queries.
//!
//! [`Collector::router`] is the whole HTTP API as an axum router, for a listener or for calls
//! within the process; [`Collector::watch`] is the loop that judges.

mod access;
mod alerts;
mod app;
mod body;
mod clock;
mod clocks;
mod collector;
mod committer;
mod days;
mod decoding;
mod encoding;
mod endpoints;
#[cfg(feature = "parquet")]
mod export;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod ingest;
mod judgement;
mod lease;
mod live;
mod lock;
mod metrics;
mod off_the_runtime;
mod openapi;
mod options;
mod problem;
mod query;
mod refused;
mod retention;
mod rolling;
mod routes;
mod services;
mod store;
mod stores;
mod turns;
mod watch;

#[cfg(test)]
mod testing;

pub use access::{Access, Token, TokenError};
pub use alerts::{Hook, HookError};
pub use clock::Clock;
pub use collector::{Collector, CollectorError};
#[cfg(feature = "parquet")]
pub use export::{ExportError, Exported};
pub use ingest::BatchReceipt;
pub use openapi::document;
pub use options::CollectorOptions;
pub use store::copy::{CopyError, CopyProgress};
pub use store::{BackupError, StoreError, backup};
#[cfg(feature = "clickhouse")]
pub use store::{ClickhouseOptions, ClickhouseOptionsError};
pub use stores::{Migrated, StoreAt, copy_store, migrate};
