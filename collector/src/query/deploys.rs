use std::sync::Arc;

use appweight::api::{DeployReport, DeploySummary, EarlierRun, Problem};
use appweight::earlier::beside_earlier_run;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use http::{StatusCode, Uri};

use super::compare::known;
use super::page::{self, Page};
use super::params::Params;
use crate::app::App;
use crate::problem::Refusal;
use crate::refused::Refused;
use crate::store::{DeployEntry, DeployQuery, StoreError, TimeRange};

/// Roll-outs between two runs of the same code, beyond which nothing that they have in common is left.
const MOST_BETWEEN: u32 = 20;

/// Roll-outs of a service, newest first. One that still rolls is judged by what has come so far.
///
/// A roll-out that began meanwhile moves nothing on the pages that follow.
#[utoipa::path(
    get,
    path = "/v1/deploys",
    tag = "query",
    params(
        ("service" = Option<String>, Query, description = "May be left out if there is only one"),
        ("from_us" = Option<u64>, Query, description = "Those that started then or later", maximum = 9223372036854775807_u64),
        ("until_us" = Option<u64>, Query, description = "Those that started before", maximum = 9223372036854775807_u64),
        ("limit" = Option<u32>, Query, description = "At most so many on a page, by default 100", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "The next page: as the `Link` of the one before has it, with the same other parameters but for `limit`"),
    ),
    responses(
        (status = 200, body = Vec<DeploySummary>, headers(("Link" = String, description = "The next page, if there is one, as `<?…>; rel=\"next\"`"))),
        (status = 404, description = "Unknown service", body = Problem, content_type = "application/problem+json"),
        Refused,
    ),
    security((), ("read_token" = []))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    uri: Uri,
) -> Result<Page<DeploySummary>, Refusal> {
    let params = Params::of(&uri, &["service", "from_us", "until_us", "limit", "cursor"])?;
    let limit = params.limit(100, 1_000)?;
    let query = DeployQuery {
        service: params.service(&app).await?,
        id: None,
        started: params.time()?,
        after: page::cursor(&params)?,
        limit: limit + 1,
    };
    let entries = app.store.summaries(query).await?;
    let Page { items, next } = Page::of(entries, limit, &params, |last| {
        (last.deploy.started_us, last.deploy.id.clone())
    });
    let items = summaries(&app, items).await?;
    Ok(Page { items, next })
}

/// What is said of one roll-out, endpoint by endpoint.
#[utoipa::path(
    get,
    path = "/v1/deploys/{id}",
    tag = "query",
    params(
        ("id" = String, Path, description = "The deploy's id", min_length = 1),
        ("service" = Option<String>, Query, description = "May be left out if there is only one"),
        ("started_us" = Option<u64>, Query, description = "Which of its roll-outs; the newest if left out", maximum = 9223372036854775807_u64),
    ),
    responses(
        (status = 200, body = DeployReport),
        (status = 404, description = "Unknown service or deploy", body = Problem, content_type = "application/problem+json"),
        Refused,
    ),
    security((), ("read_token" = []))
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
    let query = DeployQuery {
        service: service.clone(),
        id: Some(id.clone()),
        started: started_us.map_or(TimeRange::ALL, TimeRange::at),
        after: None,
        limit: 1,
    };
    let Some(entry) = app.store.deploys(query).await?.pop() else {
        known(&app, &service, "id", &id).await?;
        let detail = format!("Service {service} has no roll-out of {id:?} that started then.");
        return Err(Refusal::of(StatusCode::NOT_FOUND, "started_us", detail));
    };
    let mut report = report_of(&app, entry).await?;
    report.earlier_run = earlier_run(&app, &report).await?;
    Ok(Json(report))
}

/// The roll-out beside the last one of the same code, if there was one not too many roll-outs ago.
async fn earlier_run(
    app: &Arc<App>,
    report: &DeployReport,
) -> Result<Option<EarlierRun>, StoreError> {
    let deploy = &report.summary.deploy;
    let mut query = DeployQuery {
        service: deploy.service.clone(),
        id: Some(deploy.id.clone()),
        started: TimeRange {
            from_us: 0,
            until_us: deploy.started_us,
        },
        after: None,
        limit: 1,
    };
    let Some(earlier) = app.store.deploys(query.clone()).await?.pop() else {
        return Ok(None);
    };
    let earlier_us = earlier.deploy.started_us;
    query.id = None;
    query.started.from_us = earlier_us.saturating_add(1);
    query.limit = MOST_BETWEEN + 1;
    let entries = app.store.deploys(query).await?;
    if entries.len() > MOST_BETWEEN as usize {
        return Ok(None);
    }
    let mut between = Vec::with_capacity(entries.len());
    for entry in entries {
        between.push(report_of(app, entry).await?);
    }
    Ok(Some(beside_earlier_run(report, &between, earlier_us)))
}

/// The summaries of roll-outs.
pub(super) async fn summaries(
    app: &Arc<App>,
    entries: Vec<DeployEntry<DeploySummary>>,
) -> Result<Vec<DeploySummary>, StoreError> {
    let mut summaries = Vec::with_capacity(entries.len());
    for entry in entries {
        summaries.push(match entry.report {
            Some(summary) => summary,
            None => app.rolling.report(app, entry.deploy).await?.summary,
        });
    }
    Ok(summaries)
}

async fn report_of(app: &Arc<App>, entry: DeployEntry) -> Result<DeployReport, StoreError> {
    match entry.report {
        Some(report) => Ok(report),
        None => app.rolling.report(app, entry.deploy).await,
    }
}

#[cfg(test)]
mod tests;
