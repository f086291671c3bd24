use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One roll-out of a service. A roll-back ships an old id again and is a deploy of its own, told
/// apart by when it started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Deploy {
    /// The service.
    pub service: String,
    /// What was shipped: usually the commit.
    pub id: String,
    /// When the roll-out began, µs since the Unix epoch. In a POST it may be left out: now.
    #[serde(default)]
    pub started_us: u64,
    /// When the last instance had been replaced; absent while it rolls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_us: Option<u64>,
    /// The id that it replaced. If left out, that of the roll-out before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<String>,
    /// Who made the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The change in a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Where to read more: an http or https address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}
