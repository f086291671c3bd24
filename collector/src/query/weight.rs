use std::sync::Arc;

use appweight::api::{Problem, WeightSeries};
use appweight::evidence::ProcessPoint;
use appweight::weight::weigh;
use appweight_wire::limits;
use axum::Json;
use axum::extract::State;
use http::{StatusCode, Uri};

use super::deploys::summaries;
use super::params::Params;
use crate::app::App;
use crate::options::micros;
use crate::problem::Refusal;
use crate::refused::Refused;
use crate::store::{DeployQuery, StoreError, TimeRange};

const DAY_US: u64 = 86_400_000_000;
const HOUR_US: u64 = 3_600_000_000;

/// What a service weighed, window by window, with its deploys (the newest 1,000 of that time).
#[utoipa::path(
    get,
    path = "/v1/weight",
    tag = "query",
    params(
        ("service" = Option<String>, Query, description = "May be left out if there is only one"),
        ("from_us" = Option<u64>, Query, description = "The start; a day before the end if left out", maximum = 9223372036854775807_u64),
        ("until_us" = Option<u64>, Query, description = "The end; now if left out", maximum = 9223372036854775807_u64),
        ("window_us" = Option<u64>, Query, description = "The width of a point; the collector's setting if left out", minimum = 1, maximum = 86400000000_u64),
    ),
    responses(
        (status = 200, body = WeightSeries),
        (status = 404, description = "Unknown service", body = Problem, content_type = "application/problem+json"),
        Refused,
    ),
    security((), ("read_token" = []))
)]
pub(crate) async fn weight(
    State(app): State<Arc<App>>,
    uri: Uri,
) -> Result<Json<WeightSeries>, Refusal> {
    let params = Params::of(&uri, &["service", "from_us", "until_us", "window_us"])?;
    let service = params.service_to_look_in(&app).await?;
    let mut time = params.time()?;
    if params.number("from_us")?.is_none() {
        let end_us = time.until_us.min(app.options.clock.now_us());
        time.from_us = end_us.saturating_sub(DAY_US);
    }
    let window_us = params
        .number("window_us")?
        .unwrap_or(micros(app.options.weight_window));
    if !(1..=limits::CELL_WIDTH_US).contains(&window_us) {
        return Err(Refusal::of(
            StatusCode::BAD_REQUEST,
            "window_us",
            "It is 1 µs to a day.",
        ));
    }
    // Windows begin at multiples of their width: a cut one would weigh too little.
    time = TimeRange {
        from_us: time.from_us - time.from_us % window_us,
        ..time
    };
    let query = DeployQuery {
        service: service.clone(),
        id: None,
        started: time,
        after: None,
        limit: 1_000,
    };
    let (points, deploys) = tokio::try_join!(
        windows(&app, &service, time, window_us),
        app.store.summaries(query),
    )?;
    if points.is_empty() && deploys.is_empty() {
        params.service(&app).await?;
    }
    let weighed = weigh(&points, window_us);
    Ok(Json(WeightSeries {
        service,
        metric: weighed.metric,
        instructions_absent_because: weighed.instructions_absent_because,
        points: weighed.points,
        peak: weighed.peak,
        deploys: summaries(&app, deploys).await?,
    }))
}

/// The service's process records of that time by window.
async fn windows(
    app: &App,
    service: &str,
    time: TimeRange,
    window_us: u64,
) -> Result<Vec<ProcessPoint>, StoreError> {
    // A process whose clock is wrong must not make the time to read through a century.
    let now_us = app.options.clock.now_us();
    let oldest_us = now_us
        .saturating_sub(micros(app.options.keep_records))
        .saturating_sub(2 * HOUR_US);
    let until_us = time.until_us.min(now_us + HOUR_US);
    let first_us = time.from_us.max(oldest_us);
    let time = TimeRange {
        from_us: first_us - first_us % window_us,
        until_us,
    };
    app.store.windows(service, time, window_us).await
}
