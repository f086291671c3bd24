//! What each value of a feature flag costs: it is held against all other values of the flag that were served at the same time.
//!
//! The evidence is the detector's ([`detect`](crate::detect)), minute by minute inside cluster and deploy, so that neither the time of day nor a
//! roll-out is charged to a flag. Whether a difference is the flag's cost, or goes along with it alone, depends on how the flag is given.
//! `docs/method.md` has the rules.

mod collect;
mod given;
mod judge;
mod report;
mod shares;
#[cfg(test)]
mod tests;

pub use collect::FlagCells;
pub use report::report;

/// Values that are judged at most, those of most requests. Each is looked at in every minute.
const MOST_VALUES: usize = 64;
