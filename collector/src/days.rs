//! What is kept of days: each service's, once it is over, before its records are forgotten and its cells are folded.
//!
//! Which day comes next is told from the store, so that a restart goes on where the one before was. What is missing is
//! made up for from the oldest cells on: of days whose records are gone there is what endpoints cost, and no peak.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use appweight::api::ServiceSummary;
use appweight::drift::{DAY_US, Day, DaySums};

use crate::app::App;
use crate::options::micros;
use crate::retention::{self, LONGEST_PAUSE, PAUSE};
use crate::store::{CellQuery, StoreError, TimeRange};

/// How often a day is looked for that is over.
const EVERY: Duration = Duration::from_secs(60);
/// So long after its end a day is added up, µs: what agents could not send at once is in.
const LATE_US: u64 = 3_600_000_000;
const HOUR_US: u64 = 3_600_000_000;
const MINUTE_US: u64 = 60_000_000;

/// The day, by its start in µs, that comes next of each service.
#[derive(Default)]
pub(crate) struct NextDays(Mutex<BTreeMap<String, u64>>);

impl NextDays {
    fn get(&self, service: &str) -> Option<u64> {
        let next = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        next.get(service).copied()
    }

    fn set(&self, service: &str, day_us: u64) {
        let mut next = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        next.insert(service.to_owned(), day_us);
    }
}

/// Keeps days until `shutdown` is done, if this collector is the one that does.
pub(crate) async fn keep_days(app: &App, shutdown: impl Future<Output = ()>) {
    if !app.options.watch {
        return;
    }
    let forever = async {
        loop {
            match look(app).await {
                Ok(0) => {}
                Ok(days) => tracing::debug!(days, "kept what is left of days"),
                Err(error) => {
                    tracing::error!(%error, "could not keep what is left of days; will try again");
                }
            }
            tokio::time::sleep(EVERY).await;
        }
    };
    tokio::select! {
        () = shutdown => {}
        () = forever => {}
    }
}

/// Keeps all days that are over. Returns how many that were.
pub(crate) async fn look(app: &App) -> Result<usize, StoreError> {
    let (mut kept, mut failed) = (0, None);
    for service in app.store.services().await? {
        // One that cannot be read must not keep the others waiting.
        match keep_all(app, &service).await {
            Ok(days) => kept += days,
            Err(error) => {
                tracing::error!(service = service.service, %error, "could not add up a day");
                failed = Some(error);
            }
        }
    }
    failed.map_or(Ok(kept), Err)
}

async fn keep_all(app: &App, service: &ServiceSummary) -> Result<usize, StoreError> {
    let name = service.service.as_str();
    let mut kept = 0;
    let mut day_us = next_day(app, service).await?;
    loop {
        let now_us = app.options.clock.now_us();
        let is_over = day_us + DAY_US + LATE_US <= now_us;
        if !is_over || day_us >= service.last_us {
            app.days.set(name, day_us);
            return Ok(kept);
        }
        let began = Instant::now();
        let day = add_up(app, name, day_us).await?;
        app.store.put_day(day).await?;
        (kept, day_us) = (kept + 1, day_us + DAY_US);
        app.days.set(name, day_us);
        tokio::time::sleep((began.elapsed() * PAUSE).min(LONGEST_PAUSE)).await;
    }
}

/// The one after the newest that is kept; else the first of which there may be cells.
async fn next_day(app: &App, service: &ServiceSummary) -> Result<u64, StoreError> {
    let horizon_us = retention::horizons(app, app.options.clock.now_us()).cells_us;
    let first_us = service.first_us.max(horizon_us);
    let first_us = first_us - first_us % DAY_US;
    let next_us = match app.days.get(&service.service) {
        Some(next_us) => next_us,
        None => {
            let kept = app.store.days(&service.service, TimeRange::ALL).await?;
            kept.last().map_or(0, |newest| newest.start_us + DAY_US)
        }
    };
    Ok(next_us.max(first_us))
}

async fn add_up(app: &App, service: &str, day_us: u64) -> Result<Day, StoreError> {
    let mut sums = DaySums::default();
    for hour in 0..DAY_US / HOUR_US {
        let from_us = day_us + hour * HOUR_US;
        let query = CellQuery {
            service: service.to_owned(),
            deploys: Vec::new(),
            time: TimeRange {
                from_us,
                until_us: from_us + HOUR_US,
            },
        };
        for placed in app.store.moments(query, None).await? {
            sums.add(&placed.cell);
        }
    }
    let now_us = app.options.clock.now_us();
    let are_records_whole = now_us.saturating_sub(micros(app.options.keep_records)) <= day_us;
    let records = if are_records_whole {
        let day = TimeRange {
            from_us: day_us,
            until_us: day_us + DAY_US,
        };
        app.store.windows(service, day, MINUTE_US).await?
    } else {
        Vec::new()
    };
    Ok(sums.into_day(service, day_us, &records))
}

#[cfg(test)]
mod tests;
