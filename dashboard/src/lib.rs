//! AppWeight's web pages: what the app weighs, which deploy moved it, and where.
//!
//! Rendered on the server, readable without script, in dark and in light. The pages ask the query
//! API through a [`QueryClient`], with or without a network between, and keep nothing themselves.

mod assets;
mod chart;
mod client;
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
pub use pages::not_found;

/// The pages: `/`, `/deploys/{id}`, `/processes`, `/endpoints/requests` and `/assets/…`.
///
/// It has no fallback, so that it can be merged with the collector's router; [`not_found`] is the
/// page for one.
pub fn router(client: QueryClient) -> Router {
    Router::new()
        .route("/", get(pages::home))
        .route("/deploys/{id}", get(pages::deploy))
        .route("/processes", get(pages::fleet))
        .route("/endpoints/requests", get(pages::requests))
        .route("/assets/style.css", get(assets::style))
        .route("/assets/app.js", get(assets::script))
        .layer(map_response(layout::harden))
        .with_state(client)
}

#[cfg(test)]
#[path = "../fixture/mod.rs"]
mod fixture;
#[cfg(test)]
mod tests;
