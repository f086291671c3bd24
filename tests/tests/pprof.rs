//! Profiles that `appweight profile --format pprof` writes, read by `go tool pprof`, which shares no code with us.
//!
//! Without Go the test says so and passes; with `APPWEIGHT_TEST_GO=require`, as in `.ci/run`, it fails.

#![expect(clippy::print_stdout, reason = "what was skipped is told")]

use std::fs;
use std::process::Command;

use appweight_tests::{ByHand, Collector, an_hour_ago, program};
use serde_json::json;

const BUILD: &str = "5f0c31a2b7d94e8866aa10c3f2e4d5b697887766";

/// What `go tool pprof` says; `None` where there is no Go.
fn go_pprof(words: &[&str]) -> Option<String> {
    let ran = Command::new("go")
        .args(["tool", "pprof"])
        .args(words)
        .output();
    let output = match ran {
        Ok(output) => output,
        Err(error) => {
            let required = std::env::var("APPWEIGHT_TEST_GO").is_ok_and(|how| how == "require");
            assert!(!required, "go cannot be run: {error}");
            println!("SKIPPED: go cannot be run: {error}");
            return None;
        }
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    Some(said)
}

/// Two profiled requests; `<query as Store>::run` is called by two functions.
fn collector() -> Collector {
    let collector = Collector::start();
    let mut client = ByHand::new(&collector.url, "photos", "8f2c1a9", "web-1");
    let mut batch = client.batch(&[]);
    batch["version"] = json!(2);
    batch["profiles"] = json!([{
        "start_us": an_hour_ago(), "width_us": 1_000_000, "endpoint": "/feed/{user}", "requests": 2,
        "builds": [BUILD],
        "functions": [
            { "name": "photos::feed", "file": "src/feed.rs", "line": 12 },
            { "name": "photos::authors" },
            { "name": "<query as Store>::run", "file": "src/store.rs", "line": 40 },
        ],
        "parents": [0, 0, 1, 1, 3], "node_functions": [0, 0, 2, 1, 2], "calls": [2, 2, 2, 2, 10],
        "timers": [{ "name": "cpu", "unit": "ns", "own": [5_000_000, 10_000_000, 20_000_000, 15_000_000, 50_000_000] }],
    }]);
    assert_eq!(client.send(&batch).expect("an answer").status, 201);
    collector
}

#[test]
fn go_reads_names_chains_values_and_the_build() {
    let collector = collector();
    let written = program("appweight")
        .args(["profile", "--deploy", "8f2c1a9", "--format", "pprof"])
        .args(["--collector", &collector.url])
        .output()
        .expect("it can be started");
    assert!(written.status.success(), "{written:?}");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("feed.pb.gz");
    fs::write(&file, &written.stdout).expect("it can be written");
    let file = file.to_str().expect("a plain path");

    let Some(top) = go_pprof(&["-top", "-unit=ms", file]) else {
        return;
    };
    // flat, flat%, sum%, cum, cum%, name
    let rows: Vec<Vec<&str>> = top
        .lines()
        .skip_while(|line| !line.contains("flat%"))
        .skip(1)
        .map(|line| line.split_whitespace().collect())
        .collect();
    let told: Vec<String> = rows
        .iter()
        .map(|row| format!("{} {} {}", row[0], row[3], row[5..].join(" ")))
        .collect();
    assert_eq!(
        told,
        [
            "70ms 70ms <query as Store>::run",
            "15ms 65ms photos::authors",
            "10ms 95ms photos::feed",
        ],
        "{top}"
    );
    assert!(top.contains("Type: cpu"), "{top}");
    assert!(top.contains("of 100ms total"), "{top}");

    let calls = go_pprof(&["-top", "-sample_index=calls", file]).expect("go was there");
    assert!(
        calls.contains("<query as Store>::run") && calls.contains("of 18 total"),
        "{calls}"
    );

    // Each chain by itself: the leaf first, then what called it.
    let traces = go_pprof(&["-traces", "-unit=ms", file]).expect("go was there");
    let words: Vec<&str> = traces.split_whitespace().collect();
    let text = words.join(" ");
    assert!(
        text.contains("50ms <query as Store>::run photos::authors photos::feed"),
        "{traces}"
    );
    assert!(
        text.contains("20ms <query as Store>::run photos::feed"),
        "{traces}"
    );

    let raw = go_pprof(&["-raw", file]).expect("go was there");
    assert!(raw.contains(BUILD), "{raw}");
    assert!(raw.contains("src/store.rs:40"), "{raw}");
}
