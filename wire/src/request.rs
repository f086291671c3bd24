use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Age, InstructionSource, Kind};

/// A feature flag and the value that a request saw.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
pub struct Flag {
    /// The flag's name.
    pub name: String,
    /// The value that was in force.
    pub value: String,
}

/// What a request spent waiting for one other service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Downstream {
    /// How many calls were made.
    pub calls: u64,
    /// How long they took together, wall-clock ns.
    pub wall_ns: u64,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// One request (or task) with all its facts (Instagram's "Dynostats"): one in N is kept, for
/// drill-down. What was not read is absent, never zero.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RequestRecord {
    /// What it was.
    #[serde(default)]
    pub kind: Kind,
    /// When it began, µs since the Unix epoch.
    pub start_us: u64,
    /// The route's template (`/users/{id}`), never the raw path; for a task its name.
    pub endpoint: String,
    /// The method, absent for a task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The HTTP status (500 if the handler panicked), absent for a task and for a request that was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Whether it failed: a status of 500 or more, a panic, a cancelled request.
    #[serde(default)]
    pub error: bool,
    /// Whether its response was still being sent when the cell ended that this is counted in: what it used
    /// until then. What it uses later is counted in later cells, as requests of their own.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unfinished: bool,
    /// How many requests it stands for; 0 for one that was kept because it was costly.
    pub weight: u64,
    /// How old the process was.
    #[serde(default)]
    pub age: Age,
    /// CPU instructions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<u64>,
    /// How they were counted.
    #[serde(default)]
    pub instruction_source: InstructionSource,
    /// Whether the count was scaled up because the counter was multiplexed with others.
    #[serde(default)]
    pub scaled: bool,
    /// Thread CPU time over all polls, ns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_ns: Option<u64>,
    /// From first to last poll, wall-clock ns.
    pub wall_ns: u64,
    /// The process's resident memory at the start, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rss_start_bytes: Option<u64>,
    /// The process's resident memory at the end, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rss_end_bytes: Option<u64>,
    /// Bytes allocated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocated_bytes: Option<u64>,
    /// Number of allocations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocations: Option<u64>,
    /// Time and calls per downstream (`cache`, `database`, …).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub downstream: BTreeMap<String, Downstream>,
    /// The feature flags in force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<Flag>,
    /// How often the request's future was polled.
    #[serde(default)]
    pub polls: u64,
    /// How often a poll ran on another thread than the one before.
    #[serde(default)]
    pub thread_hops: u64,
}
