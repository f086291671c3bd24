//! The program on ClickHouse: whatever is killed, what was acknowledged is counted, once.
//!
//! Run by `cargo xtask test`, which starts ClickHouse's engine, or with `CLICKHOUSE_URL` on a server.
#![cfg(feature = "clickhouse")]

use std::sync::Arc;
use std::time::Duration;

use appweight_tests::{
    Child, Clients, Collector, KillableClickhouse, Measured, Service, SmallDisk, clickhouse_store,
    drains_when_asked_to_end, expect_all_once, failed_with, get, left_out, limit_files,
    limit_files_of, print_ledgers, program, random, run, survives_a_full_disk, unlimit_files,
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
    let mut random = random("kills of the collector");
    for round in 0..50_u32 {
        if round % 3 == 0 {
            clients.more(1);
        }
        // Each kill meets another step of a group.
        std::thread::sleep(Duration::from_micros(random.u64(100_000..400_000)));
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
        left_out("somebody's server is not to be killed");
        return;
    };
    let collector = Collector::start_on(&clickhouse.store());
    let clients = Clients::start(&collector.url, 4);
    let mut random = random("kills of ClickHouse");
    for _ in 0..50 {
        // A batch is taken, and then the kill meets some step of the next ones.
        clients.more(1);
        std::thread::sleep(Duration::from_micros(random.u64(0..200_000)));
        clickhouse.kill();
        clickhouse.restart();
    }
    clients.more(3);
    let ledgers = clients.stop();
    print_ledgers("kills of ClickHouse", &ledgers);
    assert!(failed_with(&ledgers, 503), "the kills met nobody");
    expect_all_once(&collector, &ledgers);
}

#[test]
fn a_collector_that_is_asked_to_end_stores_and_answers_what_waits() {
    drains_when_asked_to_end(&mut Collector::start_on(&clickhouse_store()), 3);
}

#[test]
fn a_full_disk_under_the_journal_loses_nothing_and_is_written_again_when_there_is_room() {
    let disk = match SmallDisk::mount(1 << 20) {
        Ok(disk) => disk,
        Err(error) => {
            // Only root may. The next test has a limit instead of a disk, which everybody may set.
            left_out(format_args!("no disk can be mounted here: {error}"));
            return;
        }
    };
    let mut collector = Collector::start_in_on(disk.path(), &clickhouse_store(), |_| {});
    let ballast = std::cell::RefCell::new(None);
    survives_a_full_disk(
        &collector,
        "full disk under the journal",
        || *ballast.borrow_mut() = Some(disk.fill()),
        || {
            let ballast = ballast.take().expect("it was filled");
            std::fs::remove_file(ballast).expect("it can be removed");
        },
    );
    // It ends well and starts again where it filled up.
    assert!(collector.stop().success());
    collector.restart();
    assert_eq!(collector.get("/v1/services").status, 200);
}

#[test]
fn a_full_disk_under_clickhouse_loses_nothing_and_is_written_again_when_there_is_room() {
    const BYTES: usize = 64 << 20;
    let disk = match SmallDisk::mount(BYTES) {
        Ok(disk) => disk,
        Err(error) => {
            left_out(format_args!("no disk can be mounted here: {error}"));
            return;
        }
    };
    let Some(clickhouse) = KillableClickhouse::start_in(&disk.path().join("data")) else {
        assert!(std::env::var_os("CLICKHOUSE_URL").is_some());
        left_out("the disk of somebody's server is not to be filled");
        return;
    };
    let collector = Collector::start_on(&clickhouse.store());
    let ballast = std::cell::RefCell::new(None);
    survives_a_full_disk(
        &collector,
        "full disk under ClickHouse",
        || *ballast.borrow_mut() = Some(disk.fill()),
        || {
            let ballast = ballast.take().expect("it was filled");
            std::fs::remove_file(ballast).expect("it can be removed");
        },
    );
}

#[test]
fn a_journal_that_may_not_grow_loses_nothing_and_is_written_again_when_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let collector = Collector::start_in_on(folder.path(), &clickhouse_store(), |command| {
        limit_files(command, 1 << 20);
    });
    let process = collector.process();
    survives_a_full_disk(
        &collector,
        "limit of the journal's files",
        // No group is that small.
        || limit_files_of(process, 100),
        || unlimit_files(process),
    );
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
        left_out("somebody's server may have users, and TLS of its own");
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
