use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use appweight::thresholds::Thresholds;
use appweight_collector::{Collector, CollectorOptions};
use appweight_dashboard::QueryClient;
use axum::Router;
use axum::extract::Request;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tower::{ServiceExt, service_fn};

use crate::args::{Dashboard, Serve};

/// A client that has not sent its batch or read its answer by then has to come again: a process that is
/// asked to end is killed before long.
const LONGEST_FAREWELL: Duration = Duration::from_secs(20);

/// Collector and dashboard in one process.
pub(crate) fn serve(options: &Serve) -> anyhow::Result<()> {
    run_collector(options, |api| {
        let pages = appweight_dashboard::router(QueryClient::in_process(api.clone()));
        // Not nested routes: what an outer route catches would be among the inner one's parameters.
        Router::new().fallback_service(service_fn(move |request: Request| {
            let room = if is_api(request.uri().path()) {
                &api
            } else {
                &pages
            };
            room.clone().oneshot(request)
        }))
    })
}

fn is_api(path: &str) -> bool {
    path.starts_with("/v1/") || ["/v1", "/healthz", "/metrics"].contains(&path)
}

/// The collector alone.
pub(crate) fn collector(options: &Serve) -> anyhow::Result<()> {
    run_collector(options, |api| api)
}

/// The dashboard alone.
pub(crate) fn dashboard(options: &Dashboard) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let client = QueryClient::remote(&options.collector).context("--collector")?;
        let stop = stop_signal()?;
        listen(
            options.listen,
            "dashboard",
            appweight_dashboard::router(client),
            stop,
        )
        .await
    })
}

fn run_collector(options: &Serve, rooms: impl FnOnce(Router) -> Router) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let collector = Collector::open(collector_options(options))
            .await
            .with_context(|| format!("cannot use the store {}", options.database.display()))?;
        let stop = stop_signal()?;
        let (serving, over) = oneshot::channel::<()>();
        let watching = tokio::spawn({
            let (collector, stop) = (collector.clone(), stop.clone());
            // A server that cannot listen or breaks takes the watch loop with it.
            let shutdown = async {
                tokio::select! {
                    () = stopped(stop) => {}
                    _ = over => {}
                }
            };
            async move { collector.watch(shutdown).await }
        });
        tracing::info!(database = %options.database.display(), "store opened");
        let served = listen(options.listen, "collector", rooms(collector.router()), stop).await;
        drop(serving);
        watching.await.context("the watch loop failed")?;
        collector
            .close()
            .await
            .context("the store could not be closed")?;
        served
    })
}

fn collector_options(options: &Serve) -> CollectorOptions {
    CollectorOptions {
        database: options.database.clone(),
        thresholds: Thresholds {
            confidence: options.confidence,
            min_change: options.min_change,
            min_change_by_endpoint: options.min_change_of.iter().cloned().collect(),
            min_requests: options.min_requests,
            ..Thresholds::default()
        },
        weight_window: options.weight_window,
        settle: options.settle,
        keep_records: options.keep_records,
        keep_profiles: options.keep_profiles,
        queue_bytes: options.queue_bytes,
        watch: !options.no_watch,
        ..CollectorOptions::default()
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

/// Turns true at the first interrupt or termination signal.
fn stop_signal() -> anyhow::Result<watch::Receiver<bool>> {
    let (sender, receiver) = watch::channel(false);
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        sender.send_replace(true);
        // The receivers live as long as the sender does.
        std::future::pending::<()>().await;
    });
    Ok(receiver)
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that the sender is gone: then there is nothing more to serve either.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn listen(
    address: SocketAddr,
    what: &str,
    router: Router,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address} (--listen chooses another address)")
    })?;
    let address = listener
        .local_addr()
        .context("the listener has no address")?;
    tracing::info!("{what} listening on http://{address}");
    let served = axum::serve(listener, router).with_graceful_shutdown(stopped(stop.clone()));
    let cut_off = async {
        stopped(stop).await;
        tokio::time::sleep(LONGEST_FAREWELL).await;
    };
    tokio::select! {
        served = served.into_future() => served.context("the server failed")?,
        () = cut_off => tracing::warn!("connections that were still open are cut"),
    }
    tracing::info!("stopped");
    Ok(())
}
