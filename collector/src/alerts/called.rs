//! What the detector calls before a roll-out is judged for good.

use std::sync::Arc;

use appweight::api::{AlertState, DeployVerdict, Detected, DetectedVerdict};
use appweight_wire::Deploy;

use super::{change, set};
use crate::app::App;
use crate::store::{Called, StoreError};

/// Opens the alert of a roll-out that is under watch, takes it back or opens it again, as the detector says. Of memory the
/// comparison speaks, once the roll-out `is_settled`.
pub(crate) async fn note(
    app: &Arc<App>,
    deploy: &Deploy,
    detected: &Detected,
    is_settled: bool,
) -> Result<(), StoreError> {
    if !app.alerts.is_news(deploy, detected.until_us) {
        return Ok(());
    }
    let is_heavier = detected.says(DetectedVerdict::Regressed);
    let is_called = app.alerts.is_called(deploy);
    // It takes a comparison to tell more, and nearly always there is nothing to tell.
    if is_heavier == is_called && !(is_settled && !is_called) {
        return Ok(());
    }
    let report = app.rolling.report(app, deploy.clone()).await?;
    let is_regression = report.summary.verdict == DeployVerdict::Regressed;
    if is_regression == is_called {
        return Ok(());
    }
    let summary = report.summary;
    let called = Called {
        at_us: app.options.clock.now_us(),
        headline: summary.headline,
        findings: summary.findings,
        is_withdrawn: false,
    };
    if is_regression {
        open(app, deploy, called).await
    } else {
        withdraw(app, deploy).await
    }
}

async fn open(app: &App, deploy: &Deploy, called: Called) -> Result<(), StoreError> {
    let (service, id) = (&deploy.service, &deploy.id);
    tracing::warn!(service, deploy = id, "called: {}", called.headline);
    let status = change(app, deploy, |status| {
        match &mut status.called {
            None => status.called = Some(called.clone()),
            // It stands again.
            Some(before) => {
                before.is_withdrawn = false;
                if status.state == AlertState::Resolved {
                    set(status, AlertState::Open, called.at_us);
                }
            }
        }
        true
    })
    .await?;
    app.alerts.keep_called(&status);
    Ok(())
}

/// Resolves what was called and does not stand any more.
pub(crate) async fn withdraw(app: &App, deploy: &Deploy) -> Result<(), StoreError> {
    let (service, id) = (&deploy.service, &deploy.id);
    tracing::info!(
        service,
        deploy = id,
        "what was called went away: the alert is resolved"
    );
    let now_us = app.options.clock.now_us();
    let status = change(app, deploy, |status| {
        let Some(called) = &mut status.called else {
            return false;
        };
        if std::mem::replace(&mut called.is_withdrawn, true) {
            return false;
        }
        if status.state != AlertState::Resolved {
            set(status, AlertState::Resolved, now_us);
            status.reason = Some("what was seen went away while it was under watch".to_owned());
        }
        true
    })
    .await?;
    app.alerts.keep_called(&status);
    Ok(())
}

/// Opens again what was withdrawn and is a regression in the end.
pub(super) async fn stand(app: &App, deploy: &Deploy) -> Result<(), StoreError> {
    let now_us = app.options.clock.now_us();
    let status = change(app, deploy, |status| {
        let Some(called) = &mut status.called else {
            return false;
        };
        if !std::mem::replace(&mut called.is_withdrawn, false) {
            return false;
        }
        if status.state == AlertState::Resolved && status.resolved_by.is_none() {
            set(status, AlertState::Open, now_us);
        }
        true
    })
    .await?;
    app.alerts.keep_called(&status);
    Ok(())
}
