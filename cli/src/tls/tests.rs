use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use rcgen::CertifiedKey;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::*;

fn made() -> CertifiedKey<rcgen::KeyPair> {
    rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("it can be")
}

fn write(folder: &TempDir, made: &CertifiedKey<rcgen::KeyPair>) -> Shown {
    let (cert, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    fs::write(&cert, made.cert.pem()).expect("it can be");
    fs::write(&key, made.signing_key.serialize_pem()).expect("it can be");
    Shown {
        tls_cert: Some(cert),
        tls_key: Some(key),
    }
}

/// Serves `hello` and tells where.
async fn serve(shown: &Shown) -> String {
    let certificate = Certificate::of(shown)
        .expect("it can be")
        .expect("it can be");
    let tcp = TcpListener::bind("127.0.0.1:0").await.expect("it can be");
    let listener =
        TlsListener::renewing(tcp, certificate, Duration::from_millis(20)).expect("it can be");
    let address = axum::serve::Listener::local_addr(&listener).expect("it can be");
    let router = Router::new().route("/hello", get(async || "\"hello\""));
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("https://{address}")
}

async fn ask(url: &str, ca_file: &Path) -> anyhow::Result<String> {
    let (url, ca_file) = (url.to_owned(), ca_file.to_owned());
    let asked = move || crate::Collector::trusting(&url, Some(&ca_file))?.get("/hello", &[]);
    tokio::task::spawn_blocking(asked).await.expect("it can be")
}

#[tokio::test]
async fn a_slow_client_keeps_nobody_waiting_and_a_stranger_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let shown = write(&folder, &made());
    let url = serve(&shown).await;
    let address = url.strip_prefix("https://").unwrap();
    // One says nothing at all, one says what no handshake begins with.
    let _silent = TcpStream::connect(address).await.unwrap();
    let mut wrong = TcpStream::connect(address).await.unwrap();
    wrong.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let began = Instant::now();
    let ca_file = shown.tls_cert.as_deref().unwrap();
    assert_eq!(ask(&url, ca_file).await.unwrap(), "hello");
    assert!(began.elapsed() < Duration::from_secs(5));

    let other = folder.path().join("other.pem");
    fs::write(&other, made().cert.pem()).unwrap();
    let error = format!("{:#}", ask(&url, &other).await.unwrap_err());
    assert!(error.contains("certificate"), "{error}");
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_up_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (made(), made());
    let shown = write(&folder, &first);
    let url = serve(&shown).await;
    let old = folder.path().join("old.pem");
    let new = folder.path().join("new.pem");
    fs::write(&old, first.cert.pem()).unwrap();
    fs::write(&new, second.cert.pem()).unwrap();
    assert_eq!(ask(&url, &old).await.unwrap(), "hello");

    fs::write(shown.tls_key.as_ref().unwrap(), "half a key").unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(ask(&url, &old).await.unwrap(), "hello");

    write(&folder, &second);
    let began = Instant::now();
    while let Err(error) = ask(&url, &new).await {
        assert!(began.elapsed() < Duration::from_secs(20), "{error:#}");
    }
    assert!(ask(&url, &old).await.is_err());
}

#[test]
fn what_cannot_be_used_is_named_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (made(), made());
    let shown = write(&folder, &one);
    let refused = |shown: &Shown| format!("{:#}", Certificate::of(shown).unwrap_err());
    fs::write(
        shown.tls_key.as_ref().unwrap(),
        other.signing_key.serialize_pem(),
    )
    .unwrap();
    assert!(
        refused(&shown).contains("are no pair"),
        "{}",
        refused(&shown)
    );
    fs::write(shown.tls_key.as_ref().unwrap(), "secret words").unwrap();
    let no_key = refused(&shown);
    assert!(
        no_key.contains("--tls-key") && !no_key.contains("secret"),
        "{no_key}"
    );
    fs::write(shown.tls_cert.as_ref().unwrap(), "").unwrap();
    assert!(
        refused(&shown).contains("no certificate"),
        "{}",
        refused(&shown)
    );
    let missing = Shown {
        tls_cert: Some("/nowhere/cert.pem".into()),
        ..shown
    };
    assert!(refused(&missing).contains("/nowhere/cert.pem"));
    assert!(Certificate::of(&Shown::default()).unwrap().is_none());
    let none = authorities(Some(Path::new("/dev/null"))).unwrap_err();
    assert!(format!("{none:#}").contains("no certificate"), "{none:#}");
}
