use std::path::Path;

use anyhow::{Context, bail};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Who may vouch for a collector: the certificates of the file, else those of the system.
pub(crate) fn authorities(ca_file: Option<&Path>) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let Some(path) = ca_file else {
        let found = rustls_native_certs::load_native_certs();
        if found.certs.is_empty() {
            bail!(
                "this machine has no certificates by which to know a collector: --ca-file names some"
            );
        }
        return Ok(found.certs);
    };
    let named = || format!("--ca-file {}", path.display());
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .with_context(named)?
        .collect::<Result<_, _>>()
        .with_context(named)?;
    if certificates.is_empty() {
        bail!("{}: it holds no certificate in PEM form", named());
    }
    Ok(certificates)
}
