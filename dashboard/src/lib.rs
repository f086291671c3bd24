//! AppWeight's web pages: what the app weighs, which deploy moved it, and where.
//!
//! Rendered on the server, readable without script, in dark and in light. The pages ask the query
//! API through a [`QueryClient`], with or without a network between, and keep nothing themselves.

mod assets;
mod chart;
mod client;
mod connector;
mod days_chart;
mod format;
mod glyph;
mod href;
mod layout;
mod look;
mod marks;
mod pages;
mod plot;
mod ticks;

use axum::Router;
use axum::middleware::map_response;
use axum::routing::get;

pub use client::{QueryClient, QueryError};

/// The pages: `/`, `/deploys/{id}`, `/processes`, `/endpoints/requests`, `/trends`, `/flags`, `/profiles/flamegraph.svg` and `/assets/…`.
///
/// Any other address gets a page that says so: beside the collector's routes, serve it as their
/// fallback.
pub fn router(client: QueryClient) -> Router {
    Router::new()
        .route("/", get(pages::home))
        .route("/deploys/{id}", get(pages::deploy))
        .route("/processes", get(pages::fleet))
        .route("/endpoints/requests", get(pages::requests))
        .route("/trends", get(pages::trends))
        .route("/flags", get(pages::flags))
        .route("/profiles/flamegraph.svg", get(pages::flamegraph))
        .route("/assets/style.css", get(assets::style))
        .route("/assets/app.js", get(assets::script))
        .fallback(pages::not_found)
        .layer(map_response(layout::harden))
        .with_state(client)
}

#[cfg(test)]
#[path = "../fixture/mod.rs"]
mod fixture;
#[cfg(test)]
mod tests;
