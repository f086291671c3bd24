//! Alerts: one for each roll-out that was judged to be a regression, or called one while it was under watch.
//!
//! That there is an alert follows from the report, or from what is kept of the call; what was done about it is kept beside
//! it. So a report and its alert come at once, and a watch that is started anew knows the same alerts as the one before.

mod called;
mod followed;
mod hook;
mod message;
mod tell;

pub(crate) use called::note;
#[cfg(test)]
pub(crate) use called::withdraw;
pub(crate) use followed::Followed;
pub use hook::{Hook, HookError};
pub(crate) use tell::keep_telling;

use appweight::api::{Alert, AlertState, DeploySummary, DeployVerdict};

use crate::app::App;
use crate::store::{AlertStatus, DeployEntry, DeployQuery, StoreError, TimeRange};
use appweight_wire::Deploy;

/// Others may change an alert at once so often.
const TRIES: usize = 20;

/// The alert of a roll-out, if it has one: since its final report is a regression, or one was called before.
pub(crate) fn alert_of(
    entry: DeployEntry<DeploySummary>,
    statuses: &[AlertStatus],
) -> Option<Alert> {
    let mut statuses = statuses.iter();
    let status = statuses.find(|status| status.is_of(&entry.deploy)).cloned();
    let called = status.as_ref().and_then(|status| status.called.clone());
    let final_one = entry
        .report
        .filter(|summary| summary.verdict == DeployVerdict::Regressed);
    let (deploy, headline, mut findings, judged_us) = match (final_one, &called) {
        (Some(summary), _) => (
            summary.deploy,
            summary.headline,
            summary.findings,
            summary.judged_us?,
        ),
        (None, Some(called)) => (
            entry.deploy,
            called.headline.clone(),
            called.findings.clone(),
            called.at_us,
        ),
        (None, None) => return None,
    };
    findings.retain(|finding| finding.heavier);
    let opened_us = called.map_or(judged_us, |called| called.at_us);
    let alert = Alert {
        deploy,
        headline,
        findings,
        opened_us,
        state: AlertState::Open,
        changed_us: opened_us,
        by: None,
        reason: None,
        resolved_by: None,
    };
    Some(match status {
        Some(status) => handled(alert, status),
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
    let Some(entry) = entry(app, deploy).await? else {
        return Ok(None);
    };
    Ok(alert_of(entry, &app.store.alert_statuses().await?))
}

/// What the store has of the roll-out with that id and start.
async fn entry(
    app: &App,
    deploy: &Deploy,
) -> Result<Option<DeployEntry<DeploySummary>>, StoreError> {
    let query = DeployQuery {
        service: deploy.service.clone(),
        id: Some(deploy.id.clone()),
        started: TimeRange::at(deploy.started_us),
        after: None,
        limit: 1,
    };
    Ok(app.store.summaries(query).await?.pop())
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
#[cfg(test)]
mod two_watchers;
