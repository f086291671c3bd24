use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{DeploySummary, Metric};

/// What the app weighed in one window of time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WeightPoint {
    /// When the window begins, µs.
    pub start_us: u64,
    /// How long it is, µs.
    pub width_us: u64,
    /// Users with at least one request in it (estimated, standard error 1.6 %); absent if the
    /// service does not say who its requests are from.
    pub active_users: Option<f64>,
    /// Requests that ended in it.
    pub requests: u64,
    /// What all of the service's processes burned, in the series' metric.
    pub total: f64,
    /// `total` per active user: the weight.
    pub weight: Option<f64>,
}

/// A service's weight over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WeightSeries {
    /// The service.
    pub service: String,
    /// In what it is weighed: instructions, or CPU time (ns) where those are absent.
    pub metric: Metric,
    /// Why instructions are absent, if they are.
    pub instructions_absent_because: Option<String>,
    /// Window by window.
    pub points: Vec<WeightPoint>,
    /// The window with the most active users.
    pub peak: Option<WeightPoint>,
    /// The deploys that started in the time asked for.
    pub deploys: Vec<DeploySummary>,
}

/// One part of a change of weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SplitShare {
    /// The endpoint.
    pub endpoint: String,
    /// What its cost per request moved the weight by, in the metric's unit per active user.
    pub cost: f64,
    /// What its share of the requests moved it by.
    pub mix: f64,
}

/// The change of weight between two spans of time, split without a remainder into what users did
/// and what code cost (Shapley value over the three factors).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WeightSplit {
    /// In what it is weighed.
    pub metric: Metric,
    /// Weight before, per active user.
    pub before: f64,
    /// Weight after, per active user.
    pub after: f64,
    /// What a change of requests per user moved it by.
    pub requests_per_user: f64,
    /// What a change of the mix of endpoints moved it by, of those that were asked for before and after.
    pub mix: f64,
    /// What endpoints moved it by that nobody asked for before.
    #[serde(default)]
    pub new: f64,
    /// What endpoints moved it by that nobody asked for any more.
    #[serde(default)]
    pub vanished: f64,
    /// What a change of cost per request moved it by.
    pub cost: f64,
    /// The same by endpoint, the largest first.
    pub endpoints: Vec<SplitShare>,
}
