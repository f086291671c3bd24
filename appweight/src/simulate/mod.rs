//! Days of cells whose truth is known: what a judge of deploys is scored with.
//!
//! [`Simulation`] plans a day from a seed ([`Plan`]: who deploys what, and every trap) and draws its cells minute by minute. Cells
//! are drawn from the distribution of their sums rather than request by request wherever there are
//! more than a dozen requests; `draw.rs` states how. Pure: the same seed and shape give the same day.

mod draw;
mod plan;
mod power;
mod random;
mod score;
mod shape;
mod simulation;
mod traps;
mod truth;

pub use plan::{Plan, PlannedDeploy, RollOut};
pub use power::Power;
pub use score::{Score, ScoredPair, score};
pub use shape::Shape;
pub use simulation::Simulation;
pub use traps::Trap;
pub use truth::{Cause, Truth};
