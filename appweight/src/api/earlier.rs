use appweight_wire::Kind;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Change;

/// A roll-out of code that had been rolled out before, such as a roll-back, beside that earlier run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EarlierRun {
    /// When the earlier roll-out began, µs.
    pub started_us: u64,
    /// Roll-outs since then, this one among them: what they changed is multiplied.
    pub roll_outs_since: u32,
    /// Those of them of which no change is known: without them nothing can be told.
    pub unknown: Vec<String>,
    /// By endpoint, where the change of each roll-out since is known.
    pub endpoints: Vec<EarlierChange>,
    /// All endpoints together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<Change>,
}

/// What one endpoint costs beside the earlier run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EarlierChange {
    /// Request or task.
    pub kind: Kind,
    /// The endpoint.
    pub endpoint: String,
    /// The change of its mean cost since, with an interval of one look.
    pub change: Change,
}
