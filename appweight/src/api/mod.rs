//! The answers of the query API, as both its server and its clients know them.
//!
//! Everything is JSON. Times are µs since the Unix epoch, CPU is ns, shares and changes are
//! fractions (0.013 is +1.3 %).

mod alert;
mod compare;
mod deploy;
mod detected;
mod drift;
mod earlier;
mod flags;
mod process;
mod profile;
mod weight;

pub use alert::{Alert, AlertChange, AlertState};
pub use compare::{
    Arm, Change, Comparison, Control, EndpointComparison, Gate, Metric, RestartEffect,
    TotalComparison, Verdict,
};
pub use deploy::{
    DeployReport, DeployStatus, DeploySummary, DeployVerdict, Finding, MemoryComparison,
};
pub use detected::{AddedCost, Detected, DetectedChange, DetectedVerdict};
pub use drift::{DriftReport, DriftSeries, EndpointDrift, LevelChange, SeriesScan, Trend};
pub use earlier::{EarlierChange, EarlierRun};
pub use flags::{FlagReading, FlagReport, FlagValue, FlagsReport};
pub use process::{HostsOfDeploy, OddHost, ProcessView, RequestView, ServiceSummary};
pub use profile::{ProfileDiff, ProfileOf, ProfileSummary, ProfileView};
pub use weight::{SplitShare, WeightPoint, WeightSeries, WeightSplit};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What every refused request is answered with (RFC 9457, `application/problem+json`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `about:blank`: the status tells the kind.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened and what to do.
    pub detail: String,
    /// The field or parameter at fault, as `cells[3].cpu_ns.sum`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}
