use serde::{Deserialize, Serialize};

/// One thing that a simulated day holds, and a judge should or should not tell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// What it is.
    pub cause: Cause,
    /// The deploy behind it, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deploy: Option<String>,
    /// The flag behind it, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flag: Option<String>,
    /// The endpoint; none: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The host, of a bad one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Relative change of the mean cost; of the traffic where the mix shifts.
    pub effect: f64,
    /// First minute of it.
    pub start: i64,
    /// Last minute of it; none: for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<i64>,
}

impl Truth {
    /// What no deploy and no flag is behind, on all hosts and of all endpoints, from one minute to another.
    #[must_use]
    pub fn trap(cause: Cause, effect: f64, start: i64, end: i64) -> Self {
        Self {
            cause,
            deploy: None,
            flag: None,
            endpoint: None,
            host: None,
            effect,
            start,
            end: Some(end),
        }
    }
}

/// Why a cost or a mix moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A deploy: to be found.
    Deploy,
    /// A flag: to be found, and charged to no deploy.
    Flag,
    /// Everything costs more for a while, or one endpoint does.
    Spike,
    /// One host costs more for a while.
    BadHost,
    /// An endpoint grows dearer over hours.
    Drift,
    /// An endpoint is asked for more often.
    MixShift,
}
