//! The watch: every roll-out is judged for good, once, and called before if the detector is sure. All its state is in the store or
//! follows from it, so a restart goes on where it was.

use std::sync::Arc;
use std::time::Duration;

use appweight::api::{DeployReport, DeployStatus, DeployVerdict, Detected};
use appweight_wire::Deploy;

use crate::alerts;
use crate::app::App;
use crate::judgement::{judge_now, with_detected};
use crate::live::{self, Said};
use crate::options::micros;
use crate::store::{StoreError, TimeRange};

const LONGEST_TICK: Duration = Duration::from_secs(5);
const SHORTEST_TICK: Duration = Duration::from_millis(500);
/// Before a detector knows how a service warms up it leaves out 20 minutes: so long after its end and some more a roll-out
/// waits for it to speak.
const FIRST_WORD_US: u64 = 30 * 60_000_000;
/// Its hosts are seen some minutes after they have begun to serve.
const FIRST_CELLS_US: u64 = 5 * 60_000_000;
/// Nothing is waited for that a service which sends nothing any more would have to tell.
const STALLED_US: u64 = 10 * 60_000_000;

/// Judges roll-outs until `shutdown` is done, while this collector is the one that does.
pub(crate) async fn keep_looking(app: &Arc<App>, shutdown: impl Future<Output = ()>) {
    if !app.options.watch {
        return;
    }
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        if app.lease.is_held(app)
            && let Err(error) = look(app).await
        {
            tracing::error!(%error, "could not look for roll-outs to judge; will try again");
        }
        let tick = tick(app).await.unwrap_or(LONGEST_TICK);
        tokio::select! {
            () = &mut shutdown => return,
            () = tokio::time::sleep(tick) => {}
        }
    }
}

/// Judges every roll-out whose time has come. Returns what was said.
pub(crate) async fn look(app: &Arc<App>) -> Result<Vec<DeployReport>, StoreError> {
    let mut reports = Vec::new();
    let unjudged = app.store.unjudged().await?;
    // Once what was called before is known, nothing is called twice.
    app.alerts.learn(app).await?;
    live::catch_up(app, &unjudged).await?;
    for deploy in unjudged {
        let (service, id) = (deploy.service.clone(), deploy.id.clone());
        match judge_if_due(app, deploy).await {
            Ok(report) => reports.extend(report),
            // One that cannot be judged must not keep the others waiting.
            Err(error) => {
                tracing::error!(service, deploy = id, %error, "could not judge a roll-out; will try again")
            }
        }
    }
    app.alerts.follow(app, &reports).await?;
    Ok(reports)
}

async fn judge_if_due(
    app: &Arc<App>,
    mut deploy: Deploy,
) -> Result<Option<DeployReport>, StoreError> {
    let now_us = app.options.clock.now_us();
    let ended_us = end_of(app, &deploy, now_us).await?;
    let settle_us = micros(app.options.settle);
    let settled_us = ended_us.filter(|ended_us| now_us >= ended_us.saturating_add(settle_us));
    let says_more =
        |detected: &Detected| ended_us.is_none_or(|ended_us| has_more_to_say(detected, ended_us));
    let is_waited_for = match app.detectors.said(&deploy, now_us) {
        Said::Reading => return Ok(None),
        Said::Nothing => false,
        Said::This(detected, idle_us) => {
            if detected.judges {
                alerts::note(app, &deploy, &detected, settled_us.is_some()).await?;
            }
            idle_us < STALLED_US && says_more(&detected)
        }
    };
    let Some(ended_us) = settled_us.filter(|_| !is_waited_for) else {
        return Ok(None);
    };
    if deploy.replaced.is_some() {
        deploy.ended_us = Some(ended_us);
    }
    let report = judge_now(app, deploy, DeployStatus::Judged).await?;
    let mut report = with_detected(app, report);
    report.summary.status = DeployStatus::Judged;
    report.summary.judged_us = Some(now_us);
    if !app.store.put_report(report.clone()).await? {
        return Ok(None);
    }
    app.metrics.judged(report.summary.verdict);
    announce(&report);
    Ok(Some(report))
}

/// The final report waits for the detector while it watches, but not for ever for its first word.
fn has_more_to_say(detected: &Detected, ended_us: u64) -> bool {
    if detected.judges {
        return detected.watches;
    }
    let patience_us = if detected.watches {
        FIRST_WORD_US
    } else {
        FIRST_CELLS_US
    };
    let enough_us = ended_us.saturating_add(patience_us);
    detected
        .until_us
        .is_some_and(|until_us| until_us < enough_us)
}

/// When a roll-out was over: when the CI said so, when the next one began, or when the replaced
/// deploy sent its last cell a while ago. `None` while it rolls.
async fn end_of(app: &App, deploy: &Deploy, now_us: u64) -> Result<Option<u64>, StoreError> {
    if deploy.ended_us.is_some() {
        return Ok(deploy.ended_us);
    }
    let next_us = app
        .store
        .next_start(&deploy.service, deploy.started_us)
        .await?;
    if next_us.is_some() {
        return Ok(next_us);
    }
    let Some(replaced) = &deploy.replaced else {
        // A first deploy is compared with nothing: there is no need to wait for its end.
        return Ok(Some(deploy.started_us));
    };
    let (_, widest_us) = app
        .store
        .cell_widths(&deploy.service)
        .await?
        .unwrap_or_default();
    let since = TimeRange {
        from_us: deploy.started_us.saturating_sub(widest_us),
        // What a wrong clock tells of the future does not keep the old deploy alive until then.
        until_us: now_us.saturating_add(widest_us),
    };
    if app
        .store
        .cell_span(&deploy.service, &deploy.id, since)
        .await?
        .is_none()
    {
        return Ok(None);
    }
    let last = app
        .store
        .cell_span(&deploy.service, replaced, since)
        .await?;
    let ended_us = last.map_or(deploy.started_us, |span| {
        span.until_us.max(deploy.started_us)
    });
    let silent_us = micros(app.options.settle).max(2 * widest_us);
    Ok((ended_us.saturating_add(silent_us) <= now_us).then_some(ended_us))
}

fn announce(report: &DeployReport) {
    let summary = &report.summary;
    let (service, deploy) = (&summary.deploy.service, &summary.deploy.id);
    if summary.verdict == DeployVerdict::Regressed {
        tracing::warn!(service, deploy, verdict = ?summary.verdict, "{}", summary.headline);
    } else {
        tracing::info!(service, deploy, verdict = ?summary.verdict, "{}", summary.headline);
    }
}

/// How long to wait before the next look: half of the narrowest cell, within bounds.
async fn tick(app: &App) -> Result<Duration, StoreError> {
    if app.detectors.is_behind() {
        return Ok(SHORTEST_TICK);
    }
    let mut tick = LONGEST_TICK;
    for service in app.store.services().await? {
        if let Some((narrowest_us, _)) = app.store.cell_widths(&service.service).await? {
            tick = tick.min(Duration::from_micros(narrowest_us / 2));
        }
    }
    Ok(tick.max(SHORTEST_TICK))
}

#[cfg(test)]
mod tests;
