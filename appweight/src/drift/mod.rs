//! Slow drift: what no single deploy did.
//!
//! Many changes, each too small to be called, add up. So one value is kept for each day ([`Day`]): the weight of the
//! peak minute, and what each endpoint's requests cost. [`report`](report()) looks at these series for changes of level
//! ([`changepoints`](crate::changepoints::changepoints)) and, since the last of them, for a trend: the slope of Theil
//! and Sen, the test of Mann and Kendall with the correction of Hamed and Rao for noise that is correlated from day to
//! day. All that is looked at in one report shares one bound on false discoveries. `docs/method.md` has each formula
//! with its source.

mod day;
mod report;
mod scan;
mod tell;
#[cfg(test)]
mod tests;
mod trend;
mod week;

pub use day::{Cost, Day, DaySums, EndpointDay, InstructionCost, Peak};
pub use report::{Span, report};
pub use scan::{LEAST_DAYS, LEAST_WEEKS};

/// A day, µs. Days are those of UTC.
pub const DAY_US: u64 = 86_400_000_000;
