//! What is said of a deploy.

use appweight_wire::Deploy;

use crate::api::{DeployReport, DeployStatus, DeploySummary, DeployVerdict};
use crate::evidence::Evidence;
use crate::thresholds::Thresholds;

/// Judges a deploy against the one that it replaced (`deploy.replaced`; `None`: the first one).
#[must_use]
pub fn judge(deploy: &Deploy, status: DeployStatus, evidence: &Evidence, thresholds: &Thresholds) -> DeployReport {
    let _ = (evidence, thresholds);
    DeployReport {
        summary: DeploySummary {
            deploy: deploy.clone(),
            status,
            verdict: DeployVerdict::Pending,
            headline: String::new(),
            findings: Vec::new(),
            judged_us: None,
        },
        from_us: None,
        until_us: None,
        comparison: None,
        memory: None,
        split: None,
    }
}
