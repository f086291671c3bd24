//! How a collector elsewhere is reached.

use hyper_util::client::legacy::connect::HttpConnector;

#[cfg(not(feature = "tls"))]
pub(crate) type Connector = HttpConnector;
#[cfg(feature = "tls")]
pub(crate) type Connector = hyper_rustls::HttpsConnector<HttpConnector>;

/// To `http://` addresses.
#[cfg(not(feature = "tls"))]
pub(crate) fn plain() -> Connector {
    HttpConnector::new()
}

/// To `http://` addresses: there is nobody whom it would believe at another.
#[cfg(feature = "tls")]
pub(crate) fn plain() -> Connector {
    believing(rustls::RootCertStore::empty())
}

/// To those for whom one of these certificates vouches.
#[cfg(feature = "tls")]
pub(crate) fn over_tls(
    authorities: Vec<rustls::pki_types::CertificateDer<'static>>,
) -> Result<Connector, crate::QueryError> {
    let mut roots = rustls::RootCertStore::empty();
    // A system has some that nothing can read.
    let (known, _unreadable) = roots.add_parsable_certificates(authorities);
    if known == 0 {
        return Err(crate::QueryError::Authorities);
    }
    Ok(believing(roots))
}

#[cfg(feature = "tls")]
fn believing(roots: rustls::RootCertStore) -> Connector {
    let provider = rustls::crypto::ring::default_provider();
    let config = rustls::ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .expect("the provider has both versions of TLS")
        .with_root_certificates(roots)
        .with_no_client_auth();
    hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_http1()
        .build()
}
