//! Function profiles: which function costs what, in which calling context, and what a deploy changed.
//!
//! A [`Profile`] is a calling-context tree (Ammons, Ball and Larus, PLDI 1997): a node for each chain of
//! calls, not a pair of caller and callee, so that what a wrapper calls for A is never taken for what it
//! calls for B. Profiles add up in any order ([`Profile::merge`]). From a merged one come the cost of each
//! function ([`function_costs`]), who calls it and what it calls ([`neighbours`]), and with
//! [`look_through`] the same without the wrappers that say nothing. [`diff`] sets two deploys side by side
//! per request, with an interval for each function, and tells cost that only moved from cost that came.
//!
//! Values are signed, since memory can shrink, and are in the unit of the profile's [`Timer`].

mod builds;
mod context;
mod costs;
mod culprit;
mod diff;
mod estimate;
mod exchange;
pub mod flamegraph;
pub mod folded;
mod look_through;
mod moved;
mod neighbours;
mod parts;
pub mod pprof;
mod prune;
mod record;
mod timer_cost;
mod tree;

#[cfg(test)]
mod testing;

pub use builds::Builds;
pub use context::{by_name, union_of};
pub use costs::{FunctionCost, function_costs};
pub use culprit::ContextChange;
pub use diff::{Diff, DiffError, FunctionChange, diff};
pub use estimate::{Change, Interval};
pub use exchange::{ProfileTree, of_tree, to_tree};
pub use look_through::{DEFAULT_INLINED, DEFAULT_WRAPPERS, Wrappers, look_through};
pub use moved::{Move, MovedPart};
pub use neighbours::{Neighbour, Neighbours, neighbours};
pub use parts::{Function, FunctionId, NodeId, REPLICATES, Replicate, Taken, Timer};
pub use prune::prune;
pub use record::{of_record, to_record};
pub use timer_cost::TimerCost;
pub use tree::Profile;
