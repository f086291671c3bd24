//! The service as a process: a listener, the app with the agent round it, and its tasks.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::measured::Measured;
use crate::meter::Meter;
use crate::{App, Store, StoreError, Variants, router, tasks};

/// How long open requests may take to finish after the signal to stop.
const DRAIN: Duration = Duration::from_secs(2);

/// What a server is started with.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The database made by [`seed`](crate::seed()).
    pub database: PathBuf,
    /// How the agent measures; `None` to run without it.
    pub measure: Option<MeasureOptions>,
    /// Without the agent, a layer that does nothing in its place: what any layer costs.
    pub idle_layer: bool,
    /// In what this build differs from the good one.
    pub variants: Variants,
}

/// What the agent is told.
#[derive(Debug, Clone)]
pub struct MeasureOptions {
    /// What is deployed here.
    pub deploy: String,
    /// The instance's name.
    pub host: String,
    /// The collector's address.
    pub collector: String,
    /// How long a cell lasts.
    pub cell_width: Duration,
    /// How long the process counts as warming up.
    pub warm_up: Duration,
    /// One request in this many is recorded with all its facts.
    pub record_one_in: u64,
    /// One request in this many is profiled by function; 0: none.
    pub profile_one_in: u64,
}

/// Why a server did not start or broke off.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The address cannot be listened on, or the listener broke.
    #[error("{listen}: {source}")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
}

/// A server that listens already: connections wait until [`Server::run`].
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    store: Store,
    options: ServeOptions,
    meter: Option<Meter>,
}

impl Server {
    /// Opens the database and the port.
    ///
    /// # Errors
    /// If one of them cannot be opened.
    pub async fn bind(options: ServeOptions) -> Result<Self, ServeError> {
        let store = Store::open(&options.database)?;
        let failed = |source| ServeError::Listen {
            listen: options.listen,
            source,
        };
        let listener = TcpListener::bind(options.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self {
            listener,
            address,
            store,
            options,
            meter: None,
        })
    }

    /// Takes what requests cost, without the agent.
    pub(crate) fn metered(self, meter: Meter) -> Self {
        Self {
            meter: Some(meter),
            ..self
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is ready, then finishes the open requests and ships what was measured.
    ///
    /// # Errors
    /// If the listener breaks.
    pub async fn run(
        self,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ServeError> {
        let app = App::new(self.store, self.options.variants);
        let measured = Measured::start(self.options.measure);
        let tasks = tasks::start(&app, &measured);
        let service = match self.meter {
            Some(meter) => meter.wrap(router(app)),
            None => router(app),
        };
        let service = measured.wrap(service, self.options.idle_layer);
        let listener = self.listener.tap_io(|connection| {
            if let Err(error) = connection.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY");
            }
        });
        let (stopping, stopped) = oneshot::channel::<()>();
        let serve = axum::serve(listener, service).with_graceful_shutdown(async move {
            stop.await;
            drop(stopping);
        });
        let too_late = async {
            stopped.await.ok();
            tokio::time::sleep(DRAIN).await;
        };
        let result = tokio::select! {
            result = serve => result,
            () = too_late => {
                tracing::warn!("some requests did not finish within {DRAIN:?}");
                Ok(())
            }
        };
        drop(tasks);
        measured.stop().await;
        result.map_err(|source| ServeError::Listen {
            listen: self.address,
            source,
        })
    }
}
