use std::collections::BTreeMap;

use appweight::api::{AlertState, Finding};
use appweight_wire::Deploy;
use serde::{Deserialize, Serialize};

/// What was done about an alert. Every change is a version of its own, so that of two who change it at once the
/// second looks again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct AlertStatus {
    /// Of which service.
    pub(crate) service: String,
    /// The deploy that made it heavier.
    pub(crate) deploy: String,
    /// When its roll-out began, µs.
    pub(crate) started_us: u64,
    /// Which change this is; 0 of an alert about which nothing was done.
    pub(crate) version: u64,
    /// Where it is.
    pub(crate) state: AlertState,
    /// Since when, µs; 0 of one about which nothing was done.
    pub(crate) changed_us: u64,
    /// Who said so.
    pub(crate) by: Option<String>,
    /// Why.
    pub(crate) reason: Option<String>,
    /// The deploy that made it as light as before.
    pub(crate) resolved_by: Option<String>,
    /// What was told last, to whom.
    pub(crate) told: BTreeMap<String, AlertState>,
    /// What was called before there was a final report; absent if nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) called: Option<Called>,
}

/// What the detector called while a roll-out was under watch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Called {
    /// When, µs.
    pub(crate) at_us: u64,
    /// The verdict in one sentence.
    pub(crate) headline: String,
    /// What became heavier.
    pub(crate) findings: Vec<Finding>,
    /// Whether it was taken back since.
    pub(crate) is_withdrawn: bool,
}

impl AlertStatus {
    /// That of an alert about which nothing was done.
    pub(crate) fn of(deploy: &Deploy) -> Self {
        Self {
            service: deploy.service.clone(),
            deploy: deploy.id.clone(),
            started_us: deploy.started_us,
            ..Self::default()
        }
    }

    /// Whether it is about that roll-out.
    pub(crate) fn is_of(&self, deploy: &Deploy) -> bool {
        self.service == deploy.service
            && self.deploy == deploy.id
            && self.started_us == deploy.started_us
    }
}
