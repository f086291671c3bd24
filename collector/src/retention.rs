//! The background job that keeps the store from growing: what is too old is folded or forgotten.
//!
//! Step by step, each a short transaction, and with a pause after each, so that batches are committed in
//! between however much there is to do.

use std::time::{Duration, Instant};

use crate::app::App;
use crate::options::micros;
use crate::store::{Forgotten, Horizons, StoreError};

/// How often something is looked for that became too old. Often, so that there is little of it.
const EVERY: Duration = Duration::from_secs(60);

/// After a step the store is left to others for so many times as long as the step took, up to a second.
pub(crate) const PAUSE: u32 = 3;
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Records go by the hour: a block of them that straddles the horizon is written anew, and so only a few are. So do cells,
/// which by then are kept by the hour.
const STEP_US: u64 = 3_600_000_000;

/// Forgets what becomes too old until `shutdown` is done.
pub(crate) async fn keep_forgetting(app: &App, shutdown: impl Future<Output = ()>) {
    let forever = async {
        loop {
            match forget(app).await {
                Ok(forgotten) if forgotten == Forgotten::default() => {}
                Ok(forgotten) => tracing::debug!(?forgotten, "forgot what was too old"),
                Err(error) => {
                    tracing::error!(%error, "could not forget what is too old; will try again");
                }
            }
            tokio::time::sleep(EVERY).await;
        }
    };
    // Whatever step is under way is a transaction of its own, and finished by the store.
    tokio::select! {
        () = shutdown => {}
        () = forever => {}
    }
}

/// Forgets all that is too old now.
pub(crate) async fn forget(app: &App) -> Result<Forgotten, StoreError> {
    let now_us = app.options.clock.now_us();
    let horizons = horizons(app, now_us);
    let mut total = Forgotten::default();
    loop {
        let began = Instant::now();
        let step = app.store.forget_some(horizons).await?;
        let took = began.elapsed();
        app.metrics.forgot(&step, took);
        total.add(step);
        if !step.more {
            app.metrics.retained(now_us);
            return Ok(total);
        }
        tokio::time::sleep((took * PAUSE).min(LONGEST_PAUSE)).await;
    }
}

pub(crate) fn horizons(app: &App, now_us: u64) -> Horizons {
    let options = &app.options;
    let before = |kept: Duration| now_us.saturating_sub(micros(kept));
    let hour_before = |kept: Duration| before(kept) - before(kept) % STEP_US;
    Horizons {
        records_us: hour_before(options.keep_records),
        batches_us: before(options.keep_batch_ids),
        profiles_us: before(options.keep_profiles),
        hosts_us: before(options.keep_hosts),
        minutes_us: before(options.keep_minutes),
        cells_us: hour_before(options.keep_hours),
        deploys_us: before(options.keep_deploys),
    }
}
