use std::sync::Arc;
use std::time::Duration;

use appweight_wire::Deploy;

use super::{Hook, alert, change, message};
use crate::app::App;
use crate::off_the_runtime::off_the_runtime;
use crate::options::micros;
use crate::store::{AlertStatus, StoreError};

/// How often it is looked for something to tell.
const EVERY: Duration = Duration::from_secs(1);
/// After a failure it is tried again after as long, then after twice as long, and so on.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// What happened longer ago is not told any more: not to somebody who did not answer for so long, nor to
/// somebody new.
const NEWS: Duration = Duration::from_secs(86_400);

/// Tells everybody who wants to know of alerts until `shutdown` is done, while this collector is the one that judges.
pub(crate) async fn keep_telling(app: &Arc<App>, shutdown: impl Future<Output = ()>) {
    let hooks = app.options.hooks.iter().filter(|_| app.options.watch);
    let mut telling = tokio::task::JoinSet::new();
    for hook in hooks {
        let (app, hook) = (Arc::clone(app), hook.clone());
        telling.spawn(async move { keep_telling_one(&app, &hook).await });
    }
    // What is under way then is told again after the next start: its id is the same.
    shutdown.await;
}

async fn keep_telling_one(app: &Arc<App>, hook: &Hook) {
    let mut wait = EVERY;
    loop {
        tokio::time::sleep(wait).await;
        if !app.lease.is_held(app) {
            wait = EVERY;
            continue;
        }
        wait = match tell(app, hook).await {
            Ok(()) => EVERY,
            Err(error) => {
                let next = (wait * 2).min(LONGEST_WAIT);
                app.metrics.telling_failed();
                tracing::warn!(
                    hook = hook.name(),
                    %error,
                    again_in_s = next.as_secs(),
                    "could not tell of an alert; will try again"
                );
                next
            }
        };
    }
}

/// Why somebody was not told.
#[derive(Debug, thiserror::Error)]
pub(super) enum TellError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Refused(String),
}

/// Tells what was not told yet, the oldest first. One that cannot be told keeps the others from nothing.
pub(super) async fn tell(app: &Arc<App>, hook: &Hook) -> Result<(), TellError> {
    let regressed = app.alerts.regressed();
    if regressed.is_empty() {
        return Ok(());
    }
    let statuses = app.store.alert_statuses().await?;
    let news_us = app.options.clock.now_us().saturating_sub(micros(NEWS));
    let mut failed = Ok(());
    for (deploy, judged_us) in regressed {
        let known = statuses.iter().find(|status| status.is_of(&deploy));
        let changed_us = known.map_or(0, |status| status.changed_us).max(judged_us);
        if changed_us >= news_us && known.is_none_or(|status| is_untold(status, hook)) {
            failed = failed.and(tell_one(app, hook, &deploy).await);
        }
    }
    failed
}

fn is_untold(status: &AlertStatus, hook: &Hook) -> bool {
    status.told.get(hook.name()) != Some(&status.state)
}

async fn tell_one(app: &Arc<App>, hook: &Hook, deploy: &Deploy) -> Result<(), TellError> {
    let Some(alert) = alert(app, deploy).await? else {
        return Ok(());
    };
    let now_us = app.options.clock.now_us();
    let body = message::body(hook.form(), &alert, app.options.public_url.as_deref());
    let (id, sender) = (message::id(&alert), hook.clone());
    let sent = off_the_runtime(move || sender.send(&id, now_us / 1_000_000, &body));
    sent.await?.map_err(TellError::Refused)?;
    // If it changed meanwhile, that is told next.
    change(app, deploy, |status| {
        let told = (hook.name().to_owned(), alert.state);
        status.told.insert(told.0, told.1) != Some(told.1)
    })
    .await?;
    app.metrics.told();
    Ok(())
}
