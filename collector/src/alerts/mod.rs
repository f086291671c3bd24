//! Alerts: one for each roll-out that was judged to be a regression.
//!
//! That there is an alert follows from the report; what was done about it is kept beside it. So a report and its alert
//! come at once, and a watch that is started anew knows the same alerts as the one before.

mod followed;
mod hook;
mod message;
mod tell;

pub(crate) use followed::Followed;
pub use hook::{Hook, HookError};
pub(crate) use tell::keep_telling;

use appweight::api::{Alert, AlertState, DeployReport, DeployVerdict};

use crate::app::App;
use crate::store::{AlertStatus, DeployEntry, DeployQuery, StoreError, TimeRange};
use appweight_wire::Deploy;

/// Others may change an alert at once so often.
const TRIES: usize = 20;

/// The alert of a roll-out, if it has one.
pub(crate) fn alert_of(report: DeployReport, statuses: &[AlertStatus]) -> Option<Alert> {
    let summary = report.summary;
    let opened_us = summary.judged_us?;
    if summary.verdict != DeployVerdict::Regressed {
        return None;
    }
    let mut findings = summary.findings;
    findings.retain(|finding| finding.heavier);
    let alert = Alert {
        deploy: summary.deploy,
        headline: summary.headline,
        findings,
        opened_us,
        state: AlertState::Open,
        changed_us: opened_us,
        by: None,
        reason: None,
        resolved_by: None,
    };
    let mut statuses = statuses.iter();
    let known = statuses.find(|status| status.is_of(&alert.deploy));
    Some(match known {
        Some(status) => handled(alert, status.clone()),
        None => alert,
    })
}

/// An alert about which that was done.
pub(crate) fn handled(alert: Alert, status: AlertStatus) -> Alert {
    Alert {
        state: status.state,
        changed_us: status.changed_us.max(alert.opened_us),
        by: status.by,
        reason: status.reason,
        resolved_by: status.resolved_by,
        ..alert
    }
}

/// The alert of that roll-out as it is now.
pub(crate) async fn alert(app: &App, deploy: &Deploy) -> Result<Option<Alert>, StoreError> {
    let query = DeployQuery {
        service: deploy.service.clone(),
        id: Some(deploy.id.clone()),
        started: TimeRange::at(deploy.started_us),
        after: None,
        limit: 1,
    };
    let Some(DeployEntry {
        report: Some(report),
        ..
    }) = app.store.deploys(query).await?.pop()
    else {
        return Ok(None);
    };
    Ok(alert_of(report, &app.store.alert_statuses().await?))
}

/// Changes what is kept of an alert, unless `change` says that there is nothing to change. Gives what is kept then.
pub(crate) async fn change(
    app: &App,
    deploy: &Deploy,
    change: impl Fn(&mut AlertStatus) -> bool,
) -> Result<AlertStatus, StoreError> {
    for _ in 0..TRIES {
        let mut statuses = app.store.alert_statuses().await?.into_iter();
        let known = statuses.find(|status| status.is_of(deploy));
        let mut status = known.unwrap_or_else(|| AlertStatus::of(deploy));
        if !change(&mut status) {
            return Ok(status);
        }
        status.version += 1;
        if app.store.put_alert_status(status.clone()).await? {
            return Ok(status);
        }
    }
    Err(StoreError::Contended(format!("the alert of {}", deploy.id)))
}

/// Somebody said something of an alert, or the watch did.
pub(crate) fn set(status: &mut AlertStatus, state: AlertState, now_us: u64) {
    status.state = state;
    status.changed_us = now_us;
    status.by = None;
    status.reason = None;
    status.resolved_by = None;
}

#[cfg(test)]
mod tests;
