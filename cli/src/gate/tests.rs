use std::path::PathBuf;

use appweight::api::{Arm, Change, Control, EndpointComparison, TotalComparison, Verdict};
use appweight_wire::{InstructionSource, Kind};
use clap::Parser;
use jiff::civil::date;
use serde_json::json;

use super::records::tests::batch;
use super::*;
use crate::args::{Args, Command};

fn comparison() -> Comparison {
    let change = |relative: f64| Change {
        relative,
        low: relative - 0.04,
        high: relative + 0.04,
        confidence: 0.999,
        standard_error: 0.01,
    };
    let arm = |mean| Arm {
        requests: 1_000,
        weight: 1_000,
        errors: 0,
        host_groups: 2,
        mean,
    };
    let endpoint = |name: &str, relative: f64, change: Option<Change>| EndpointComparison {
        kind: Kind::Request,
        endpoint: name.into(),
        metric: Metric::Cpu,
        instruction_source: InstructionSource::None,
        control: Control::SideBySide,
        before: arm(800_000.0),
        after: arm(800_000.0 * (1.0 + relative)),
        change,
        restart: None,
        request_error: None,
        share: 0.5,
        verdict: Verdict::NoChange,
        gates: Vec::new(),
    };
    Comparison {
        service: "photos".into(),
        base: "8f2c1a9".into(),
        head: "1b22c00".into(),
        metric: Metric::Cpu,
        control: Control::SideBySide,
        endpoints: vec![
            endpoint("/feed", 0.16, Some(change(0.16))),
            endpoint("/users/{id}|<b>", 0.0, None),
        ],
        total: TotalComparison {
            before: 500_000.0,
            after: 540_000.0,
            change: Some(change(0.08)),
        },
    }
}

fn options(words: &[&str]) -> Gate {
    let words = [["appweight", "gate"].as_slice(), words].concat();
    match Args::try_parse_from(words).unwrap().command {
        Command::Gate(gate) => gate,
        other => panic!("{other:?}"),
    }
}

const DEPLOYS: [&str; 4] = ["--base", "8f2c1a9", "--head", "1b22c00"];

fn told(words: &[&str], budget: &Budget) -> anyhow::Result<Answer> {
    let options = options(&[DEPLOYS.as_slice(), words].concat());
    answer(&options, budget, comparison(), date(2027, 1, 31))
}

fn printed(words: &[&str], budget: &Budget) -> String {
    let options = options(&[DEPLOYS.as_slice(), words].concat());
    let answer = told(words, budget).unwrap();
    let mut out = Vec::new();
    print::print(&mut out, &options, &answer).unwrap();
    String::from_utf8(out).unwrap()
}

fn budget() -> Budget {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("appweight.toml");
    let text = r#"
        [gate]
        max-increase = "2%"
        every-endpoint = "5%"

        [gate.endpoints]
        "/feed" = "0.5%"
        "/search" = "1%"

        [[gate.accepted]]
        endpoint = "/feed"
        increase = "25%"
        until = 2027-01-31
        reason = "PHO-12: ranking, by two models"

        [[gate.accepted]]
        increase = "9%"
        until = 2027-01-30
        reason = "PHO-12"
    "#;
    std::fs::write(&path, text).unwrap();
    Budget::read(Some(&path)).unwrap()
}

#[test]
fn a_table_for_people() {
    insta::assert_snapshot!(printed(&[], &Budget::default()));
}

#[test]
fn a_table_with_a_budget() {
    insta::assert_snapshot!(printed(&[], &budget()));
}

#[test]
fn a_table_for_pull_requests_escapes_names() {
    insta::assert_snapshot!(printed(&["--format", "markdown"], &Budget::default()));
}

#[test]
fn commands_for_github() {
    insta::assert_snapshot!(printed(&["--format", "github"], &budget()));
}

#[test]
fn json_for_programs() {
    insta::assert_snapshot!(printed(&["--format", "json"], &budget()));
}

#[test]
fn github_gets_the_table_as_its_summary() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("summary.md");
    let words = [
        "--format",
        "github",
        "--summary-file",
        path.to_str().unwrap(),
    ];
    printed(&words, &Budget::default());
    printed(&words, &Budget::default());
    let summary = std::fs::read_to_string(&path).unwrap();
    let markdown = printed(&["--format", "markdown"], &Budget::default());
    assert_eq!(summary, format!("{markdown}{markdown}"));
}

