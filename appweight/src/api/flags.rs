use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{DetectedChange, Metric};

/// What the values of a service's feature flags cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FlagsReport {
    /// The service.
    pub service: String,
    /// The start of what was asked for, µs.
    pub from_us: u64,
    /// The end of it, µs.
    pub until_us: u64,
    /// Since when cells were read, µs: later than `from_us` where there were more than are read at once.
    pub read_since_us: u64,
    /// What is judged; absent where no flag was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
    /// Values that were left out, since there are more than are judged: those of fewest requests.
    pub left_out_values: u32,
    /// Flag by flag: those first of which something is called.
    pub flags: Vec<FlagReport>,
}

/// A flag and what its values cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FlagReport {
    /// Its name.
    pub flag: String,
    /// The value that is not judged by itself: `off`, else the most common one. Absent: the requests without the flag, where
    /// it was told with one value alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The other values, each against all requests that had another one.
    pub values: Vec<FlagValue>,
}

/// A value of a flag against all others of the flag.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FlagValue {
    /// The value.
    pub value: String,
    /// Requests that had it.
    pub requests: u64,
    /// Their share in those that it is held against and themselves.
    pub share: f64,
    /// As what the changes are to be read.
    pub reads_as: FlagReading,
    /// Why so.
    pub because: String,
    /// All endpoints that know the flag together, at a fixed mix of requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<DetectedChange>,
    /// Endpoint by endpoint, what is called first. `change` is of the mean cost with the value against without.
    pub endpoints: Vec<DetectedChange>,
}

/// What a difference between a flag's values means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FlagReading {
    /// The value was given at random, so that it is the value that costs this.
    Cost,
    /// Requests that have the value may differ from others in more than the value.
    Association,
}
