//! Serves the dashboard over made-up data, to look at while working on it:
//! `cargo run -p appweight-dashboard --example fixture -- 127.0.0.1:4700`.

#[path = "../fixture/mod.rs"]
mod fixture;

use appweight_dashboard::{QueryClient, router};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:4700".to_owned());
    let listener = tokio::net::TcpListener::bind(address).await?;
    let api = fixture::api();
    let pages = router(QueryClient::in_process(api.clone()));
    axum::serve(listener, api.fallback_service(pages)).await
}
