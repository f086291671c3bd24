//! The collector keeps to its own OpenAPI document, whatever it is asked: schemathesis asks.

use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use appweight_tests::{Child, Measured, Service, eventually, get, program, python};

const WRITE: &str = "may-write-0123456789abcdef";
/// The part of the CI's time that each run may take.
const LIMIT: Duration = Duration::from_secs(180);

/// A collector with two measured deploys of `small`, of which every request was recorded and profiled.
fn collector(store: &[&str]) -> Child {
    let mut command = program("appweight");
    command.args(["serve", "--listen", "127.0.0.1:0"]);
    command.args(store);
    // Of that service alone: else soon every question has to name one of many.
    command.args(["--write-token", &format!("small={WRITE}")]);
    let child = Child::start(command).expect("it starts");
    for deploy in ["a", "b"] {
        let measured = Measured::by(&child.url, deploy, "web-1")
            .with(|agent| agent.token(WRITE).profile_one_in(1));
        let service = Service::start(measured, 1_000);
        for path in ["/work", "/hello/Kim"] {
            for _ in 0..120 {
                assert_eq!(
                    get(&format!("{}{path}", service.url))
                        .expect("an answer")
                        .status,
                    200
                );
            }
        }
        assert!(service.stop(Duration::from_secs(20)), "all was taken");
    }
    let questions = [
        "/v1/compare?base=a&head=b",
        "/v1/profile?deploy=a&endpoint=/work",
        "/v1/profile/diff?base=a&head=b&endpoint=/work",
        "/v1/deploys/b",
        "/v1/flags?flag=even&from_us=0&until_us=9000000000000000",
    ];
    for question in questions {
        eventually(question, || {
            let answer = get(&format!("{}{question}", child.url))?;
            (answer.status == 200).then_some(()).ok_or(answer.text)
        });
    }
    for list in [
        "services",
        "deploys",
        "processes",
        "requests",
        "profiles?deploy=b",
    ] {
        let answer = get(&format!("{}/v1/{list}", child.url)).expect("an answer");
        assert!(answer.text.len() > 2, "{list} is empty: {answer:?}");
    }
    child
}

#[test]
fn every_answer_is_one_that_the_document_tells() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("store.db").display().to_string();
    fuzz(
        &folder,
        &["--database", &database],
        &["--max-examples", "25"],
        500,
    );
}

/// The same answers by other SQL, which takes longer: arguments drawn at random alone, and fewer.
#[cfg(feature = "clickhouse")]
#[test]
fn every_answer_of_clickhouse_is_one_that_the_document_tells() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal").display().to_string();
    let store = appweight_tests::clickhouse_store();
    let some = ["--phases", "fuzzing", "--max-examples", "8"];
    fuzz(
        &folder,
        &["--store", &store, "--journal", &journal],
        &some,
        80,
    );
}

/// Asks all operations, at least so many questions in all.
fn fuzz(folder: &tempfile::TempDir, store: &[&str], how: &[&str], at_least: u32) {
    // Else each would take the other's time.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let Some(bin) = python("schemathesis") else {
        return;
    };
    let _one_at_a_time = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let collector = collector(store);
    let began = Instant::now();
    let output = Command::new(bin.join("schemathesis"))
        .arg("--config-file")
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/python/schemathesis.toml"
        ))
        .args([
            "--no-color",
            "run",
            "--generation-deterministic",
            "--no-shrink",
        ])
        .arg("--continue-on-failure")
        .args(how)
        .args(["--header", &format!("Authorization: Bearer {WRITE}")])
        .arg(format!("{}/v1/openapi.json", collector.url))
        .env(
            "SCHEMATHESIS_HOOKS",
            concat!(env!("CARGO_MANIFEST_DIR"), "/python/hooks.py"),
        )
        .current_dir(folder.path())
        .output()
        .expect("it can be started");
    let took = began.elapsed();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // It has really asked, and of every operation.
    let asked = said.lines().find_map(|line| {
        let (asked, _) = line.trim().split_once(" generated, ")?;
        asked.parse::<u32>().ok()
    });
    assert!(asked.is_some_and(|asked| asked > at_least), "{said}");
    assert!(
        said.contains("Tested: 18") && said.contains("18/18"),
        "{said}"
    );
    assert!(took < LIMIT, "took {took:?}");

    // It lives, and neither its store failed nor a thread of its.
    assert_eq!(
        get(&format!("{}/healthz", collector.url))
            .expect("it answers")
            .status,
        200
    );
    let metrics = get(&format!("{}/metrics", collector.url))
        .expect("it answers")
        .text;
    let failed = "appweight_collector_batches_total{outcome=\"failed\"} 0\n";
    assert!(metrics.contains(failed), "{metrics}");
    let said = collector.said();
    assert!(
        !said.contains("panicked") && !said.contains("ERROR"),
        "{said}"
    );
}
