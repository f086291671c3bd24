//! What is there: services, processes, recorded requests.

use std::sync::Arc;

use appweight::api::{Problem, ProcessView, RequestView, ServiceSummary};
use axum::Json;
use axum::extract::State;
use http::{StatusCode, Uri};

use super::params::Params;
use crate::app::App;
use crate::problem::Refusal;
use crate::store::{RequestOrder, RequestQuery};

/// A process that said nothing for so long is gone.
const ALIVE_US: u64 = 5 * 60 * 1_000_000;

/// Every service, by name.
#[utoipa::path(get, path = "/v1/services", tag = "query", responses((status = 200, body = Vec<ServiceSummary>)))]
pub(crate) async fn services(
    State(app): State<Arc<App>>,
    uri: Uri,
) -> Result<Json<Vec<ServiceSummary>>, Refusal> {
    Params::of(&uri, &[])?;
    Ok(Json(app.store.services().await?))
}

/// The newest record of each process of the last five minutes.
#[utoipa::path(
    get,
    path = "/v1/processes",
    tag = "query",
    params(("service" = Option<String>, Query, description = "May be left out if there is only one")),
    responses(
        (status = 200, body = Vec<ProcessView>),
        (status = 404, description = "Unknown service", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn processes(
    State(app): State<Arc<App>>,
    uri: Uri,
) -> Result<Json<Vec<ProcessView>>, Refusal> {
    let params = Params::of(&uri, &["service"])?;
    let service = params.service(&app).await?;
    let since_us = app.options.clock.now_us().saturating_sub(ALIVE_US);
    Ok(Json(app.store.process_views(&service, since_us).await?))
}

/// Recorded requests, the costliest or the newest first.
#[utoipa::path(
    get,
    path = "/v1/requests",
    tag = "query",
    params(
        ("service" = Option<String>, Query, description = "May be left out if there is only one"),
        ("endpoint" = Option<String>, Query, description = "Only those of that endpoint"),
        ("deploy" = Option<String>, Query, description = "Only those of that deploy"),
        ("order" = Option<String>, Query, description = "`cost` (the default) or `time`"),
        ("limit" = Option<u32>, Query, description = "At most so many: 1 to 1000, by default 100"),
    ),
    responses(
        (status = 200, body = Vec<RequestView>),
        (status = 400, description = "A wrong parameter", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Unknown service", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn requests(
    State(app): State<Arc<App>>,
    uri: Uri,
) -> Result<Json<Vec<RequestView>>, Refusal> {
    let params = Params::of(&uri, &["service", "endpoint", "deploy", "order", "limit"])?;
    let order = match params.text("order").as_deref() {
        None | Some("cost") => RequestOrder::Cost,
        Some("time") => RequestOrder::Time,
        Some(_) => {
            return Err(Refusal::of(
                StatusCode::BAD_REQUEST,
                "order",
                "It is cost or time.",
            ));
        }
    };
    let query = RequestQuery {
        service: params.service(&app).await?,
        endpoint: params.text("endpoint"),
        deploy: params.text("deploy"),
        order,
        limit: params.limit(100, 1_000)?,
    };
    Ok(Json(app.store.requests(query).await?))
}
