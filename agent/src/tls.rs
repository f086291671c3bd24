//! Whom to believe that it is the collector.

use std::fs;
use std::path::Path;

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// The certificates of the file, else those of the system, else (a container without any) those that
/// browsers trusted when this was built.
pub(crate) fn config(ca_file: Option<&Path>) -> Result<TlsConfig, String> {
    let roots = match ca_file {
        Some(path) => RootCerts::from(read(path)?),
        None => match system() {
            certificates if certificates.is_empty() => RootCerts::WebPki,
            certificates => RootCerts::from(certificates),
        },
    };
    Ok(TlsConfig::builder().root_certs(roots).build())
}

fn system() -> Vec<Certificate<'static>> {
    rustls_native_certs::load_native_certs()
        .certs
        .iter()
        .map(|certificate| Certificate::from_der(certificate).to_owned())
        .collect()
}

fn read(path: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let named = |what: &dyn std::fmt::Display| format!("ca_file {}: {what}", path.display());
    let pem = fs::read(path).map_err(|error| named(&error))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| named(&error))? {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        return Err(named(&"it holds no certificate in PEM form"));
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_named() {
        let missing = config(Some(Path::new("/nowhere/ca.pem"))).unwrap_err();
        assert!(missing.contains("/nowhere/ca.pem"), "{missing}");
        let empty = config(Some(Path::new("/dev/null"))).unwrap_err();
        assert!(empty.contains("no certificate"), "{empty}");
        assert!(config(None).is_ok());
    }
}
