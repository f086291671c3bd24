//! ClickHouse's engine, loaded from `libchdb.so`, behind the part of ClickHouse's HTTP interface that the
//! official Rust client speaks: queries as a body, inserts as a body beside `?query=`, settings in the address,
//! errors as a status with a code. For tests: what they ask is answered by the real engine.
//!
//! Not here: users, compression, `param_…`, sessions, progress, several statements in one, a cluster.

mod engine;
mod statement;

use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use clap::Parser;
use tokio::net::TcpListener;

use engine::{Engine, Failure};
use statement::{Insert, Request};

/// ClickHouse's engine over HTTP, for tests
#[derive(Debug, Parser)]
struct Args {
    /// libchdb.so, as the npm package @chdb/lib-linux-x64-gnu has it
    #[arg(long, env = "APPWEIGHT_TEST_CHDB")]
    library: PathBuf,
    /// The folder of its tables; made if it is not there
    #[arg(long)]
    data: PathBuf,
    /// Where to listen; port 0 takes a free one and says which
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// End when standard input does, as it does with whoever started this
    #[arg(long)]
    with_parent: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let engine = Engine::open(&args.library, &args.data)?;
    if args.with_parent {
        std::thread::spawn(|| {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            // The engine's threads are not waited for: nobody asks for its tables any more.
            std::process::abort();
        });
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(serve(engine, args.listen))
}

async fn serve(engine: Engine, address: SocketAddr) -> anyhow::Result<()> {
    let router = Router::new()
        .route("/ping", get(async || "Ok.\n"))
        .fallback(answer)
        .layer(axum::extract::DefaultBodyLimit::disable())
        .with_state(Arc::new(engine));
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))?;
    say(&format!(
        "clickhouse-front listening on http://{}",
        listener.local_addr()?
    ))?;
    // As ClickHouse does.
    let listener = listener.tap_io(|connection| {
        let _ = connection.set_nodelay(true);
    });
    axum::serve(listener, router)
        .await
        .context("the server failed")
}

fn say(line: &str) -> anyhow::Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

async fn answer(
    State(engine): State<Arc<Engine>>,
    Query(words): Query<Vec<(String, String)>>,
    body: Bytes,
) -> Response {
    let done = tokio::task::spawn_blocking(move || {
        let request = Request::of(words, &body)?;
        match Insert::of(&request.sql) {
            Some(insert) => engine.insert(&request, &insert, &request.body),
            None => engine.query(&request),
        }
    });
    match done.await {
        Ok(Ok(rows)) => Body::from(rows).into_response(),
        Ok(Err(failure)) => failure.into_response(),
        Err(error) => Failure::new(&format!("Code: 1000. DB::Exception: {error}")).into_response(),
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let code = [("X-ClickHouse-Exception-Code", self.code.to_string())];
        (StatusCode::INTERNAL_SERVER_ERROR, code, self.message).into_response()
    }
}
