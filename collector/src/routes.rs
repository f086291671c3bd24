use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use http::{Method, StatusCode, Uri, header};

use crate::app::App;
use crate::problem::Refusal;
use crate::query::{alerts, compare, deploys, drift, flags, fleet, profiles, weight};
use crate::refused::{Failed, Unread};
use crate::store::question;
use crate::turns::{Line, Turns};
use crate::{ingest, openapi};

/// The whole HTTP API.
pub(crate) fn router(app: Arc<App>) -> Router {
    let access = app.options.access.clone();
    assemble(app, |reading| access.guard_api(reading))
}

/// The same for whoever was let in already: nobody is asked for a token to read.
pub(crate) fn inner_router(app: Arc<App>) -> Router {
    assemble(app, |reading| reading)
}

fn assemble(app: Arc<App>, guard: impl FnOnce(Router<Arc<App>>) -> Router<Arc<App>>) -> Router {
    let small = Router::new()
        .route("/v1/alerts", get(alerts::list))
        .route("/v1/deploys", get(deploys::list))
        .route("/v1/deploys/{id}", get(deploys::one))
        .route("/v1/services", get(fleet::services))
        .route("/v1/weight", get(weight::weight))
        .route("/v1/drift", get(drift::drift))
        .route("/v1/profiles", get(profiles::list))
        .route("/v1/processes", get(fleet::processes))
        .route("/v1/requests", get(fleet::requests));
    let large = Router::new()
        .route("/v1/compare", get(compare::compare))
        .route("/v1/flags", get(flags::flags))
        .route("/v1/profile", get(profiles::one))
        .route("/v1/profile/diff", get(profiles::diff));
    let reading = in_line(&app, small, |turns| &turns.small)
        .merge(in_line(&app, large, |turns| &turns.large))
        .route("/metrics", get(metrics))
        .layer(from_fn(async |request: Request, next: Next| {
            question::awaited(next.run(request)).await
        }));
    Router::new()
        .route("/v1/batches/{uuid}", put(ingest::put_batch))
        .route("/v1/deploys", post(ingest::post_deploy))
        .route("/v1/alerts", post(alerts::say))
        .route("/v1/openapi.json", get(openapi_json))
        .route("/healthz", get(healthz))
        .merge(guard(reading))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .with_state(app)
}

/// Those routes are answered in turn.
fn in_line(
    app: &Arc<App>,
    routes: Router<Arc<App>>,
    line: fn(&Turns) -> &Line,
) -> Router<Arc<App>> {
    let app = Arc::clone(app);
    routes.layer(from_fn(move |request: Request, next: Next| {
        let app = Arc::clone(&app);
        async move { line(&app.turns).answer(next.run(request)).await }
    }))
}

/// This document.
#[utoipa::path(
    get,
    path = "/v1/openapi.json",
    tag = "operation",
    responses((status = 200, description = "OpenAPI 3.1", body = Object))
)]
pub(crate) async fn openapi_json() -> Json<utoipa::openapi::OpenApi> {
    Json(openapi::document())
}

/// Whether the collector can do its work: its store answers.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "operation",
    responses(
        (status = 200, description = "It can", body = String, content_type = "text/plain"),
        Failed,
    )
)]
pub(crate) async fn healthz(State(app): State<Arc<App>>) -> Result<&'static str, Refusal> {
    app.store.check().await?;
    Ok("ok\n")
}

/// The collector's own numbers in the Prometheus text format.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operation",
    responses(
        (status = 200, body = String, content_type = "application/openmetrics-text"),
        Unread,
    ),
    security((), ("read_token" = []))
)]
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Result<impl IntoResponse, Refusal> {
    let (room, free) = app.committer.room_bytes();
    let disk = app.store.disk_use().await?;
    let text = app.metrics.render(disk, room, free);
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, content_type)], text))
}

async fn no_such_route(uri: Uri) -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        format!(
            "There is nothing at {}; /v1/openapi.json tells what there is.",
            uri.path()
        ),
    )
}

async fn no_such_method(method: Method, uri: Uri) -> Refusal {
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!(
            "{method} is not possible at {}; /v1/openapi.json tells what is.",
            uri.path()
        ),
    )
}

#[cfg(test)]
mod tests;
