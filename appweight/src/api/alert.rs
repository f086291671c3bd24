use appweight_wire::Deploy;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Finding;

/// Where an alert is.
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
pub enum AlertState {
    /// Nobody has looked at it.
    #[default]
    Open,
    /// Somebody looks into it.
    Acknowledged,
    /// It is to stay, for a reason.
    Accepted,
    /// What became heavier is as light as before, or what was called went away while it was under watch.
    Resolved,
}

impl AlertState {
    /// As it is written in questions and answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Accepted => "accepted",
            Self::Resolved => "resolved",
        }
    }
}

/// A roll-out that made its service heavier, and what was done about it. There is one for each roll-out that
/// was judged to be a regression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Alert {
    /// The roll-out.
    pub deploy: Deploy,
    /// The verdict in one sentence.
    pub headline: String,
    /// What became heavier, the costliest first.
    pub findings: Vec<Finding>,
    /// When it was judged, µs.
    pub opened_us: u64,
    /// Where it is.
    pub state: AlertState,
    /// Since when, µs.
    pub changed_us: u64,
    /// Who said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The deploy that made all of it as light as before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_by: Option<String>,
}

/// What somebody says of an alert.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertChange {
    /// The service.
    #[schema(min_length = 1)]
    pub service: String,
    /// The deploy that the alert is about.
    #[schema(min_length = 1)]
    pub deploy: String,
    /// Which of its roll-outs, µs; the newest if left out.
    #[serde(default)]
    #[schema(maximum = 9223372036854775807_u64)]
    pub started_us: Option<u64>,
    /// Where it is from now on; `resolved` is nothing that can be said.
    pub state: AlertState,
    /// Who says so.
    #[serde(default)]
    pub by: Option<String>,
    /// Why. What is accepted needs one.
    #[serde(default)]
    pub reason: Option<String>,
}
