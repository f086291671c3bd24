//! Which of the collectors on a store judges roll-outs and tells of alerts: the one that holds the store's lease.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::app::App;
use crate::options::micros;

/// How long another waits for one that is gone without a word.
const LENGTH: Duration = Duration::from_secs(30);
const RENEWED_EVERY: Duration = Duration::from_secs(5);
/// Nothing is begun in the last part of it: what is sent to a receiver may take as long.
const MARGIN: Duration = Duration::from_secs(10);

/// Until when this collector holds the lease, µs; 0 if it does not.
#[derive(Debug, Default)]
pub(crate) struct Lease(AtomicU64);

impl Lease {
    /// Whether there is time to begin something.
    pub(crate) fn is_held(&self, app: &App) -> bool {
        let until_us = self.0.load(Ordering::Relaxed);
        app.options.clock.now_us().saturating_add(micros(MARGIN)) < until_us
    }
}

/// Takes the lease or renews it, if another does not hold it.
pub(crate) async fn renew(app: &App) {
    if !app.options.watch {
        return;
    }
    let now_us = app.options.clock.now_us();
    let until_us = now_us.saturating_add(micros(LENGTH));
    let held = match app.store.hold_watch(now_us, until_us).await {
        Ok(held) => held,
        Err(error) => {
            // It may be held still: until it has run out.
            tracing::error!(%error, "could not renew the lease of the watch; will try again");
            return;
        }
    };
    let before = &app.lease.0;
    let was_held = before.load(Ordering::Relaxed) > now_us;
    if held && !was_held {
        // Another may have judged since.
        app.alerts.forget_what_is_known();
        tracing::info!("this collector judges roll-outs from now on");
    }
    if was_held && !held {
        tracing::warn!("another collector on this store judges roll-outs from now on");
    }
    before.store(if held { until_us } else { 0 }, Ordering::Relaxed);
}

/// Renews it until `shutdown` is done.
pub(crate) async fn keep_holding(app: &App, shutdown: impl Future<Output = ()>) {
    let forever = async {
        loop {
            tokio::time::sleep(RENEWED_EVERY).await;
            renew(app).await;
        }
    };
    tokio::select! {
        () = shutdown => {}
        () = forever => {}
    }
}

/// Lets another have it at once.
pub(crate) async fn let_go(app: &App) {
    if app.lease.0.swap(0, Ordering::Relaxed) > 0 {
        let now_us = app.options.clock.now_us();
        if let Err(error) = app.store.let_watch_go(now_us).await {
            tracing::warn!(%error, "could not give the lease of the watch back; it will run out");
        }
    }
}
