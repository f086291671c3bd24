//! The program on ClickHouse: whatever is killed, what was acknowledged is counted, once.
//!
//! Run by `cargo xtask test`, which starts ClickHouse's engine, or with `CLICKHOUSE_URL` on a server.
#![cfg(feature = "clickhouse")]

use std::sync::Arc;
use std::time::Duration;

use appweight_tests::{
    Child, Clients, Collector, KillableClickhouse, Measured, Service, clickhouse_store,
    expect_all_once, failed_with, get, print_ledgers, program, run,
};
use rustls::pki_types::PrivatePkcs8KeyDer;

#[test]
fn an_agents_requests_are_counted_and_recorded() {
    const REQUESTS: u64 = 200;
    let collector = Collector::start_on(&clickhouse_store());
    let service = Service::start(Measured::by(&collector.url, "a", "web-1"), 1);
    for _ in 0..REQUESTS {
        let answer = get(&format!("{}/hello/Kim", service.url));
        assert_eq!(answer.expect("the service answers").status, 200);
    }
    assert!(service.stop(Duration::from_secs(20)), "all of it is sent");
    collector.expect_requests("small", "a", &[("/hello/{name}", REQUESTS)]);
    let recorded = collector.get("/v1/requests?service=small&deploy=a&limit=500");
    let recorded = recorded.json().as_array().map_or(0, Vec::len);
    assert_eq!(recorded as u64, REQUESTS);
    let deploys = collector.get("/v1/deploys?service=small").json();
    let deploys = deploys.as_array().into_iter().flatten();
    let deploys = deploys
        .filter(|deploy| deploy["deploy"]["id"] == "a")
        .count();
    assert_eq!(deploys, 1, "seen first in a record");
}

fn said(words: &[&str]) -> String {
    let ended = run(words);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    ended.stdout
}

#[test]
fn a_history_moves_to_clickhouse_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    let mut collector = Collector::start_in(folder.path());
    let clients = Clients::start(&collector.url, 2);
    clients.more(20);
    let ledgers = clients.stop();
    collector.kill();
    let (there, back) = (clickhouse_store(), file("back.db"));
    let copied = said(&["collector", "copy", &file("appweight.db"), &there]);
    assert!(copied.contains(" is copied to "), "{copied}");
    expect_all_once(&Collector::start_on(&there), &ledgers);
    said(&["collector", "copy", &there, &back]);
    let current = said(&["collector", "migrate", "--store", &back]);
    assert!(current.contains("already"), "{current}");
    let current = said(&["collector", "migrate", "--store", &there]);
    assert!(current.contains("already"), "{current}");
    let again = run(&["collector", "copy", &file("back.db"), &file("appweight.db")]);
    assert!(again.stderr.contains("backup"), "{}", again.stderr);
    std::fs::rename(
        folder.path().join("back.db"),
        folder.path().join("appweight.db"),
    )
    .unwrap();
    for left in ["appweight.db-wal", "appweight.db-shm"] {
        // Of the file that was there before.
        let _ = std::fs::remove_file(folder.path().join(left));
    }
    expect_all_once(&Collector::start_in(folder.path()), &ledgers);
}

#[test]
fn a_collector_that_is_killed_again_and_again_loses_nothing_and_doubles_nothing() {
    let mut collector = Collector::start_on(&clickhouse_store());
    let clients = Clients::start(&collector.url, 4);
    clients.more(1);
    for round in 0..15_u64 {
        if round.is_multiple_of(3) {
            clients.more(1);
        }
        // Times that differ, so that each kill meets another step of a group.
        std::thread::sleep(Duration::from_millis(100 + round * 67 % 300));
        collector.kill();
        collector.restart();
    }
    clients.more(3);
    let ledgers = clients.stop();
    print_ledgers("kills of the collector", &ledgers);
    assert!(failed_with(&ledgers, 0), "the kills met nobody");
    expect_all_once(&collector, &ledgers);
}

#[test]
fn a_clickhouse_that_is_killed_again_and_again_loses_nothing_and_doubles_nothing() {
    let Some(mut clickhouse) = KillableClickhouse::start() else {
        assert!(std::env::var_os("CLICKHOUSE_URL").is_some());
        return;
    };
    let collector = Collector::start_on(&clickhouse.store());
    let clients = Clients::start(&collector.url, 4);
    clients.more(1);
    for round in 0..10_u64 {
        if round.is_multiple_of(2) {
            clients.more(1);
        }
        std::thread::sleep(Duration::from_millis(100 + round * 53 % 300));
        clickhouse.kill();
        clickhouse.restart();
    }
    clients.more(3);
    let ledgers = clients.stop();
    print_ledgers("kills of ClickHouse", &ledgers);
    assert!(failed_with(&ledgers, 503), "the kills met nobody");
    expect_all_once(&collector, &ledgers);
}

/// Speaks TLS before a server that does not, as long as the runtime lives.
async fn behind_tls(certificate: &rcgen::CertifiedKey<rcgen::KeyPair>, server: String) -> u16 {
    let key = PrivatePkcs8KeyDer::from(certificate.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has both versions of TLS")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.cert.der().clone()], key.into())
        .expect("the key is the certificate's");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (acceptor, server) = (acceptor.clone(), server.clone());
            tokio::spawn(async move {
                if let Ok(mut client) = acceptor.accept(client).await {
                    let mut server = tokio::net::TcpStream::connect(server)
                        .await
                        .expect("it listens");
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    port
}

#[test]
fn clickhouse_is_asked_over_tls_if_somebody_vouches_for_it() {
    let url = std::env::var("CLICKHOUSE_URL").expect("run `cargo xtask test`");
    let Some(server) = url.strip_prefix("http://127.0.0.1:") else {
        // It may have users, and TLS of its own.
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let port = runtime.block_on(behind_tls(&made, format!("127.0.0.1:{server}")));
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("cert.pem");
    std::fs::write(&authority, made.cert.pem()).unwrap();
    let store = clickhouse_store();
    let name = store.rsplit('/').next().unwrap();
    let start = |vouched: bool| {
        let mut command = program("appweight");
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        command.args(["--store", &format!("clickhouses://127.0.0.1:{port}/{name}")]);
        command.arg("--journal").arg(folder.path().join("journal"));
        if vouched {
            command.env("SSL_CERT_FILE", &authority);
        }
        Child::start(command)
    };
    let refused = start(false).expect_err("nobody vouches for it");
    assert!(!refused.is_empty());
    let collector = start(true).expect("it starts");
    let services = get(&format!("{}/v1/services", collector.url)).unwrap();
    assert_eq!((services.status, services.text.trim()), (200, "[]"));
}
