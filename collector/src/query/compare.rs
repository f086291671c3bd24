use std::sync::Arc;

use appweight::api::{Comparison, Metric, Problem};
use appweight::compare::{CompareError, Question, compare as set_side_by_side};
use axum::Json;
use axum::extract::State;
use http::{StatusCode, Uri};

use super::params::Params;
use crate::app::App;
use crate::judgement::earlier;
use crate::off_the_runtime::off_the_runtime;
use crate::problem::Refusal;
use crate::refused::Refused;
use crate::store::{CellQuery, DeployQuery, TimeRange};

/// Two deploys side by side, over all their cells or those of some time.
#[utoipa::path(
    get,
    path = "/v1/compare",
    tag = "query",
    params(
        ("service" = Option<String>, Query, description = "May be left out if there is only one"),
        ("base" = String, Query, description = "The old deploy's id", min_length = 1),
        ("head" = String, Query, description = "The new deploy's id", min_length = 1),
        ("metric" = Option<Metric>, Query, description = "Instructions where both have them if left out, else CPU time"),
        ("from_us" = Option<u64>, Query, description = "Cells that begin then or later", maximum = 9223372036854775807_u64),
        ("until_us" = Option<u64>, Query, description = "Cells that begin before", maximum = 9223372036854775807_u64),
    ),
    responses(
        (status = 200, body = Comparison),
        (status = 404, description = "Unknown service or deploy, or no cells of it", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Instructions counted in different ways", body = Problem, content_type = "application/problem+json"),
        Refused,
    ),
    security((), ("read_token" = []))
)]
pub(crate) async fn compare(
    State(app): State<Arc<App>>,
    uri: Uri,
) -> Result<Json<Comparison>, Refusal> {
    let params = Params::of(
        &uri,
        &["service", "base", "head", "metric", "from_us", "until_us"],
    )?;
    let service = params.service(&app).await?;
    let (base, head) = (params.required("base")?, params.required("head")?);
    let metric = params.one_of(
        "metric",
        &[("instructions", Metric::Instructions), ("cpu", Metric::Cpu)],
    )?;
    let time = params.time()?;
    tokio::try_join!(
        known(&app, &service, "base", &base),
        known(&app, &service, "head", &head),
    )?;
    let query = CellQuery {
        service: service.clone(),
        deploys: vec![base.clone(), head.clone()],
        time,
    };
    let (cells, earlier) = tokio::try_join!(
        app.store.moments(query, None),
        // The newest ones, whenever the two served: restarts are the service's, not the roll-out's.
        earlier(&app, &service, u64::MAX),
    )?;
    let earlier: Vec<Comparison> = earlier
        .into_iter()
        .filter(|comparison| (&comparison.base, &comparison.head) != (&base, &head))
        .collect();
    let (asked_base, asked_head) = (base.clone(), head.clone());
    let compared = {
        let app = Arc::clone(&app);
        off_the_runtime(move || {
            let question = Question {
                service: &service,
                base: &base,
                head: &head,
                metric,
            };
            set_side_by_side(question, &cells, &earlier, &app.options.thresholds)
        })
        .await?
    };
    compared
        .map(Json)
        .map_err(|error| refusal(&error, &asked_base, &asked_head))
}

pub(super) async fn known(app: &App, service: &str, name: &str, id: &str) -> Result<(), Refusal> {
    let query = |id: Option<&str>, limit| DeployQuery {
        service: service.to_owned(),
        id: id.map(str::to_owned),
        started: TimeRange::ALL,
        after: None,
        limit,
    };
    if !app.store.summaries(query(Some(id), 1)).await?.is_empty() {
        return Ok(());
    }
    let newest = app.store.summaries(query(None, 5)).await?;
    let newest: Vec<String> = newest.into_iter().map(|entry| entry.deploy.id).collect();
    let detail = match newest.as_slice() {
        [] => format!("Service {service} has no deploy yet."),
        newest => format!(
            "Service {service} has no deploy {id:?}; the newest are {}.",
            newest.join(", ")
        ),
    };
    Err(Refusal::of(StatusCode::NOT_FOUND, name, detail))
}

fn refusal(error: &CompareError, base: &str, head: &str) -> Refusal {
    match error {
        CompareError::NoCells(id) if id == base => {
            Refusal::of(StatusCode::NOT_FOUND, "base", error.to_string())
        }
        CompareError::NoCells(id) if id == head => {
            Refusal::of(StatusCode::NOT_FOUND, "head", error.to_string())
        }
        CompareError::NoCells(_) => Refusal::new(StatusCode::NOT_FOUND, error.to_string()),
        CompareError::MixedSources { .. } => {
            Refusal::of(StatusCode::CONFLICT, "metric", error.to_string())
        }
    }
}
