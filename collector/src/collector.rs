use std::future::Future;
use std::sync::Arc;

use appweight::api::DeployReport;
use axum::Router;

use crate::app::App;
use crate::off_the_runtime::off_the_runtime;
#[cfg(feature = "clickhouse")]
use crate::store::ClickhouseStore;
use crate::store::copy::refuse_half_copied;
use crate::store::{SqliteStore, Store, StoreError};
use crate::{CollectorOptions, alerts, days, lease, retention, routes, watch};

/// A collector: an HTTP API and a watch loop over one store.
///
/// ```no_run
/// use appweight_collector::{Collector, CollectorOptions};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let collector = Collector::open(CollectorOptions::default()).await?;
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:7878").await?;
/// let watch = tokio::spawn({
///     let collector = collector.clone();
///     async move { collector.watch(std::future::pending()).await }
/// });
/// axum::serve(listener, collector.router()).await?;
/// watch.abort();
/// collector.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Collector(Arc<App>);

/// Why a collector could not be opened or closed.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    /// The store cannot be used.
    #[error("{path}: {error}")]
    Store {
        /// The database.
        path: String,
        /// Why not.
        error: StoreError,
    },
}

impl Collector {
    /// Opens the store, or makes it, and brings it up to date.
    ///
    /// # Errors
    /// If the file cannot be used, or a newer program made it.
    pub async fn open(options: CollectorOptions) -> Result<Self, CollectorError> {
        let opened = open_store(&options).await;
        let store = opened.map_err(|error| failed(&options, error))?;
        Ok(Self(Arc::new(App::new(store, options))))
    }

    #[cfg(test)]
    pub(crate) fn of(app: App) -> Self {
        Self(Arc::new(app))
    }

    #[cfg(any(test, feature = "parquet"))]
    pub(crate) fn app(&self) -> &Arc<App> {
        &self.0
    }

    /// The whole HTTP API.
    pub fn router(&self) -> Router {
        routes::router(Arc::clone(&self.0))
    }

    /// The whole HTTP API for callers in this process that have let in whom they ask for: nobody is asked
    /// for a token to read.
    pub fn inner_router(&self) -> Router {
        routes::inner_router(Arc::clone(&self.0))
    }

    /// Judges roll-outs, tells of alerts, keeps what is left of days, and forgets what is too old, until `shutdown` is done. What is being judged then
    /// is finished first.
    pub async fn watch(&self, shutdown: impl Future<Output = ()> + Send) {
        let app = &self.0;
        lease::renew(app).await;
        let (stop, stopped) = tokio::sync::watch::channel(());
        let until_shutdown = async {
            shutdown.await;
            drop(stop);
        };
        let judging = watch::keep_looking(app, closed(stopped.clone()));
        let forgetting = retention::keep_forgetting(app, closed(stopped.clone()));
        let keeping = days::keep_days(app, closed(stopped.clone()));
        let telling = alerts::keep_telling(app, closed(stopped.clone()));
        let holding = lease::keep_holding(app, closed(stopped));
        tokio::join!(
            until_shutdown,
            judging,
            forgetting,
            keeping,
            telling,
            holding
        );
        lease::let_go(app).await;
    }

    /// Looks once for roll-outs whose time has come, and judges them for good.
    ///
    /// # Errors
    /// If the store cannot be read or written.
    pub async fn watch_once(&self) -> Result<Vec<DeployReport>, CollectorError> {
        watch::look(&self.0)
            .await
            .map_err(|error| failed(&self.0.options, error))
    }

    /// Commits what still waits, takes no more batches, and leaves the store tidy. Everything
    /// acknowledged is safe without it too.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub async fn close(&self) -> Result<(), CollectorError> {
        self.0.committer.drain().await;
        self.0
            .store
            .close()
            .await
            .map_err(|error| failed(&self.0.options, error))
    }
}

/// Returns when the sender is gone.
async fn closed(mut stopped: tokio::sync::watch::Receiver<()>) {
    while stopped.changed().await.is_ok() {}
}

async fn open_store(options: &CollectorOptions) -> Result<Arc<dyn Store>, StoreError> {
    #[cfg(feature = "clickhouse")]
    if let Some(clickhouse) = &options.clickhouse {
        return Ok(Arc::new(
            ClickhouseStore::open(clickhouse, Some(options.keep_records)).await?,
        ));
    }
    let database = options.database.clone();
    let opened = off_the_runtime(move || SqliteStore::open(&database)).await;
    let store = opened.flatten()?;
    refuse_half_copied(&store).await?;
    Ok(Arc::new(store))
}

fn failed(options: &CollectorOptions, error: StoreError) -> CollectorError {
    #[cfg(feature = "clickhouse")]
    if let Some(clickhouse) = &options.clickhouse {
        let path = format!("{}/{}", clickhouse.url, clickhouse.database);
        return CollectorError::Store { path, error };
    }
    CollectorError::Store {
        path: options.database.display().to_string(),
        error,
    }
}
