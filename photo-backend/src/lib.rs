//! AppWeight's reference service: a small but true photo application with the agent embedded, the
//! traffic that drives it, and a measurement of what its deliberate mistakes truly cost.
//!
//! What is not here yet: sharding, a blob store (renditions of an upload are made, answered for and
//! dropped) and caches outside the process.

mod app;
mod cpu_clock;
mod endpoint;
mod endpoints;
mod error;
mod interval;
mod measured;
mod meter;
pub mod overhead;
mod ranking;
pub mod serve;
mod store;
mod tasks;
pub mod traffic;
pub mod truth;
mod variant;
mod views;

pub use app::{App, router};
pub use endpoint::Endpoint;
pub use store::{SeedReport, Store, StoreError, seed};
pub use variant::{Variant, Variants};
