use std::sync::Arc;

use appweight::api::{DriftReport, Problem};
use appweight::drift::{DAY_US, Span, report};
use axum::Json;
use axum::extract::State;
use http::{StatusCode, Uri};

use super::params::Params;
use crate::app::App;
use crate::off_the_runtime::off_the_runtime;
use crate::problem::Refusal;
use crate::refused::Refused;
use crate::store::TimeRange;

/// What is looked at if nothing is said: twelve weeks, so that there is a trend of weeks.
const DAYS: u64 = 84;
/// No more than this: cells are kept no longer, by default, and the work grows with the square.
const MOST_DAYS: u64 = 732;
const ENDPOINTS: u32 = 100;
const MOST_ENDPOINTS: u32 = 1_000;

/// How a service's weight and what its endpoints cost moved over days and weeks, by days of UTC that are over.
#[utoipa::path(
    get,
    path = "/v1/drift",
    tag = "query",
    params(
        ("service" = Option<String>, Query, description = "May be left out if there is only one"),
        ("endpoint" = Option<String>, Query, description = "That endpoint alone, instead of those that cost most"),
        ("from_us" = Option<u64>, Query, description = "From the day of that moment on; 84 days before the end if left out. At most 732 days", maximum = 9223372036854775807_u64),
        ("until_us" = Option<u64>, Query, description = "Up to the day before that moment's; today's if left out", maximum = 9223372036854775807_u64),
        ("limit" = Option<u32>, Query, description = "At most so many endpoints, by default 100", minimum = 1, maximum = 1000),
    ),
    responses(
        (status = 200, body = DriftReport),
        (status = 404, description = "Unknown service, or no day of that endpoint", body = Problem, content_type = "application/problem+json"),
        Refused,
    ),
    security((), ("read_token" = []))
)]
pub(crate) async fn drift(
    State(app): State<Arc<App>>,
    uri: Uri,
) -> Result<Json<DriftReport>, Refusal> {
    let params = Params::of(
        &uri,
        &["service", "endpoint", "from_us", "until_us", "limit"],
    )?;
    let service = params.service(&app).await?;
    let endpoint = params.text("endpoint");
    let limit = params.limit(ENDPOINTS, MOST_ENDPOINTS)?;
    let time = params.time()?;
    let until = time.until_us.min(app.options.clock.now_us()) / DAY_US;
    let from = match params.number("from_us")? {
        Some(from_us) => from_us / DAY_US,
        None => until.saturating_sub(DAYS),
    };
    let span = Span {
        from: from.min(until),
        until,
    };
    if span.until - span.from > MOST_DAYS {
        return Err(Refusal::of(
            StatusCode::BAD_REQUEST,
            "from_us",
            format!("It is at most {MOST_DAYS} days before until_us."),
        ));
    }
    let days = app.store.days(&service, TimeRange::ALL).await?;
    let kept_since_us = days.first().map(|day| day.start_us);
    let asked = endpoint.clone();
    let found = off_the_runtime(move || {
        let thresholds = &app.options.thresholds;
        let limit = limit as usize;
        let found = report(&service, &days, span, asked.as_deref(), limit, thresholds);
        DriftReport {
            kept_since_us,
            ..found
        }
    })
    .await?;
    match endpoint {
        Some(endpoint) if found.endpoints.is_empty() => Err(Refusal::of(
            StatusCode::NOT_FOUND,
            "endpoint",
            format!("No day of endpoint {endpoint:?} was kept in that time."),
        )),
        _ => Ok(Json(found)),
    }
}

#[cfg(test)]
mod tests;
