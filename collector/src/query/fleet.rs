//! What is there: services, processes, recorded requests.

use std::sync::Arc;

use appweight::api::{Problem, ProcessView, RequestView, ServiceSummary};
use axum::extract::State;
use http::Uri;

use super::page::{self, Page};
use super::params::Params;
use crate::app::App;
use crate::problem::Refusal;
use crate::refused::Refused;
use crate::store::{RequestOrder, RequestQuery};

/// A process that said nothing for so long is gone.
const ALIVE_US: u64 = 5 * 60 * 1_000_000;
/// Services or processes on a page: more than a fleet has, nearly always.
const MOST: u32 = 10_000;

/// Every service, by name.
#[utoipa::path(
    get,
    path = "/v1/services",
    tag = "query",
    params(
        ("limit" = Option<u32>, Query, description = "At most so many on a page, by default 10000", minimum = 1, maximum = 10000),
        ("cursor" = Option<String>, Query, description = "The next page: as the `Link` of the one before has it, with the same other parameters but for `limit`"),
    ),
    responses(
        (status = 200, body = Vec<ServiceSummary>, headers(("Link" = String, description = "The next page, if there is one, as `<?…>; rel=\"next\"`"))),
        Refused,
    ),
    security((), ("read_token" = []))
)]
pub(crate) async fn services(
    State(app): State<Arc<App>>,
    uri: Uri,
) -> Result<Page<ServiceSummary>, Refusal> {
    let params = Params::of(&uri, &["limit", "cursor"])?;
    let limit = params.limit(MOST, MOST)?;
    let mut services = app.store.services().await?;
    if let Some(last) = page::cursor::<String>(&params)? {
        services.retain(|service| service.service > last);
    }
    Ok(Page::of(services, limit, &params, |last| {
        last.service.clone()
    }))
}

/// The newest record of each process of the last five minutes, by host.
#[utoipa::path(
    get,
    path = "/v1/processes",
    tag = "query",
    params(
        ("service" = Option<String>, Query, description = "May be left out if there is only one"),
        ("since_us" = Option<u64>, Query, description = "Those that said something since then, instead of in the last five minutes", maximum = 9223372036854775807_u64),
        ("limit" = Option<u32>, Query, description = "At most so many on a page, by default 10000", minimum = 1, maximum = 10000),
        ("cursor" = Option<String>, Query, description = "The next page: as the `Link` of the one before has it, with the same other parameters but for `limit`"),
    ),
    responses(
        (status = 200, body = Vec<ProcessView>, headers(("Link" = String, description = "The next page, if there is one, as `<?…>; rel=\"next\"`"))),
        (status = 404, description = "Unknown service", body = Problem, content_type = "application/problem+json"),
        Refused,
    ),
    security((), ("read_token" = []))
)]
pub(crate) async fn processes(
    State(app): State<Arc<App>>,
    uri: Uri,
) -> Result<Page<ProcessView>, Refusal> {
    let params = Params::of(&uri, &["service", "since_us", "limit", "cursor"])?;
    let limit = params.limit(MOST, MOST)?;
    let service = params.service_to_look_in(&app).await?;
    let since_us = match params.number("since_us")? {
        Some(since_us) => since_us,
        None => app.options.clock.now_us().saturating_sub(ALIVE_US),
    };
    let mut views = app.store.process_views(&service, since_us).await?;
    if views.is_empty() {
        params.service(&app).await?;
    }
    if let Some(last) = page::cursor::<(String, String)>(&params)? {
        views.retain(|view| (&view.host, &view.source) > (&last.0, &last.1));
    }
    Ok(Page::of(views, limit, &params, |last| {
        (last.host.clone(), last.source.clone())
    }))
}

/// Recorded requests, the costliest or the newest first.
///
/// Those that come while pages are turned move others to the next page: give `until_us` to hold the list still.
#[utoipa::path(
    get,
    path = "/v1/requests",
    tag = "query",
    params(
        ("service" = Option<String>, Query, description = "May be left out if there is only one"),
        ("endpoint" = Option<String>, Query, description = "Only those of that endpoint"),
        ("deploy" = Option<String>, Query, description = "Only those of that deploy"),
        ("order" = Option<RequestOrder>, Query, description = "The costliest first (the default), or the newest"),
        ("from_us" = Option<u64>, Query, description = "Those that began then or later", maximum = 9223372036854775807_u64),
        ("until_us" = Option<u64>, Query, description = "Those that began before", maximum = 9223372036854775807_u64),
        ("limit" = Option<u32>, Query, description = "At most so many on a page, by default 100", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "The next page: as the `Link` of the one before has it, with the same other parameters but for `limit`"),
    ),
    responses(
        (status = 200, body = Vec<RequestView>, headers(("Link" = String, description = "The next page, if there is one, as `<?…>; rel=\"next\"`"))),
        (status = 404, description = "Unknown service", body = Problem, content_type = "application/problem+json"),
        Refused,
    ),
    security((), ("read_token" = []))
)]
pub(crate) async fn requests(
    State(app): State<Arc<App>>,
    uri: Uri,
) -> Result<Page<RequestView>, Refusal> {
    const KNOWN: &[&str] = &[
        "service", "endpoint", "deploy", "order", "from_us", "until_us", "limit", "cursor",
    ];
    let params = Params::of(&uri, KNOWN)?;
    let orders = [("cost", RequestOrder::Cost), ("time", RequestOrder::Time)];
    let order = params.one_of("order", &orders)?;
    let limit = params.limit(100, 1_000)?;
    let skip = page::cursor(&params)?.unwrap_or(0);
    let query = RequestQuery {
        service: params.service_to_look_in(&app).await?,
        endpoint: params.text("endpoint"),
        deploy: params.text("deploy"),
        time: params.time()?,
        order: order.unwrap_or_default(),
        skip,
        limit: limit + 1,
    };
    let requests = app.store.requests(query).await?;
    if requests.is_empty() {
        params.service(&app).await?;
    }
    Ok(Page::of(requests, limit, &params, |_| {
        skip.saturating_add(limit)
    }))
}
