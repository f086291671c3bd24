//! The agent speaks TLS, and only to whom it may believe.
#![cfg(feature = "tls")]

#[cfg(test)]
mod support;

use std::path::PathBuf;

use appweight_agent::Agent;
use rustls::pki_types::PrivateKeyDer;
use tempfile::TempDir;

use support::{SOON, TestCollector, wait_until};

/// A collector with a certificate for that name, and the file of who vouches for it.
fn collector(name: &str, folder: &TempDir) -> (TestCollector, PathBuf) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    let provider = rustls::crypto::ring::default_provider();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let config = rustls::ServerConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a pair");
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, made.cert.pem()).expect("a file");
    (TestCollector::over_tls(config), path)
}

fn work(agent: &Agent) {
    for _ in 0..100 {
        agent.measure("task:work", || ());
    }
}

#[test]
fn batches_arrive_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let (collector, ca_file) = collector("127.0.0.1", &folder);
    assert!(collector.address().starts_with("https://"));
    let agent = collector.agent().ca_file(ca_file).token("hush").start();
    work(&agent);
    assert!(agent.shutdown(SOON));
    assert_eq!(collector.counted(), 100);
    assert_eq!(collector.puts()[0].authorization, "Bearer hush");
}

#[test]
fn nothing_is_sent_to_one_that_nobody_vouches_for() {
    let folder = tempfile::tempdir().unwrap();
    let (unknown, _) = collector("127.0.0.1", &folder);
    let (misnamed, ca_file) = collector("collector.example", &folder);
    for builder in [unknown.agent(), misnamed.agent().ca_file(ca_file)] {
        let agent = builder.token("hush").start();
        work(&agent);
        assert!(!agent.shutdown(std::time::Duration::from_millis(500)));
        let status = agent.status();
        assert!(status.retries > 0 && status.sent == 0, "{status:?}");
    }
    assert_eq!((unknown.puts().len(), misnamed.puts().len()), (0, 0));
}

#[test]
fn certificates_that_come_later_are_read_then() {
    let folder = tempfile::tempdir().unwrap();
    let (collector, ca_file) = collector("127.0.0.1", &folder);
    let later = folder.path().join("later.pem");
    let agent = collector
        .agent()
        .cell_width(std::time::Duration::from_millis(20))
        .ca_file(&later)
        .start();
    work(&agent);
    wait_until("tried", || agent.status().retries > 0);
    std::fs::rename(ca_file, later).unwrap();
    wait_until("sent", || agent.status().sent > 0);
    assert!(agent.shutdown(SOON));
    assert_eq!(collector.counted(), 100);
}