#[test]
fn one_endpoint_above_fails_all_and_one_unclear_is_no_pass() {
    let overall = |words: &[&str]| overall(&told(words, &Budget::default()).unwrap().lines);
    assert_eq!(overall(&["--every-endpoint"]), Outcome::Above);
    assert_eq!(
        overall(&["--every-endpoint", "--max-increase", "50%"]),
        Outcome::CannotTell
    );
    assert_eq!(
        overall(&["--endpoint", "/feed", "--max-increase", "50%"]),
        Outcome::Below
    );
    let error = told(&["--endpoint", "/nope"], &Budget::default()).unwrap_err();
    assert!(error.to_string().contains("/feed"), "{error}");
}

#[test]
fn the_command_line_goes_before_the_file_and_an_endpoints_own_limit_before_both() {
    let limits = |words: &[&str]| -> Vec<(String, f64)> {
        let lines = told(words, &budget()).unwrap().lines;
        let limit = |line: GateLine| (line.subject, line.max_increase);
        lines.into_iter().map(limit).collect()
    };
    let expected = |all: f64, others: f64| {
        [
            ("all endpoints", all),
            ("/feed", 0.25),
            ("/search", 0.01),
            ("/users/{id}|<b>", others),
        ]
        .map(|(name, limit)| (name.to_owned(), limit))
    };
    assert_eq!(limits(&[]), expected(0.02, 0.05));
    assert_eq!(limits(&["--max-increase", "3%"]), expected(0.03, 0.03));
}

fn files(
    base: &[serde_json::Value],
    head: &[serde_json::Value],
) -> (tempfile::TempDir, [PathBuf; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let paths = [("base.json", base), ("head.json", head)].map(|(name, batches)| {
        let path = folder.path().join(name);
        std::fs::write(&path, json!(batches).to_string()).unwrap();
        path
    });
    (folder, paths)
}

fn gated(paths: &[PathBuf; 2], more: &[&str]) -> (Outcome, String) {
    let [base, head] = paths.each_ref().map(|path| path.to_str().unwrap());
    let words = [&["--base-file", base, "--head-file", head], more].concat();
    let mut out = Vec::new();
    let outcome = answered(&options(&words), &mut out).unwrap();
    (outcome, String::from_utf8(out).unwrap())
}

#[test]
fn two_files_are_compared_without_a_collector() {
    let side = |deploy: &str, feed: u64| {
        [0, 1, 2, 3].map(|host| batch(deploy, host, &[("/feed", feed), ("/users/{id}", 200_000)]))
    };
    let (_folder, paths) = files(&side("old", 500_000), &side("new", 600_000));
    let (outcome, text) = gated(&paths, &["--endpoint", "/feed"]);
    assert_eq!(outcome, Outcome::Above, "{text}");
    insta::assert_snapshot!(text);
    let (outcome, text) = gated(
        &paths,
        &["--endpoint", "/users/{id}", "--max-increase", "5%"],
    );
    assert_eq!(outcome, Outcome::Below, "{text}");
}

#[test]
fn two_files_of_one_deploy_are_told_apart_by_their_names() {
    let side = |hosts: [usize; 2]| hosts.map(|host| batch("dev", host, &[("/feed", 500_000)]));
    let (_folder, paths) = files(&side([0, 1]), &side([2, 3]));
    let (outcome, text) = gated(&paths, &["--max-increase", "10%"]);
    assert_eq!(outcome, Outcome::Below, "{text}");
    assert!(
        text.contains("base.json)") && text.contains("head.json)"),
        "{text}"
    );
}

#[test]
fn files_come_in_pairs_and_deploys_are_needed_without_them() {
    for words in [
        &["--base-file", "a"][..],
        &["--base", "a"][..],
        &["--head", "b"][..],
        &[][..],
    ] {
        let words = [["appweight", "gate"].as_slice(), words].concat();
        assert!(Args::try_parse_from(&words).is_err(), "{words:?}");
    }
}
