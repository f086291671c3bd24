use appweight_wire::{Deploy, Kind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AddedCost, Change, Comparison, Detected, EarlierRun, HostsOfDeploy, WeightSplit};

/// Where a deploy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeployStatus {
    /// Some instances still run the old code, or the detector still watches the new: what is said may change.
    Rolling,
    /// Judged for good: cells that arrive later do not reopen it.
    Judged,
}

/// What is said of a whole deploy: the worst of its endpoints and its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeployVerdict {
    /// Not yet judged.
    Pending,
    /// An endpoint became heavier, or memory grows faster.
    Regressed,
    /// An endpoint became lighter and none heavier.
    Improved,
    /// No change could be told from noise.
    NoChange,
    /// Nothing was called, and of no endpoint it is known that it did not change: more requests may tell.
    Undecided,
    /// All that was called of it went away.
    Withdrawn,
    /// No endpoint had enough requests on both sides.
    NotEnoughData,
    /// It looks cheaper, but errors rose.
    Withheld,
    /// The first deploy of its service: there is nothing to compare it with.
    First,
}

/// One thing found in a deploy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// Request or task; absent when the finding is about the service as a whole.
    pub kind: Option<Kind>,
    /// The endpoint; absent when the finding is about the service as a whole: its memory or, with a `change`, all
    /// endpoints together.
    pub endpoint: Option<String>,
    /// Heavier (true) or lighter.
    pub heavier: bool,
    /// The relative change of an endpoint.
    pub change: Option<Change>,
    /// What it costs the service, if the detector judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<AddedCost>,
    /// One sentence with the numbers.
    pub text: String,
}

/// How fast the processes' resident memory grows per request, before and after, at equal process age.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MemoryComparison {
    /// Growth per request under the old deploy, bytes.
    pub before_bytes_per_request: f64,
    /// Growth per request under the new deploy, bytes.
    pub after_bytes_per_request: f64,
    /// The difference's interval, lower end, bytes per request.
    pub low: f64,
    /// The difference's interval, upper end, bytes per request.
    pub high: f64,
    /// How sure the interval is, 0 to 1.
    pub confidence: f64,
    /// Processes on each side, before and after.
    pub processes: (u32, u32),
    /// Whether memory leaks under the new deploy and did not before.
    pub leaks: bool,
    /// Whether a leak of the old deploy is gone.
    pub leak_gone: bool,
    /// Why.
    pub gates: Vec<super::Gate>,
}

/// A deploy in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeploySummary {
    /// What was rolled out, and when.
    pub deploy: Deploy,
    /// Where it is.
    pub status: DeployStatus,
    /// What is said of it.
    pub verdict: DeployVerdict,
    /// The first line of its page: verdict, size, interval and endpoint in one sentence.
    pub headline: String,
    /// What was found, the costliest first.
    pub findings: Vec<Finding>,
    /// When it was judged, µs.
    pub judged_us: Option<u64>,
}

/// Everything about one deploy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeployReport {
    /// As in the list.
    pub summary: DeploySummary,
    /// The first span of time that was compared, µs; absent without a comparison.
    pub from_us: Option<u64>,
    /// The end of the last one, µs.
    pub until_us: Option<u64>,
    /// Endpoint by endpoint; absent for a first deploy.
    pub comparison: Option<Comparison>,
    /// Memory; absent where the processes' memory is unknown.
    pub memory: Option<MemoryComparison>,
    /// How its hosts compare with each other; absent where fewer than four have process records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<HostsOfDeploy>,
    /// What moved the weight between before and after the roll-out.
    pub split: Option<WeightSplit>,
    /// What the detector says, and whether the verdict is its own; absent where nobody asked it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detected: Option<Detected>,
    /// Beside an earlier run of the same code, if it was rolled out again: after a roll-back, say. In the answer to a question for one
    /// roll-out alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier_run: Option<EarlierRun>,
}
