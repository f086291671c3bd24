use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow, bail};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::Shown;

/// A certificate and its key, read anew when their files change.
#[derive(Debug)]
pub(crate) struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<ServerConfig>>,
}

/// When each of the files was last written.
type Written = [Option<SystemTime>; 2];

impl Certificate {
    /// Reads what the options name; `None` if they name nothing.
    pub(crate) fn of(shown: &Shown) -> anyhow::Result<Option<Arc<Self>>> {
        let (Some(chain), Some(key)) = (shown.tls_cert.clone(), shown.tls_key.clone()) else {
            return Ok(None);
        };
        let config = read(&chain, &key)?;
        Ok(Some(Arc::new(Self {
            chain,
            key,
            current: RwLock::new(Arc::new(config)),
        })))
    }

    /// What to shake hands with now.
    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        let current = self.current.read();
        Arc::clone(&current.unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at the files again and again, and takes up what was renewed. What cannot be used is told, and
    /// the certificate before it goes on being shown.
    pub(crate) async fn renew(&self, every: Duration) {
        let mut seen = self.written();
        loop {
            tokio::time::sleep(every).await;
            let written = self.written();
            if written == seen {
                continue;
            }
            match read(&self.chain, &self.key) {
                Ok(config) => {
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) =
                        Arc::new(config);
                    tracing::info!(certificate = %self.chain.display(), "took up a new certificate");
                    seen = written;
                }
                // Perhaps one of the two is still to be written: it is looked at again next time.
                Err(error) => tracing::error!(
                    error = format!("{error:#}"),
                    "a new certificate cannot be used, the old one still is"
                ),
            }
        }
    }

    fn written(&self) -> Written {
        [&self.chain, &self.key].map(|path| fs::metadata(path).ok()?.modified().ok())
    }
}

fn read(chain: &PathBuf, key: &PathBuf) -> anyhow::Result<ServerConfig> {
    let of_chain = || format!("--tls-cert {}", chain.display());
    let of_key = || format!("--tls-key {}", key.display());
    let certificates: Vec<_> = CertificateDer::pem_file_iter(chain)
        .with_context(of_chain)?
        .collect::<Result<_, _>>()
        .with_context(of_chain)?;
    if certificates.is_empty() {
        bail!("{}: it holds no certificate in PEM form", of_chain());
    }
    // The error could quote what stands in the file.
    let key = PrivateKeyDer::from_pem_file(key)
        .map_err(|_| anyhow!("{}: it holds no key in PEM form", of_key()))?;
    let provider = rustls::crypto::ring::default_provider();
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .with_context(|| format!("{} and {} are no pair", of_chain(), of_key()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
