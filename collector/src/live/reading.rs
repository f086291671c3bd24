use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use appweight::api::Detected;
use appweight::evidence::PlacedCell;
use appweight::live::{Live, MINUTE_US, MOST_READ, minute_of};
use appweight_wire::Deploy;

use super::{Detectors, IDLE_US, MOST_SERVICES, Service};
use crate::app::App;
use crate::off_the_runtime::off_the_runtime;
use crate::store::{CellQuery, DeployQuery, StoreError, TimeRange};

/// Cells of a minute may come so long after its end: an agent sends them within seconds, and once more after a failure.
const LATE_US: u64 = 60_000_000;
const DAY: i64 = 24 * 60;
/// Minutes that are read at once, on multiples of them: some thousand cells. A store may keep the cells of an hour in an order
/// that makes a part of it take as long as all of it.
const STEP: i64 = 20;
/// How long cells are read before others have their turn.
const TURN: Duration = Duration::from_millis(500);
/// Reports come with roll-outs, and are large.
const PAGE: u32 = 10;
/// Roll-outs that are read of the days that are judged.
const MOST_ROLL_OUTS: usize = 1_000;
/// A roll-out may be told anew, with another start, so long after it.
const TOLD_ANEW_US: u64 = 2 * 3_600_000_000;

/// Feeds what has become complete to the detectors of services that roll something out, each for its turn.
pub(crate) async fn catch_up(app: &Arc<App>, unjudged: &[Deploy]) -> Result<(), StoreError> {
    let mut needed: BTreeMap<&str, Vec<&Deploy>> = BTreeMap::new();
    for deploy in unjudged.iter().filter(|deploy| deploy.replaced.is_some()) {
        needed.entry(&deploy.service).or_default().push(deploy);
    }
    let now_us = app.options.clock.now_us();
    app.detectors.make_room(&needed, now_us);
    let mut is_behind = false;
    let services = if needed.is_empty() {
        Vec::new()
    } else {
        app.store.services().await?
    };
    for (service, deploys) in needed {
        let known = services.iter().find(|known| known.service == service);
        let Some(newest_us) = known.map(|known| known.last_us) else {
            continue;
        };
        let complete_us = newest_us.min(now_us).saturating_sub(LATE_US);
        let until = minute_of(complete_us);
        match feed(app, service, &deploys, until, now_us).await {
            Ok(caught_up) => is_behind |= !caught_up,
            // It must not keep the others waiting.
            Err(error) => {
                tracing::error!(service, %error, "could not feed the detector; will try again");
                if matches!(error, StoreError::Cut(_)) {
                    let because = "the detector failed, which is a bug";
                    app.detectors.refuse(service, &deploys, because, now_us);
                }
            }
        }
    }
    app.detectors.is_behind.store(is_behind, Ordering::Relaxed);
    Ok(())
}

/// The midnight (UTC) before the last one: of the day that is judged all is known, and of the one before what is
/// learned from it. It moves at midnight, so that what is kept stays bounded.
fn first_minute(until: i64) -> i64 {
    (until - until.rem_euclid(DAY) - DAY).max(0)
}

/// Feeds a service's cells up to that minute, as far as its turn lasts. Whether it got there.
async fn feed(
    app: &Arc<App>,
    service: &str,
    deploys: &[&Deploy],
    until: i64,
    now_us: u64,
) -> Result<bool, StoreError> {
    let from = first_minute(until);
    if !app.detectors.is_due(service, deploys, from, until) {
        return Ok(true);
    }
    let widths = app.store.cell_widths(service).await?;
    let refused = match widths.and_then(other_widths) {
        Some(because) => Err(because),
        None => app.detectors.take(app, service, from, now_us),
    };
    let mut live = match refused {
        Ok(live) => live,
        Err(because) => {
            app.detectors.refuse(service, deploys, &because, now_us);
            return Ok(true);
        }
    };
    let began = Instant::now();
    if !reads_on(app, service, &mut live, from, until).await? {
        *live = app.detectors.begin(app, service, from);
        // Those that ran before the first minute too. It has seen nothing that could be told otherwise.
        let known = roll_outs(app, service, us(from), until).await?;
        let _ = live.add_roll_outs(&known, us(from));
    }
    loop {
        let next = live.next_minute();
        let end = until.min(next - next.rem_euclid(STEP) + STEP);
        app.detectors.close(service, end);
        let query = CellQuery {
            service: service.to_owned(),
            deploys: Vec::new(),
            time: TimeRange {
                from_us: us(next),
                until_us: us(end),
            },
        };
        let time = query.time;
        let mut flags = app.store.flag_moments(service, time, MOST_READ).await?;
        let mut cells = app.store.moments(query, Some(MOST_READ)).await?;
        let mut whole = whole_minutes(&mut cells, MOST_READ, next, end);
        let of_flags = whole_minutes(&mut flags, MOST_READ, next, end);
        // What was not read of a minute's flags is read with its other cells, unless it is too much for one minute.
        if of_flags.end < whole.end {
            whole.end = of_flags.end;
            whole.has_too_many = false;
        }
        let is_last = whole.end >= until;
        live = off_the_runtime(move || {
            let before = |placed: &PlacedCell| minute_of(placed.cell.key.start_us) < whole.end;
            cells.truncate(cells.partition_point(before));
            flags.truncate(flags.partition_point(before));
            live.feed(&cells, &flags, whole.end);
            if whole.has_too_many {
                live.leave_out(whole.end - 1, MOST_READ);
            }
            if is_last {
                live.look();
            }
            live
        })
        .await?;
        if is_last || began.elapsed() >= TURN {
            app.detectors
                .put_back(service, live, deploys, is_last, now_us);
            return Ok(is_last);
        }
    }
}

