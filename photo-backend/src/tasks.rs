//! Work that nobody waits for, measured like requests.
//!
//! Several instances share one database and so one queue and one log. Their rounds come at random
//! distances, so that none of them always finds the work done by its neighbour.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::app::App;
use crate::measured::{self, Measured};
use crate::store::StoreError;

const FAN_OUT_EVERY: Duration = Duration::from_millis(200);
const CHECKPOINT_EVERY: Duration = Duration::from_millis(500);
const RESTART_LOG_ABOVE_PAGES: i64 = 2000;

/// Starts the tasks; they end when the set is dropped.
pub(crate) fn start(app: &Arc<App>, measured: &Measured) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let (fan_out_app, fan_out_measured) = (Arc::clone(app), measured.clone());
    tasks.spawn(async move {
        loop {
            sleep(about(FAN_OUT_EVERY)).await;
            report(
                "task:fan_out",
                fan_out(&fan_out_app, &fan_out_measured).await,
            );
        }
    });
    let (checkpoint_app, checkpoint_measured) = (Arc::clone(app), measured.clone());
    tasks.spawn(async move {
        loop {
            sleep(about(CHECKPOINT_EVERY)).await;
            let done = checkpoint_measured.task("task:checkpoint", || checkpoint(&checkpoint_app));
            report("task:checkpoint", done);
        }
    });
    tasks
}

/// Empties the queue of new posts. Each job is measured by itself, so that its cost does not depend
/// on how many came together.
async fn fan_out(app: &App, measured: &Measured) -> Result<(), StoreError> {
    while app.store.has_fan_out_job()? {
        measured.task("task:fan_out", || {
            measured::sqlite(|| app.store.fan_out_one())
        })?;
        tokio::task::yield_now().await;
    }
    Ok(())
}

fn checkpoint(app: &App) -> Result<(), StoreError> {
    let done = measured::sqlite(|| app.store.checkpoint(RESTART_LOG_ABOVE_PAGES))?;
    tracing::debug!(log = done.log, moved = done.moved, "checkpoint");
    Ok(())
}

fn report(name: &str, result: Result<(), StoreError>) {
    if let Err(error) = result {
        tracing::error!(%error, "{name} failed");
    }
}

fn about(mean: Duration) -> Duration {
    mean.mul_f64(0.5 + fastrand::f64())
}
