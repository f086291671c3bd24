//! Scopes: functions and blocks of the service whose cost is told in their calling context, for one request in M.
//!
//! A request that is profiled has a [`Tree`](tree::Tree), which is the thread's current one while the request is polled.
//! Each scope of the code moves it along; without a current tree a scope does nothing. When the request has ended, its
//! tree goes by way of the thread's shard to the thread that seals batches, and there it is added to the profile of its
//! endpoint.

pub(crate) mod costs;
mod current;
pub(crate) mod ended;
mod macros;
mod scoped;
mod site;
#[cfg(test)]
mod tests;
pub(crate) mod timer;
pub(crate) mod timers;
pub(crate) mod tree;

pub(crate) use current::{records, swap, with};

pub use current::Scope;
pub use scoped::Scoped;
pub use site::Site;
