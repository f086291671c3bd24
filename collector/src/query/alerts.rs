use std::sync::Arc;

use appweight::api::{Alert, AlertChange, AlertState, Problem};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::{HeaderMap, StatusCode, Uri};

use super::page::{self, Page};
use super::params::Params;
use crate::alerts::{alert_of, change, handled, set};
use crate::app::App;
use crate::body;
use crate::problem::Refusal;
use crate::refused::{NotWritten, Refused};
use crate::store::{DeployQuery, TimeRange};

const STATES: [(&str, AlertState); 4] = [
    ("open", AlertState::Open),
    ("acknowledged", AlertState::Acknowledged),
    ("accepted", AlertState::Accepted),
    ("resolved", AlertState::Resolved),
];
/// Few roll-outs have one, so that more are looked through than are asked for; but no more than so many at once.
const LOOKED_THROUGH: u32 = 200;
/// A reason is a sentence.
const LONGEST_TEXT: usize = 1_000;

/// Alerts of a service, the newest roll-out first.
#[utoipa::path(
    get,
    path = "/v1/alerts",
    tag = "query",
    params(
        ("service" = Option<String>, Query, description = "May be left out if there is only one"),
        ("state" = Option<AlertState>, Query, description = "Only those; all if left out"),
        ("from_us" = Option<u64>, Query, description = "Of roll-outs that started then or later", maximum = 9223372036854775807_u64),
        ("until_us" = Option<u64>, Query, description = "Of roll-outs that started before", maximum = 9223372036854775807_u64),
        ("limit" = Option<u32>, Query, description = "At most so many on a page, by default 100", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "The next page: as the `Link` of the one before has it, with the same other parameters but for `limit`"),
    ),
    responses(
        (status = 200, body = Vec<Alert>, headers(("Link" = String, description = "The next page, if there is one, as `<?…>; rel=\"next\"`"))),
        (status = 404, description = "Unknown service", body = Problem, content_type = "application/problem+json"),
        Refused,
    ),
    security((), ("read_token" = []))
)]
pub(crate) async fn list(State(app): State<Arc<App>>, uri: Uri) -> Result<Page<Alert>, Refusal> {
    let known = ["service", "state", "from_us", "until_us", "limit", "cursor"];
    let params = Params::of(&uri, &known)?;
    let limit = params.limit(100, 1_000)?;
    let state = params.one_of("state", &STATES)?;
    let (started, after) = (params.time()?, page::cursor(&params)?);
    let statuses = async { Ok(app.store.alert_statuses().await?) };
    let (service, statuses) = tokio::try_join!(params.service(&app), statuses)?;
    let mut query = DeployQuery {
        service,
        id: None,
        started,
        after,
        limit: LOOKED_THROUGH,
    };
    let mut alerts = Vec::new();
    let mut is_last = false;
    while alerts.len() <= limit as usize && !is_last {
        let entries = app.store.summaries(query.clone()).await?;
        is_last = entries.len() < LOOKED_THROUGH as usize;
        query.after = (entries.last()).map(|last| (last.deploy.started_us, last.deploy.id.clone()));
        let found = entries
            .into_iter()
            .filter_map(|entry| alert_of(entry, &statuses));
        alerts.extend(found.filter(|alert| state.is_none_or(|state| alert.state == state)));
    }
    Ok(Page::of(alerts, limit, &params, |last| {
        (last.deploy.started_us, last.deploy.id.clone())
    }))
}

/// Says what was decided about an alert: it is looked into, it is to stay, or it is open again.
#[utoipa::path(
    post,
    path = "/v1/alerts",
    tag = "ingest",
    params(("Content-Encoding" = Option<String>, Header, description = "zstd if the body is compressed, else left out")),
    request_body(content((AlertChange = "application/json"))),
    responses(
        (status = 200, description = "The alert as it is now", body = Alert),
        (status = 404, description = "No roll-out of that id made the service heavier", body = Problem, content_type = "application/problem+json"),
        NotWritten,
    ),
    security((), ("write_token" = []))
)]
pub(crate) async fn say(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Alert>, Refusal> {
    let writer = app.options.access.writer(&headers)?;
    body::json(&headers)?;
    let posted = app.posts.read(&app.options, &headers, body).await?;
    let said: AlertChange = serde_json::from_slice(&posted)
        .map_err(|error| Refusal::of(StatusCode::BAD_REQUEST, ".", error.to_string()))?;
    drop(posted);
    check(&said)?;
    writer.may_write(&said.service, "service")?;
    let query = DeployQuery {
        service: said.service.clone(),
        id: Some(said.deploy.clone()),
        started: said.started_us.map_or(TimeRange::ALL, TimeRange::at),
        after: None,
        limit: 1,
    };
    let entry = app.store.summaries(query).await?.pop();
    let statuses = app.store.alert_statuses().await?;
    let Some(alert) = entry.and_then(|entry| alert_of(entry, &statuses)) else {
        let detail = format!(
            "No roll-out of {:?} was judged to make {} heavier: there is no alert.",
            said.deploy, said.service
        );
        return Err(Refusal::of(StatusCode::NOT_FOUND, "deploy", detail));
    };
    let now_us = app.options.clock.now_us();
    let status = change(&app, &alert.deploy, |status| {
        set(status, said.state, now_us);
        status.by = said.by.clone();
        status.reason = said.reason.clone();
        true
    })
    .await?;
    Ok(Json(handled(alert, status)))
}

fn check(said: &AlertChange) -> Result<(), Refusal> {
    let wrong = |field: &str, detail: &str| {
        Err(Refusal::of(StatusCode::UNPROCESSABLE_ENTITY, field, detail))
    };
    if said.service.is_empty() || said.deploy.is_empty() {
        let field = if said.service.is_empty() {
            "service"
        } else {
            "deploy"
        };
        return wrong(field, "It must not be empty.");
    }
    if said.started_us.is_some_and(|us| i64::try_from(us).is_err()) {
        return wrong("started_us", "It is beyond 2^63 - 1.");
    }
    if said.state == AlertState::Resolved {
        return wrong(
            "state",
            "An alert is resolved by the watch, when the weight is as before; say accepted, and why, if it is to stay.",
        );
    }
    if said.state == AlertState::Accepted
        && said.reason.as_ref().is_none_or(|why| why.trim().is_empty())
    {
        return wrong("reason", "What is accepted needs one.");
    }
    for (field, text) in [("by", &said.by), ("reason", &said.reason)] {
        if text
            .as_ref()
            .is_some_and(|text| text.chars().count() > LONGEST_TEXT)
        {
            return wrong(field, "It is longer than 1,000 characters.");
        }
    }
    Ok(())
}
