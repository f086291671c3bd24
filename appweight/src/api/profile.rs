use appweight_wire::{Age, InstructionSource, Kind, Taken};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::profile::{Diff, ProfileTree};

/// What a profile is of, but for service and deploy. Only profiles that are alike in all of it add up, and only they
/// are compared.
#[derive(
    Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
pub struct ProfileOf {
    /// The route's template or the task's name; empty for samples of whole processes that belong to no request.
    pub endpoint: String,
    /// Request or task.
    pub kind: Kind,
    /// The timer: `instructions`, `cpu`, `wall`, `allocated`, …
    pub timer: String,
    /// What it counts in: `instructions`, `ns`, `bytes`, …
    pub unit: String,
    /// How it was taken.
    pub taken: Taken,
    /// How instructions were counted; `none` for any other timer.
    pub instruction_source: InstructionSource,
    /// How old the processes were.
    pub age: Age,
}

impl ProfileOf {
    /// The parameters of the query API that ask for exactly this one, beside service and deploy.
    #[must_use]
    pub fn parameters(&self) -> [(&'static str, &str); 7] {
        [
            ("endpoint", &self.endpoint),
            ("kind", self.kind.as_str()),
            ("timer", &self.timer),
            ("unit", &self.unit),
            ("taken", self.taken.as_str()),
            ("instruction_source", self.instruction_source.as_str()),
            ("age", self.age.as_str()),
        ]
    }
}

/// A profile of a deploy, without its tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProfileSummary {
    /// What it is of.
    pub of: ProfileOf,
    /// Requests that were profiled.
    pub requests: u64,
    /// Samples that are in it; 0 for scopes.
    pub samples: u64,
    /// Samples that were taken and lost.
    pub lost_samples: u64,
    /// When the first record in it begins, µs.
    pub from_us: u64,
    /// When the last one ends, µs.
    pub until_us: u64,
}

/// All profiles of a deploy that are of the same, added up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProfileView {
    /// The service.
    pub service: String,
    /// The deploy's id.
    pub deploy: String,
    /// What it is of and what is behind it.
    pub summary: ProfileSummary,
    /// Which function costs what, in which chain of calls.
    pub tree: ProfileTree,
}

/// What a deploy changed, function by function.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProfileDiff {
    /// The service.
    pub service: String,
    /// The old deploy's id.
    pub base: String,
    /// The new deploy's id.
    pub head: String,
    /// What both profiles are of.
    pub of: ProfileOf,
    /// How many functions there are; those that changed most are listed.
    pub functions_total: u64,
    /// What changed per request, the functions that changed most first.
    pub diff: Diff,
}
