//! The gate on services that really do more work, and on all that it cannot judge.

use std::time::Duration;

use appweight_tests::{ByHand, Collector, Ended, Measured, Service, an_hour_ago, get, run};
use serde_json::{Value, json};

fn gate(collector: &str, more: &[&str]) -> Ended {
    let words = ["gate", "--collector", collector, "--base", "old"];
    run(&[words.as_slice(), more].concat())
}

#[test]
fn code_that_is_slower_by_half_is_stopped_and_a_generous_limit_lets_it_pass() {
    let collector = Collector::start();
    let start =
        |deploy, host, rounds| Service::start(Measured::by(&collector.url, deploy, host), rounds);
    // A few hundred µs of real work, and 60 % more of it.
    let old = start("old", "web-1", 100_000);
    let new = start("new", "web-2", 160_000);
    for _ in 0..400 {
        for service in [&old, &new] {
            assert_eq!(get(&format!("{}/work", service.url)).unwrap().status, 200);
        }
    }
    assert!(old.stop(Duration::from_secs(20)) && new.stop(Duration::from_secs(20)));

    let stopped = gate(&collector.url, &["--head", "new", "--max-increase", "1%"]);
    assert_eq!(stopped.code, 1, "{stopped:?}");
    assert!(
        stopped.stdout.contains("FAIL: all endpoints"),
        "{stopped:?}"
    );
    assert!(stopped.stdout.contains("/work"), "{stopped:?}");
    assert!(stopped.stdout.contains("while both served"), "{stopped:?}");
    assert!(
        stopped.stdout.contains("judged by comparison"),
        "{stopped:?}"
    );

    let passed = gate(&collector.url, &["--head", "new", "--max-increase", "500%"]);
    assert_eq!(passed.code, 0, "{passed:?}");
    assert!(passed.stdout.contains("PASS"), "{passed:?}");
    let own = gate(
        &collector.url,
        &[
            "--head",
            "new",
            "--endpoint",
            "/work",
            "--max-increase",
            "1%",
        ],
    );
    assert_eq!(own.code, 1, "{own:?}");

    let json = gate(&collector.url, &["--head", "new", "--format", "json"]);
    assert_eq!(json.code, 1, "{json:?}");
    let answer: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(answer["outcome"], "above");
    let change = &answer["lines"][0]["change"];
    let relative = change["relative"].as_f64().unwrap();
    assert!((0.2..1.2).contains(&relative), "60 % more work: {answer}");
    assert!(change["low"].as_f64().unwrap() > 0.01);
    assert_eq!(answer["comparison"]["endpoints"][0]["endpoint"], "/work");

    let markdown = gate(&collector.url, &["--head", "new", "--format", "markdown"]);
    assert_eq!(markdown.code, 1, "{markdown:?}");
    let rows: Vec<&str> = markdown
        .stdout
        .lines()
        .filter(|line| line.starts_with('|'))
        .collect();
    assert_eq!(rows.len(), 4, "{markdown:?}");
    assert!(rows[0].contains("before") && rows[1].contains("---:"));
    assert!(rows[2].contains("/work") && rows[3].contains("all endpoints"));

    let unknown = gate(&collector.url, &["--head", "never-seen"]);
    assert_eq!(unknown.code, 2, "{unknown:?}");
    assert!(unknown.stderr.contains("never-seen"), "{unknown:?}");
    let endpoint = gate(
        &collector.url,
        &["--head", "new", "--endpoint", "/elsewhere"],
    );
    assert_eq!(endpoint.code, 2, "{endpoint:?}");
    assert!(endpoint.stderr.contains("/elsewhere"), "{endpoint:?}");
}

#[test]
fn a_few_requests_tell_nothing() {
    let collector = Collector::start();
    for (deploy, cpu_ns) in [("old", 500_000), ("new", 900_000)] {
        let mut client = ByHand::new(&collector.url, "photos", deploy, deploy);
        let requests: Vec<Value> = (0..20)
            .map(|at| ByHand::request(an_hour_ago() + at, "/feed", cpu_ns + at))
            .collect();
        let batch = client.batch(&requests);
        assert_eq!(client.send(&batch).unwrap().status, 201);
    }
    let ended = gate(&collector.url, &["--head", "new"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stdout.contains("CANNOT TELL"), "{ended:?}");
    assert!(ended.stdout.contains("more are needed"), "{ended:?}");
    let json = gate(
        &collector.url,
        &["--head", "new", "--endpoint", "/feed", "--format", "json"],
    );
    assert_eq!(json.code, 2, "{json:?}");
    let answer: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(answer["outcome"], "cannot_tell");
    assert_eq!(answer["lines"][0]["more_requests"], 80);
}

#[test]
fn instructions_of_two_sources_are_not_compared() {
    let collector = Collector::start();
    for (deploy, source) in [("old", "hardware_user"), ("new", "simulated")] {
        let mut client = ByHand::new(&collector.url, "photos", deploy, deploy);
        let requests: Vec<Value> = (0..200)
            .map(|at| {
                let mut request = ByHand::request(an_hour_ago() + at, "/feed", 500_000);
                request["instructions"] = json!(2_000_000 + at);
                request["instruction_source"] = json!(source);
                request
            })
            .collect();
        let batch = client.batch(&requests);
        assert_eq!(client.send(&batch).unwrap().status, 201);
    }
    let ended = gate(&collector.url, &["--head", "new"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains("simulated"), "{ended:?}");
    let cpu = gate(
        &collector.url,
        &["--head", "new", "--metric", "cpu", "--max-increase", "50%"],
    );
    assert_eq!(cpu.code, 0, "CPU time can be compared: {cpu:?}");
}

#[test]
fn nobody_there_is_no_pass() {
    // A port that was free a moment ago.
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let url = format!("http://127.0.0.1:{port}");
    let ended = gate(&url, &["--head", "new"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains(&url), "{ended:?}");
}
