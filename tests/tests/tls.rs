//! TLS the whole way: agent, command line and dashboard of its own speak to a collector with a certificate.

use std::fs;
use std::time::Duration;

use appweight_tests::{Child, Measured, Service, eventually, get, get_over_tls, program, run};

const READ: &str = "may-read-0123456789abcdef";
const WRITE: &str = "may-write-0123456789abcdef";

#[test]
fn agent_commands_and_pages_speak_tls() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let der = made.cert.der();

    let mut command = program("appweight");
    command
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--database",
            &path("store.db"),
        ])
        .args(["--read-token", READ, "--write-token", WRITE])
        .args(["--tls-cert", &cert, "--tls-key", &key]);
    let collector = Child::start(command).expect("it starts");
    let url = &collector.url;
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let health = get_over_tls(&format!("{url}/healthz"), der).unwrap();
    assert_eq!((health.status, health.text.as_str()), (200, "ok\n"));
    let plain = url.replace("https://", "http://");
    assert!(
        get(&format!("{plain}/healthz")).is_err(),
        "it speaks TLS alone"
    );
    assert!(
        get(&format!("{url}/healthz")).is_err(),
        "nobody vouches for it"
    );

    // The agent.
    let measured = Measured::by(url, "a", "web-1").with(|agent| agent.token(WRITE).ca_file(&cert));
    let service = Service::start(measured, 1);
    assert_eq!(
        get(&format!("{}/hello/Kim", service.url)).unwrap().status,
        200
    );
    assert!(service.stop(Duration::from_secs(20)), "all was taken");

    // The command line.
    let deploy = [
        "deploy",
        "b",
        "--service",
        "small",
        "--collector",
        url,
        "--token",
        WRITE,
    ];
    let stranger = run(&deploy);
    assert_eq!(stranger.code, 2, "{stranger:?}");
    assert!(stranger.stderr.contains("certificate"), "{stranger:?}");
    let announced = run(&[&deploy[..], &["--ca-file", &cert]].concat());
    assert_eq!(announced.code, 0, "{announced:?}");
    assert!(announced.stdout.contains("replacing a"), "{announced:?}");

    // A dashboard of its own, with a certificate too.
    let mut command = program("appweight");
    command
        .args(["dashboard", "--listen", "127.0.0.1:0", "--collector", url])
        .args(["--token", READ, "--ca-file", &cert])
        .args(["--tls-cert", &cert, "--tls-key", &key]);
    let dashboard = Child::start(command).expect("it starts");
    let pages = dashboard
        .url
        .replace("https://", &format!("https://anyone:{READ}@"));
    eventually("the service is on the page", || {
        let page = get_over_tls(&pages, der)?;
        assert_eq!(page.status, 200, "{}", page.text);
        page.text.contains("small").then_some(()).ok_or(page.text)
    });
    assert!(dashboard.stop().success());
    assert!(collector.stop().success());
}

#[test]
fn a_certificate_comes_with_its_key_and_both_can_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("store.db").display().to_string();
    let words = ["serve", "--listen", "127.0.0.1:0", "--database", &database];
    let alone = run(&[&words[..], &["--tls-cert", "/dev/null"]].concat());
    assert_eq!(alone.code, 2);
    assert!(alone.stderr.contains("--tls-key"), "{alone:?}");
    let both = ["--tls-cert", "/dev/null", "--tls-key", "/dev/null"];
    let empty = run(&[&words[..], &both].concat());
    assert_eq!(empty.code, 2);
    assert!(
        empty.stderr.contains("no certificate in PEM form"),
        "{empty:?}"
    );
}
