//! Function profiles: which function costs what, in which calling context.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::cell::is_zero;
use crate::{Age, InstructionSource, Kind};

/// A function, as its profiler named it.
#[derive(
    Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
pub struct Function {
    /// Its name with its path, demangled; or a scope's.
    pub name: String,
    /// The file that it is defined in; empty if that is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// The line that it begins in; 0 if that is not known.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub line: u32,
}

impl Function {
    /// A function of which only the name is known.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }
}

/// How a profile was taken.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Taken {
    /// Every call of an instrumented function is counted.
    #[default]
    Scopes,
    /// A stack every so often; what a node's `calls` count are samples.
    Sampled,
}

impl Taken {
    /// Each of them.
    pub const ALL: [Self; 2] = [Self::Scopes, Self::Sampled];

    /// What it is called in batches and in questions.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scopes => "scopes",
            Self::Sampled => "sampled",
        }
    }
}

/// What one timer says of each node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TimerValues {
    /// `instructions`, `cpu`, `wall`, `rss`, `allocated`, …
    pub name: String,
    /// `instructions`, `ns`, `bytes`, …
    pub unit: String,
    /// What each node's function itself cost, without those that it called; beside the record's `parents`. Signed,
    /// since memory can shrink.
    pub own: Vec<i64>,
    /// The timer's own cost that was taken off for each call, in thousandths of the unit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub taken_off_milli: u64,
    /// How far from the timer's own cost that may be, in thousandths of the unit: what is left in the values for each call, too
    /// much or too little. What cold caches add is not in it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_milli: u64,
}

/// A calling-context tree: what the profiled requests of one endpoint in one span of time add up to.
///
/// Nodes are lists that stand side by side. The first node is the request itself: its parent is 0, its function means
/// nothing, and its own value is what is known to belong to no function. Every other node's parent comes before it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileRecord {
    /// When the span begins, µs since the Unix epoch: a multiple of its width, as a cell's.
    pub start_us: u64,
    /// How long it lasts, µs.
    pub width_us: u64,
    /// What was profiled.
    #[serde(default)]
    pub kind: Kind,
    /// The route's template; for a task its name. Empty: samples of the whole process that belong to no request.
    pub endpoint: String,
    /// How old the process was.
    #[serde(default)]
    pub age: Age,
    /// How it was taken.
    #[serde(default)]
    pub taken: Taken,
    /// How instructions were counted, if a timer counts them.
    #[serde(default)]
    pub instruction_source: InstructionSource,
    /// Requests that were profiled.
    pub requests: u64,
    /// Samples that are in the tree; 0 for scopes.
    #[serde(default)]
    pub samples: u64,
    /// Samples that were taken and lost.
    #[serde(default)]
    pub lost_samples: u64,
    /// The builds of the program that it is of, by the ids that their linkers wrote, as hexadecimal digits; empty if that is not
    /// known. One from a process.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub builds: Vec<String>,
    /// The functions that nodes refer to by their place in this list.
    #[serde(default)]
    pub functions: Vec<Function>,
    /// Each node's parent, by its place.
    pub parents: Vec<u32>,
    /// Each node's function, by its place.
    pub node_functions: Vec<u32>,
    /// How often each node was seen: calls, or samples.
    pub calls: Vec<u64>,
    /// How many nodes were folded into their parents to keep the tree small.
    #[serde(default)]
    pub folded: u64,
    /// What was read at the edges of scopes, or at samples: one or several timers of the same tree.
    pub timers: Vec<TimerValues>,
}
