use std::sync::Arc;

use appweight::api::{FlagsReport, Problem};
use appweight::evidence::PlacedCell;
use appweight::flags::{FlagCells, report};
use axum::Json;
use axum::extract::State;
use http::{StatusCode, Uri};

use super::params::Params;
use crate::app::App;
use crate::off_the_runtime::off_the_runtime;
use crate::problem::Refusal;
use crate::refused::Refused;
use crate::store::{CellQuery, StoreError, TimeRange};

const MINUTE_US: u64 = 60_000_000;
const DAY_US: u64 = 1_440 * MINUTE_US;
/// Cells that are read for one answer, so that its memory and its time are bounded: an hour or more of a service of many hosts.
const MOST_CELLS: usize = 200_000;
/// Minutes that are read at first; more where there are few cells, fewer where there are many.
const STEP: u64 = 60;

/// What each value of a service's feature flags costs, against all other values of the flag at the same time.
#[utoipa::path(
    get,
    path = "/v1/flags",
    tag = "query",
    params(
        ("service" = Option<String>, Query, description = "May be left out if there is only one"),
        ("flag" = Option<String>, Query, description = "That flag alone"),
        ("from_us" = Option<u64>, Query, description = "The midnight (UTC) before the last one if left out", maximum = 9223372036854775807_u64),
        ("until_us" = Option<u64>, Query, description = "The end of the last full minute if left out", maximum = 9223372036854775807_u64),
    ),
    responses(
        (status = 200, body = FlagsReport),
        (status = 404, description = "Unknown service, or no requests with that flag", body = Problem, content_type = "application/problem+json"),
        Refused,
    ),
    security((), ("read_token" = []))
)]
pub(crate) async fn flags(
    State(app): State<Arc<App>>,
    uri: Uri,
) -> Result<Json<FlagsReport>, Refusal> {
    let params = Params::of(&uri, &["service", "flag", "from_us", "until_us"])?;
    let service = params.service(&app).await?;
    let flag = params.text("flag");
    params.time()?;
    let now_us = app.options.clock.now_us();
    let until_us = params
        .number("until_us")?
        .unwrap_or(now_us - now_us % MINUTE_US);
    let from_us = params
        .number("from_us")?
        .unwrap_or_else(|| since(until_us))
        .min(until_us);
    let time = TimeRange { from_us, until_us };
    let (cells, read_since_us) = read(&app, &service, time, MOST_CELLS).await?;
    let mut found = off_the_runtime(move || {
        let options = &app.options;
        let span = [from_us, until_us];
        let said = &options.flags_given;
        report(
            &service,
            span,
            read_since_us,
            cells,
            said,
            &options.thresholds,
        )
    })
    .await?;
    if let Some(flag) = flag {
        found.flags.retain(|known| known.flag == flag);
        if found.flags.is_empty() {
            return Err(Refusal::of(
                StatusCode::NOT_FOUND,
                "flag",
                format!("No request told flag {flag:?} in that time."),
            ));
        }
    }
    Ok(Json(found))
}

/// The midnight before the last one: all looks of a day begin where they began before, and are held to what they have spent.
fn since(until_us: u64) -> u64 {
    (until_us - until_us % DAY_US).saturating_sub(DAY_US)
}

/// Cells of flags of that time, the newest first, and since when: as far back as so many reach.
async fn read(
    app: &App,
    service: &str,
    time: TimeRange,
    most: usize,
) -> Result<(FlagCells, u64), StoreError> {
    let mut found = FlagCells::default();
    let (mut until_us, mut minutes, mut room) = (time.until_us, STEP, most);
    while until_us > time.from_us {
        let start_us = until_us.saturating_sub(minutes.saturating_mul(MINUTE_US));
        let part = TimeRange {
            // Whole minutes, so that each is read once.
            from_us: (start_us - start_us % MINUTE_US).max(time.from_us),
            until_us,
        };
        let (flags, whole) = cells(app, service, part, room + 1).await?;
        let count = flags.len() + whole.len();
        if count > room {
            if minutes == 1 {
                break;
            }
            minutes = (minutes / 4).max(1);
            continue;
        }
        found = off_the_runtime(move || {
            found.add(&flags, &whole);
            found
        })
        .await?;
        room -= count;
        until_us = part.from_us;
        if count <= room / 4 {
            minutes = minutes.saturating_mul(2);
        }
    }
    Ok((found, until_us))
}

/// Those of flags, and all others where there are some: at most so many of both.
async fn cells(
    app: &App,
    service: &str,
    time: TimeRange,
    most: usize,
) -> Result<(Vec<PlacedCell>, Vec<PlacedCell>), StoreError> {
    let flags = app.store.flag_moments(service, time, most).await?;
    if flags.is_empty() {
        return Ok((flags, Vec::new()));
    }
    let query = CellQuery {
        service: service.to_owned(),
        deploys: Vec::new(),
        time,
    };
    let whole = app.store.moments(query, Some(most - flags.len())).await?;
    Ok((flags, whole))
}

#[cfg(test)]
mod tests;