/// Which minutes were read.
#[derive(Debug, PartialEq, Eq)]
struct Whole {
    end: i64,
    /// Of the only one of them not all cells were read.
    has_too_many: bool,
}

/// Keeps the cells of those minutes of which all were read, where no more than `most` were.
fn whole_minutes(cells: &mut Vec<PlacedCell>, most: usize, next: i64, end: i64) -> Whole {
    let minute = |placed: &PlacedCell| minute_of(placed.cell.key.start_us);
    // There may be more of the last one.
    let cut = cells.last().map(minute).filter(|_| cells.len() >= most);
    let Some(cut) = cut else {
        return Whole {
            end,
            has_too_many: false,
        };
    };
    cells.truncate(cells.partition_point(|placed| minute(placed) < cut));
    Whole {
        end: cut.max(next + 1),
        has_too_many: cut == next,
    }
}

/// Takes up new roll-outs, if nothing was told otherwise meanwhile.
async fn reads_on(
    app: &App,
    service: &str,
    live: &mut Live,
    from: i64,
    until: i64,
) -> Result<bool, StoreError> {
    if live.next_minute() == from {
        return Ok(false);
    }
    let recent_us = us(live.next_minute()).saturating_sub(TOLD_ANEW_US);
    let since_us = recent_us.max(us(from));
    let known = roll_outs(app, service, since_us, until).await?;
    Ok(live.add_roll_outs(&known, since_us).is_ok())
}

fn us(minute: i64) -> u64 {
    u64::try_from(minute).unwrap_or(0).saturating_mul(MINUTE_US)
}

fn other_widths((narrowest_us, widest_us): (u64, u64)) -> Option<String> {
    let other = [narrowest_us, widest_us]
        .into_iter()
        .find(|us| *us != MINUTE_US)?;
    Some(format!(
        "cells of {} s, not of a minute",
        other as f64 / 1e6
    ))
}

/// Roll-outs since that time by rising start, and some of those before: what ran then.
async fn roll_outs(
    app: &App,
    service: &str,
    since_us: u64,
    until: i64,
) -> Result<Vec<Deploy>, StoreError> {
    let mut query = DeployQuery {
        service: service.to_owned(),
        id: None,
        started: TimeRange {
            from_us: 0,
            until_us: us(until),
        },
        after: None,
        limit: PAGE,
    };
    let mut found: Vec<Deploy> = Vec::new();
    loop {
        let entries = app.store.summaries(query.clone()).await?;
        let is_all = entries.len() < PAGE as usize;
        found.extend(entries.into_iter().map(|entry| entry.deploy));
        let Some(last) = found.last() else {
            break;
        };
        if is_all || last.started_us < since_us || found.len() >= MOST_ROLL_OUTS {
            break;
        }
        query.after = Some((last.started_us, last.id.clone()));
    }
    found.reverse();
    Ok(found)
}

impl Detectors {
    /// Forgets services that roll nothing out any more: at once if others need the room, else after a while.
    fn make_room(&self, needed: &BTreeMap<&str, Vec<&Deploy>>, now_us: u64) {
        let mut services = self.lock();
        let wanted = needed.len().max(1);
        let is_full = services.len() + wanted > MOST_SERVICES;
        services.retain(|name, service| {
            let is_idle = now_us.saturating_sub(service.needed_us) > IDLE_US;
            needed.contains_key(name.as_str()) || !(is_idle || is_full)
        });
    }

