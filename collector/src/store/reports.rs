//! Reports of roll-outs as stores keep them: as JSON.

use appweight::api::{DeployReport, DeploySummary};
use appweight_wire::Deploy;
use serde::Deserialize;

use super::StoreError;

/// What is read of a kept report.
pub(super) trait OfReport: Sized + Send {
    /// Of that roll-out: its title may have been told after it was judged.
    fn read(json: &[u8], deploy: &Deploy) -> Result<Self, StoreError>;
}

impl OfReport for DeployReport {
    fn read(json: &[u8], deploy: &Deploy) -> Result<Self, StoreError> {
        let mut report: Self = serde_json::from_slice(json).map_err(|error| unreadable(&error))?;
        report.summary.deploy = deploy.clone();
        Ok(report)
    }
}

/// All else, which is most of it, is passed over.
impl OfReport for DeploySummary {
    fn read(json: &[u8], deploy: &Deploy) -> Result<Self, StoreError> {
        #[derive(Deserialize)]
        struct Report {
            summary: DeploySummary,
        }
        let report = serde_json::from_slice(json);
        let Report { mut summary } = report.map_err(|error| unreadable(&error))?;
        summary.deploy = deploy.clone();
        Ok(summary)
    }
}

/// A report to be kept.
pub(super) fn written(report: &DeployReport) -> Result<String, StoreError> {
    let json = serde_json::to_string(report).map_err(|error| unreadable(&error))?;
    // Not a number has no JSON: better refused now than found unreadable for ever after.
    serde_json::from_str::<DeployReport>(&json).map_err(|error| unreadable(&error))?;
    Ok(json)
}

pub(super) fn unreadable(error: &serde_json::Error) -> StoreError {
    StoreError::Corrupt {
        what: "report",
        reason: error.to_string(),
    }
}
