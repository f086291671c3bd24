//! What the detector calls before a roll-out is judged for good.

use std::sync::Arc;

use appweight::api::{AlertState, DeployStatus, DeployVerdict, Detected, DetectedVerdict};
use appweight::live::judged_by;
use appweight_wire::Deploy;

use super::{change, entry, set};
use crate::app::App;
use crate::judgement::judge_now;
use crate::store::{AlertStatus, Called, StoreError};

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
    change_if_need_be(app, deploy, detected, is_settled).await?;
    // Not before: what failed is tried again at the next look.
    app.alerts.note(deploy, detected.until_us);
    Ok(())
}

async fn change_if_need_be(
    app: &Arc<App>,
    deploy: &Deploy,
    detected: &Detected,
    is_settled: bool,
) -> Result<(), StoreError> {
    let is_heavier = detected.says(DetectedVerdict::Regressed);
    let is_called = app.alerts.is_called(deploy);
    // It takes a comparison to tell more, and nearly always there is nothing to tell.
    if is_heavier == is_called && (is_called || !is_settled) {
        return Ok(());
    }
    // Not the one of a moment ago: it may be from before this minute.
    let report = judge_now(app, deploy.clone(), DeployStatus::Rolling).await?;
    let report = judged_by(detected.clone(), report, &app.options.thresholds);
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
    let moved = moved(app, deploy).await?;
    let status = change(app, deploy, |status| {
        if let (None, Some(before)) = (&status.called, &moved) {
            *status = AlertStatus {
                started_us: deploy.started_us,
                version: status.version,
                ..before.clone()
            };
        }
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

/// What was kept of the roll-out's alert before it was found to have begun earlier: a record came late, or the CI told of it
/// after the first of them. It is the same alert, and nobody is told of it twice.
async fn moved(app: &App, deploy: &Deploy) -> Result<Option<AlertStatus>, StoreError> {
    let statuses = app.store.alert_statuses().await?.into_iter();
    let later = statuses.filter(|status| {
        let is_same = status.service == deploy.service && status.deploy == deploy.id;
        is_same && status.started_us > deploy.started_us && status.called.is_some()
    });
    for status in later {
        let was = Deploy {
            started_us: status.started_us,
            ..deploy.clone()
        };
        if entry(app, &was).await?.is_none() {
            return Ok(Some(status));
        }
    }
    Ok(None)
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