    /// Whether there is something new to see, or to say.
    fn is_due(&self, service: &str, deploys: &[&Deploy], from: i64, until: i64) -> bool {
        let services = self.lock();
        let known = services.get(service);
        !known.is_some_and(|known| {
            let all_said = deploys
                .iter()
                .all(|deploy| known.said.contains_key(&key(deploy)));
            known.from == from && known.seen >= until && known.is_ready && all_said
        })
    }

    /// The service's detector, to be fed; or why it gets none.
    fn take(&self, app: &App, service: &str, from: i64, now_us: u64) -> Result<Box<Live>, String> {
        let mut services = self.lock();
        let working = services.values().filter(|service| service.from > 0).count();
        let known = services.entry(service.to_owned()).or_default();
        if known.from == 0 && working >= MOST_SERVICES {
            return Err(format!("{MOST_SERVICES} other services roll out at once"));
        }
        known.needed_us = now_us;
        let live = known.live.take().filter(|_| known.from == from);
        drop(services);
        Ok(live.unwrap_or_else(|| Box::new(self.begin(app, service, from))))
    }

    /// A detector that has seen nothing. What was said stays until there is more to say.
    fn begin(&self, app: &App, service: &str, from: i64) -> Live {
        if let Some(known) = self.lock().get_mut(service) {
            (known.from, known.closed_until, known.seen) = (from, from, from);
            known.late_requests = 0;
            known.is_ready &= !known.said.is_empty();
        }
        Live::new(&app.options.thresholds, from)
    }

    /// Cells of minutes before that are late from now on.
    fn close(&self, service: &str, until: i64) {
        if let Some(service) = self.lock().get_mut(service) {
            service.closed_until = service.closed_until.max(until);
        }
    }

    fn put_back(
        &self,
        name: &str,
        live: Box<Live>,
        deploys: &[&Deploy],
        is_caught_up: bool,
        now_us: u64,
    ) {
        let mut services = self.lock();
        let Some(service) = services.get_mut(name) else {
            return;
        };
        if live.next_minute() > service.seen {
            service.seen = live.next_minute();
            service.moved_us = now_us;
        }
        if is_caught_up {
            service.is_ready = true;
            service.said = deploys
                .iter()
                .map(|deploy| (key(deploy), live.says(deploy)))
                .collect();
        }
        service.live = Some(live);
    }

    /// Says why nothing is said.
    fn refuse(&self, service: &str, deploys: &[&Deploy], because: &str, now_us: u64) {
        let said = deploys.iter().map(|deploy| {
            let detected = Detected::silent(because.to_owned(), false);
            (key(deploy), detected)
        });
        let service_said = Service {
            is_ready: true,
            needed_us: now_us,
            said: said.collect(),
            ..Service::default()
        };
        self.lock().insert(service.to_owned(), service_said);
    }
}

fn key(deploy: &Deploy) -> (String, u64) {
    (deploy.id.clone(), deploy.started_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_day_that_is_judged_all_is_read_and_the_one_before() {
        assert_eq!(first_minute(10 * DAY), 9 * DAY);
        assert_eq!(first_minute(11 * DAY - 1), 9 * DAY);
        assert_eq!(first_minute(DAY / 2), 0);
    }

    #[test]
    fn minutes_are_judged_whole_or_left_out() {
        let read = |minutes: &[i64], next: i64| {
            let mut cells: Vec<PlacedCell> =
                minutes.iter().map(|minute| of_minute(*minute)).collect();
            let Whole { end, has_too_many } = whole_minutes(&mut cells, 4, next, 20);
            (cells.len(), end, has_too_many)
        };
        assert_eq!(read(&[10, 11, 11], 10), (3, 20, false), "that is all");
        assert_eq!(read(&[10, 10, 11, 11], 10), (2, 11, false));
        assert_eq!(read(&[11, 11, 11, 11], 10), (0, 11, false));
        assert_eq!(read(&[11, 11, 11, 11], 11), (0, 12, true));
    }

    fn of_minute(minute: i64) -> PlacedCell {
        PlacedCell {
            deploy: "a".to_owned(),
            cluster: String::new(),
            host_group: 0,
            cell: crate::testing::cell(us(minute), &[5]),
        }
    }

    #[test]
    fn cells_of_a_minute_alone_are_read() {
        assert_eq!(other_widths((MINUTE_US, MINUTE_US)), None);
        let seconds = other_widths((1_000_000, MINUTE_US)).unwrap();
        assert!(seconds.contains("1 s"), "{seconds}");
    }
}
