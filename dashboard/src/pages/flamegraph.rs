use std::collections::BTreeMap;

use appweight::api::ProfileOf;
use appweight::profile::{Profile, Timer, Wrappers, flamegraph as drawing, look_through, of_tree};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use serde::Deserialize;

use super::failure::Failure;
use crate::client::QueryClient;

/// The drawing brings a script to zoom and search, and a style. Both may run in it, but it is a world of its own: it
/// belongs to no origin, asks nobody and reaches nothing. So a name that slipped through unescaped could do nothing.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; sandbox allow-scripts; \
     frame-ancestors 'none'",
);

#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    base: String,
    head: String,
    #[serde(default)]
    endpoint: String,
    /// What tells the profile from others, as the query API names it.
    #[serde(flatten)]
    others: BTreeMap<String, String>,
}

/// What a deploy changed in an endpoint, as a differential flame graph.
pub(crate) async fn flamegraph(
    State(client): State<QueryClient>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Failure> {
    let Query(mut asked) = asked?;
    let known = ProfileOf::default();
    asked.others.retain(|name, _| {
        name == "service" || known.parameters().iter().any(|(known, _)| known == name)
    });
    let (before, after) = tokio::try_join!(
        profile(&client, &asked, &asked.base),
        profile(&client, &asked, &asked.head)
    )?;
    let title = format!("{}: {} against {}", asked.endpoint, asked.head, asked.base);
    let drawn = drawing::draw_difference(&before, &after, &title)
        .map_err(|error| Failure::of(StatusCode::NOT_FOUND, error.to_string()))?;
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("image/svg+xml")),
        (CONTENT_SECURITY_POLICY, POLICY),
    ];
    Ok((headers, drawn).into_response())
}

async fn profile(client: &QueryClient, asked: &Asked, deploy: &str) -> Result<Profile, Failure> {
    let view = client
        .profile(deploy, &asked.endpoint, &asked.others)
        .await?;
    let of = view.summary.of;
    let profile = of_tree(&view.tree, Timer::new(&of.timer, &of.unit), of.taken);
    Ok(look_through(&profile, &Wrappers::of_rust()))
}
