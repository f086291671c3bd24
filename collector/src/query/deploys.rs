use std::sync::Arc;

use appweight::api::{DeployReport, DeployStatus, DeploySummary, Problem};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use http::{StatusCode, Uri};

use super::params::Params;
use crate::app::App;
use crate::judgement::judge_now;
use crate::problem::Refusal;
use crate::store::{DeployEntry, DeployQuery, StoreError, TimeRange};

/// Roll-outs of a service, newest first. One that still rolls is judged by what has come so far.
#[utoipa::path(
    get,
    path = "/v1/deploys",
    tag = "query",
    params(
        ("service" = Option<String>, Query, description = "May be left out if there is only one"),
        ("from_us" = Option<u64>, Query, description = "Those that started then or later"),
        ("until_us" = Option<u64>, Query, description = "Those that started before"),
        ("limit" = Option<u32>, Query, description = "At most so many: 1 to 1000, by default 100"),
    ),
    responses(
        (status = 200, body = Vec<DeploySummary>),
        (status = 400, description = "A wrong parameter", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Unknown service", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    uri: Uri,
) -> Result<Json<Vec<DeploySummary>>, Refusal> {
    let params = Params::of(&uri, &["service", "from_us", "until_us", "limit"])?;
    let query = DeployQuery {
        service: params.service(&app).await?,
        id: None,
        started: params.time()?,
        limit: params.limit(100, 1_000)?,
    };
    Ok(Json(summaries(&app, query).await?))
}

/// What is said of one roll-out, endpoint by endpoint.
#[utoipa::path(
    get,
    path = "/v1/deploys/{id}",
    tag = "query",
    params(
        ("id" = String, Path, description = "The deploy's id"),
        ("service" = Option<String>, Query, description = "May be left out if there is only one"),
        ("started_us" = Option<u64>, Query, description = "Which of its roll-outs; the newest if left out"),
    ),
    responses(
        (status = 200, body = DeployReport),
        (status = 400, description = "A wrong parameter", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Unknown service or deploy", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<DeployReport>, Refusal> {
    let Path(id) = id?;
    let params = Params::of(&uri, &["service", "started_us"])?;
    let service = params.service(&app).await?;
    let started_us = params.number("started_us")?;
    let started = started_us.map_or(TimeRange::ALL, |from_us| TimeRange {
        from_us,
        until_us: from_us.saturating_add(1),
    });
    let query = DeployQuery {
        service: service.clone(),
        id: Some(id.clone()),
        started,
        limit: 1,
    };
    match app.store.deploys(query).await?.pop() {
        Some(entry) => Ok(Json(report_of(&app, entry).await?)),
        None => Err(match started_us {
            None => Refusal::of(
                StatusCode::NOT_FOUND,
                "id",
                format!("Service {service} has no deploy {id:?}."),
            ),
            Some(started_us) => Refusal::of(
                StatusCode::NOT_FOUND,
                "started_us",
                format!(
                    "Service {service} has no roll-out of {id:?} that started at {started_us}."
                ),
            ),
        }),
    }
}

/// The summaries of all roll-outs asked for.
pub(super) async fn summaries(
    app: &Arc<App>,
    query: DeployQuery,
) -> Result<Vec<DeploySummary>, StoreError> {
    let entries = app.store.deploys(query).await?;
    let mut summaries = Vec::with_capacity(entries.len());
    for entry in entries {
        summaries.push(report_of(app, entry).await?.summary);
    }
    Ok(summaries)
}

async fn report_of(app: &Arc<App>, entry: DeployEntry) -> Result<DeployReport, StoreError> {
    match entry.report {
        Some(report) => Ok(report),
        None => judge_now(app, entry.deploy, DeployStatus::Rolling).await,
    }
}
