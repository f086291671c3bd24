//! The judgement: what an app weighs, whether a deploy made it heavier, and how sure that is.
//!
//! Pure functions over cells and process points: no I/O, no clock, no thread. Whoever has cells,
//! from a store, a file or a test, gets the same verdict here.
//!
//! [`compare`](compare::compare) sets two deploys side by side endpoint by endpoint;
//! [`judge`](judge::judge) makes a verdict of it, [`memory`] included; [`weight`] tells instructions (or CPU time) per
//! active user; [`split`] separates what users did from what code cost; [`gate`] answers CI;
//! [`live`] runs the detector ([`detect`]) on a service's cells as a store has them;
//! [`flags`] holds each value of a feature flag against the others;
//! [`hosts`] names hosts that cost more than the others by themselves;
//! [`earlier`] sets a deploy that came back beside its earlier run;
//! [`alerts`] tells whether what became heavier is as light again.
//! [`changepoints`](changepoints::changepoints) finds where a series of days or weeks changed;
//! [`drift`] looks for it, and for slow trends, in what a service weighed and its endpoints cost day by day.
//! [`profile`] is the algebra of function profiles. [`api`] holds the questions and answers of the query API, which speak in these terms.

pub mod alerts;
pub mod api;
pub mod cells;
pub mod changepoints;
pub mod compare;
pub mod detect;
pub mod drift;
pub mod earlier;
pub mod evidence;
pub mod flags;
pub mod gate;
pub mod hosts;
pub mod judge;
pub mod live;
mod median;
pub mod memory;
pub mod profile;
pub mod simulate;
pub mod split;
pub mod text;
pub mod thresholds;
pub mod weight;
