use appweight_wire::Kind;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Change, Metric};

/// What the detector says of a roll-out, minute by minute while it is under watch, and in the end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Detected {
    /// Whether the roll-out's verdict is the detector's. If not, it is that of the comparison.
    pub judges: bool,
    /// Why it is this one's, or what the detector lacks.
    pub because: String,
    /// Whether it still looks: every minute, until an hour after the last host was restarted.
    pub watches: bool,
    /// What it judges; absent where it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
    /// The end of the last minute whose cells it has seen, µs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_us: Option<u64>,
    /// Requests of this service that came after their minute was judged. They are stored, and counted when the cells are read
    /// again.
    #[serde(default)]
    pub late_requests: u64,
    /// Minutes of this service that had more cells than are judged, and were left out.
    #[serde(default)]
    pub left_out_minutes: u64,
    /// Endpoint by endpoint, what changed first.
    pub endpoints: Vec<DetectedChange>,
    /// All endpoints together, at a fixed mix of requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<DetectedChange>,
}

/// What the detector says of one endpoint, or of all together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DetectedChange {
    /// Request or task; absent for all together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// The endpoint; absent for all together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// What is said.
    pub verdict: DetectedVerdict,
    /// The change of the mean cost. Its interval is of one look; the verdict is held to more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// The start of the minute whose cells made it sure, µs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sure_since_us: Option<u64>,
    /// Of what is undecided: at least how many more requests of each side it takes to decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_requests: Option<u64>,
    /// Of what is called: what it costs the service once it is rolled out, at the present load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<AddedCost>,
    /// Why: each check with its figures.
    pub checks: Vec<String>,
}

/// What a change costs a service at its present load, once all its hosts have it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AddedCost {
    /// As a part of what all requests of the service use now: 0.013 is +1.3 % of its CPU, or of its instructions.
    pub share: f64,
    /// Cores, if CPU time is judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cores: Option<f64>,
    /// Of so many that all requests of the service keep busy now, if CPU time is judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of_cores: Option<f64>,
}

/// What the detector can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DetectedVerdict {
    /// It costs more.
    Regressed,
    /// It costs less.
    Improved,
    /// It costs less, but its share of errors rose: failing fast is no improvement.
    Withheld,
    /// The whole interval lies within the smallest change that is worth a word.
    Unchanged,
    /// Neither can be said yet.
    Undecided,
    /// It was said to have changed, and that went away.
    Withdrawn,
    /// There are no requests of both sides.
    NoData,
}

impl Detected {
    /// What is said while nothing can be, or for good if nobody `watches`.
    #[must_use]
    pub fn silent(because: String, watches: bool) -> Self {
        Self {
            judges: false,
            because,
            watches,
            metric: None,
            until_us: None,
            late_requests: 0,
            left_out_minutes: 0,
            endpoints: Vec::new(),
            total: None,
        }
    }

    /// All that something is said of: endpoints, and all together.
    pub fn changes(&self) -> impl Iterator<Item = &DetectedChange> {
        self.endpoints.iter().chain(&self.total)
    }

    /// Whether that is said of something.
    #[must_use]
    pub fn says(&self, verdict: DetectedVerdict) -> bool {
        self.judges && self.changes().any(|change| change.verdict == verdict)
    }
}
