//! What a profile is made of: functions, the numbers they and nodes have in it, and what is known of the whole.

pub use appweight_wire::{Function, Taken};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How many replicates a merged profile keeps apart. From the spread between them come the intervals of
/// everything that is worked out of the tree, also after wrappers were looked through, which no sum of
/// squares per function would allow. 16 are enough for an error that is itself known to a fifth.
pub const REPLICATES: usize = 16;

/// The number of a function in its profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunctionId(pub(super) u32);

/// The number of a node in its profile. A node's parent always has a smaller one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(super) u32);

impl NodeId {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a profile's values count.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct Timer {
    /// `instructions`, `cpu`, `wall`, `allocated`, …
    pub name: String,
    /// `instructions`, `ns`, `bytes`, …
    pub unit: String,
}

impl Timer {
    /// A timer of that name and unit.
    #[must_use]
    pub fn new(name: &str, unit: &str) -> Self {
        Self {
            name: name.to_owned(),
            unit: unit.to_owned(),
        }
    }
}

/// What one replicate of a profile stands on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Replicate {
    /// Requests that were profiled.
    pub requests: u64,
    /// Samples that were taken; 0 for scopes.
    pub samples: u64,
}
