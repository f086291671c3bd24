//! A small axum service with the agent embedded.

use std::time::Duration;

use appweight_agent::Agent;
use axum::{Router, routing::get};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let agent = Agent::builder().service("photos").deploy("8f2c1a9").start();
    let app: Router = Router::new()
        .route("/feed/{user}", get(async || "a feed"))
        .layer(agent.layer());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    let stop = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    axum::serve(listener, app)
        .with_graceful_shutdown(stop)
        .await?;
    agent.shutdown(Duration::from_secs(2));
    Ok(())
}
