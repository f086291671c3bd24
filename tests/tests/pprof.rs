//! Profiles that `appweight profile --format pprof` writes, read by `go tool pprof` and by Speedscope's importer, which share
//! no code with us.
//!
//! Without Go the tests say so and pass; with `APPWEIGHT_TEST_GO=require`, as in `.ci/run`, they fail. So it is with npm, which
//! fetches Speedscope, and `CI`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use appweight_tests::{ByHand, Collector, an_hour_ago, left_out, program, speedscope};
use serde_json::{Value, json};
use tempfile::TempDir;

const BUILD: &str = "5f0c31a2b7d94e8866aa10c3f2e4d5b697887766";
const MIB: i64 = 1 << 20;

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
            left_out(format_args!("go cannot be run: {error}"));
            return None;
        }
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    Some(said)
}

/// The rows of `-top`: what the function costs itself, what it does with all that it calls, and its name.
fn rows(top: &str) -> Vec<String> {
    let lines = top.lines().skip_while(|line| !line.contains("flat%"));
    lines
        .skip(1)
        .map(|line| {
            // flat, flat%, sum%, cum, cum%, name
            let row: Vec<&str> = line.split_whitespace().collect();
            format!("{} {} {}", row[0], row[3], row[5..].join(" "))
        })
        .collect()
}

/// Files of a deploy that was profiled in each way.
struct Written {
    collector: Collector,
    folder: TempDir,
}

impl Written {
    /// Two profiled requests; `<query as Store>::run` is called by two functions.
    fn new() -> Self {
        let collector = Collector::start();
        let mut client = ByHand::new(&collector.url, "photos", "8f2c1a9", "web-1");
        let mut batch = client.batch(&[]);
        batch["version"] = json!(2);
        let profile = |taken: &str, samples: u64, timers: Value| {
            json!({
                "start_us": an_hour_ago(), "width_us": 1_000_000, "endpoint": "/feed/{user}", "requests": 2,
                "taken": taken, "samples": samples,
                "builds": [BUILD],
                "functions": [
                    { "name": "photos::feed", "file": "src/feed.rs", "line": 12 },
                    { "name": "photos::authors" },
                    { "name": "<query as Store>::run", "file": "src/store.rs", "line": 40 },
                ],
                "parents": [0, 0, 1, 1, 3], "node_functions": [0, 0, 2, 1, 2], "calls": [2, 2, 2, 2, 10],
                "timers": timers,
            })
        };
        batch["profiles"] = json!([
            profile(
                "scopes",
                0,
                json!([
                    { "name": "cpu", "unit": "ns", "taken_off_milli": 35_000, "left_milli": 4_000,
                      "own": [5_000_000, 10_000_000, 20_000_000, 15_000_000, 50_000_000] },
                ])
            ),
            profile(
                "sampled",
                18,
                json!([
                    { "name": "user_cpu", "unit": "ns", "own": [1_000_000, 3_000_000, 6_000_000, 2_000_000, 8_000_000] },
                ])
            ),
            // `authors` gives back what was allocated before.
            profile(
                "sampled",
                18,
                json!([
                    { "name": "allocated", "unit": "bytes", "own": [0, MIB, 2 * MIB, 0, 64 * MIB] },
                    { "name": "live", "unit": "bytes", "own": [0, MIB, 2 * MIB, -8 * MIB, 64 * MIB] },
                ])
            ),
        ]);
        assert_eq!(client.send(&batch).expect("an answer").status, 201);
        let folder = tempfile::tempdir().expect("a folder");
        Self { collector, folder }
    }

    /// That of a timer.
    fn file(&self, timer: &str) -> PathBuf {
        let written = program("appweight")
            .args(["profile", "--deploy", "8f2c1a9", "--format", "pprof"])
            .args(["--timer", timer, "--collector", &self.collector.url])
            .output()
            .expect("it can be started");
        assert!(written.status.success(), "{written:?}");
        let file = self.folder.path().join(format!("{timer}.pb.gz"));
        fs::write(&file, &written.stdout).expect("it can be written");
        file
    }
}

#[test]
fn go_reads_names_chains_values_and_the_build() {
    let written = Written::new();
    let file = written.file("cpu");
    let file = file.to_str().expect("a plain path");

    let Some(top) = go_pprof(&["-top", "-unit=ms", file]) else {
        return;
    };
    assert_eq!(
        rows(&top),
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
    let comments = go_pprof(&["-comments", file]).expect("go was there");
    let cost = "own cost of up to 35.0 ns a call is taken off; ±4.00 ns a call may remain";
    assert!(comments.contains(cost), "{comments}");
}

#[test]
fn go_reads_sampled_stacks_and_memory_that_is_still_there() {
    let written = Written::new();
    let file = written.file("user_cpu");
    let file = file.to_str().expect("a plain path");
    let Some(top) = go_pprof(&["-top", "-unit=ms", file]) else {
        return;
    };
    assert!(top.contains("Type: user_cpu"), "{top}");
    assert!(top.contains("of 20ms total"), "{top}");
    assert_eq!(rows(&top)[0], "14ms 14ms <query as Store>::run", "{top}");
    let samples = go_pprof(&["-top", "-sample_index=samples", file]).expect("go was there");
    assert!(samples.contains("of 18 total"), "{samples}");

    let file = written.file("live");
    let file = file.to_str().expect("a plain path");
    let top = go_pprof(&["-top", "-unit=mb", file]).expect("go was there");
    assert!(top.contains("Type: live"), "{top}");
    // What was given back is taken off those that it was given back for.
    assert!(
        top.contains("of 66MB total") || top.contains("of 67MB total"),
        "{top}"
    );
    assert_eq!(rows(&top)[0], "66MB 66MB <query as Store>::run", "{top}");
}

#[test]
fn speedscope_shows_the_total_and_each_function() {
    let written = Written::new();
    let number = |value: &Value| value.as_f64().expect("a number");
    for (timer, unit, total, query) in [
        ("cpu", "nanoseconds", 100e6, 70e6),
        ("user_cpu", "nanoseconds", 20e6, 14e6),
        ("allocated", "bytes", 67.0 * MIB as f64, 66.0 * MIB as f64),
    ] {
        let Some(shown) = speedscope(&written.file(timer)) else {
            return;
        };
        let profile = &shown[0];
        assert_eq!(profile["unit"], unit, "{shown}");
        assert_eq!(number(&profile["total"]), total, "{shown}");
        let frames = profile["frames"].as_array().expect("a list");
        let named = |name: &str| frames.iter().find(|frame| frame["name"] == name);
        let run = named("<query as Store>::run").expect("the function");
        assert_eq!(
            (number(&run["own"]), number(&run["total"])),
            (query, query),
            "{shown}"
        );
        assert_eq!(run["file"], "src/store.rs", "{shown}");
        let feed = named("photos::feed").expect("the function");
        assert!(number(&feed["total"]) > number(&feed["own"]), "{shown}");
    }
}
