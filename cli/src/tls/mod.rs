//! TLS, of what listens here and towards a collector elsewhere. Without the feature `tls` whoever asks for
//! it is told so.

#[cfg(feature = "tls")]
mod authorities;
#[cfg(feature = "tls")]
mod certificate;
#[cfg(feature = "tls")]
mod listener;
#[cfg(test)]
#[cfg(feature = "tls")]
mod tests;

use std::path::PathBuf;

#[cfg(feature = "tls")]
pub(crate) use {authorities::authorities, certificate::Certificate, listener::TlsListener};

/// What whoever connects is shown.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Shown {
    /// Speak TLS with this certificate: its chain as PEM, the own one first. A new file is taken up within
    /// a minute
    #[arg(
        long,
        env = "APPWEIGHT_TLS_CERT",
        requires = "tls_key",
        value_name = "FILE"
    )]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The key of the certificate, as PEM
    #[arg(
        long,
        env = "APPWEIGHT_TLS_KEY",
        requires = "tls_cert",
        value_name = "FILE"
    )]
    pub(crate) tls_key: Option<PathBuf>,
}

#[cfg(not(feature = "tls"))]
pub(crate) const NOT_BUILT_IN: &str = "this program was built without TLS: build it with the feature `tls` of appweight-cli, which is on by default";
