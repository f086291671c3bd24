//! Connections to ClickHouse.

use std::time::Duration;

use clickhouse::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// An idle connection is kept for less time than ClickHouse keeps its end.
const IDLE: Duration = Duration::from_secs(2);

const KEEPALIVE: Duration = Duration::from_secs(60);

/// A client of an address that begins with `http:` or, with the feature `tls`, `https:`.
pub(super) fn client(url: &str) -> Client {
    let mut connector = HttpConnector::new();
    connector.set_keepalive(Some(KEEPALIVE));
    // Else the end of a body may wait until the other side acknowledges its beginning, which that puts off.
    connector.set_nodelay(true);
    #[cfg(feature = "tls")]
    let connector = tls::over(connector, url.starts_with("https:"));
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE)
        .build(connector);
    Client::with_http_client(http).with_url(url)
}

#[cfg(feature = "tls")]
mod tls {
    use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
    use hyper_util::client::legacy::connect::HttpConnector;
    use rustls::{ClientConfig, RootCertStore};

    /// Believes those for whom an authority vouches that the system knows: `SSL_CERT_FILE` may name others.
    pub(super) fn over(
        mut connector: HttpConnector,
        is_needed: bool,
    ) -> HttpsConnector<HttpConnector> {
        connector.enforce_http(false);
        let mut roots = RootCertStore::empty();
        if is_needed {
            let found = rustls_native_certs::load_native_certs();
            for error in found.errors {
                tracing::warn!(%error, "a certificate of the system cannot be read");
            }
            // A system has some that nothing can read.
            let (_known, _unreadable) = roots.add_parsable_certificates(found.certs);
        }
        let provider = rustls::crypto::ring::default_provider();
        let config = ClientConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .expect("the provider has both versions of TLS")
            .with_root_certificates(roots)
            .with_no_client_auth();
        HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector)
    }
}
