use std::path::PathBuf;

use appweight::api::{
    AddedCost, Arm, Change, Comparison, Control, DeployReport, DeployStatus, DeploySummary,
    DeployVerdict, Detected, DetectedChange, DetectedVerdict, EndpointComparison, Metric,
    TotalComparison, Verdict,
};
use appweight_wire::{Deploy, InstructionSource, Kind};
use clap::Parser;
use jiff::civil::date;
use serde_json::json;

use super::records::tests::batch;
use super::*;
use crate::args::{Args, Command, MetricName};

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

fn compared() -> Evidence {
    Evidence::compared(comparison(), "cells of 1 s, not of a minute".into())
}

/// 2026-09-21 14:13 UTC.
const UNTIL_US: u64 = 1_790_000_000_000_000;

/// A report whose verdict is the detector's.
fn report() -> DeployReport {
    let said = |endpoint: Option<&str>, verdict, relative: f64| DetectedChange {
        kind: endpoint.map(|_| Kind::Request),
        endpoint: endpoint.map(str::to_owned),
        verdict,
        change: Some(Change {
            relative,
            low: relative - 0.01,
            high: relative + 0.01,
            confidence: 0.95,
            standard_error: 0.005,
        }),
        sure_since_us: (verdict == DetectedVerdict::Regressed)
            .then_some(UNTIL_US - 12 * 60_000_000),
        more_requests: (verdict == DetectedVerdict::Undecided).then_some(12_000),
        cost: (verdict == DetectedVerdict::Regressed).then_some(AddedCost {
            share: 0.0131,
            cores: Some(2.1),
            of_cores: Some(160.0),
        }),
        checks: vec!["evidence: 32.0 standard errors, called from 5.1 on now".into()],
    };
    DeployReport {
        summary: DeploySummary {
            deploy: Deploy {
                service: "photos".into(),
                id: "1b22c00".into(),
                replaced: Some("8f2c1a9".into()),
                ..Deploy::default()
            },
            status: DeployStatus::Rolling,
            verdict: DeployVerdict::Regressed,
            headline: String::new(),
            findings: Vec::new(),
            judged_us: None,
        },
        from_us: None,
        until_us: None,
        comparison: Some(comparison()),
        memory: None,
        hosts: None,
        split: None,
        earlier_run: None,
        detected: Some(Detected {
            judges: true,
            because: "cells of minutes from 16 groups of hosts before and 16 since".into(),
            watches: true,
            metric: Some(Metric::Cpu),
            until_us: Some(UNTIL_US),
            late_requests: 7,
            left_out_minutes: 0,
            endpoints: vec![
                said(Some("/feed"), DetectedVerdict::Regressed, 0.16),
                said(Some("/search"), DetectedVerdict::Undecided, 0.015),
                said(Some("/users/{id}|<b>"), DetectedVerdict::Unchanged, 0.0),
            ],
            total: Some(said(None, DetectedVerdict::Unchanged, 0.002)),
        }),
    }
}

fn detected() -> Evidence {
    evidence::detected(report(), "8f2c1a9", None).unwrap()
}

/// The same before its first word.
fn silent() -> Evidence {
    let mut report = report();
    let detected = report.detected.as_mut().unwrap();
    (detected.judges, detected.endpoints, detected.total) = (false, Vec::new(), None);
    detected.because = "fewer than 3 groups of hosts have warmed up with it".into();
    evidence::detected(report, "8f2c1a9", None).unwrap()
}

fn told_of(evidence: Evidence, words: &[&str], budget: &Budget) -> anyhow::Result<Answer> {
    let options = options(&[DEPLOYS.as_slice(), words].concat());
    answer(&options, budget, evidence, date(2027, 1, 31))
}

fn told(words: &[&str], budget: &Budget) -> anyhow::Result<Answer> {
    told_of(compared(), words, budget)
}

fn printed_of(evidence: Evidence, words: &[&str], budget: &Budget) -> String {
    let options = options(&[DEPLOYS.as_slice(), words].concat());
    let answer = told_of(evidence, words, budget).unwrap();
    let mut out = Vec::new();
    print::print(&mut out, &options, &answer).unwrap();
    String::from_utf8(out).unwrap()
}

fn printed(words: &[&str], budget: &Budget) -> String {
    printed_of(compared(), words, budget)
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
fn a_table_of_what_the_detector_says() {
    insta::assert_snapshot!(printed_of(detected(), &[], &Budget::default()));
}

#[test]
fn a_table_of_what_the_detector_says_with_a_budget() {
    insta::assert_snapshot!(printed_of(detected(), &[], &budget()));
}

#[test]
fn a_table_before_the_detectors_first_word() {
    insta::assert_snapshot!(printed_of(silent(), &[], &budget()));
}

#[test]
fn a_table_for_pull_requests_of_what_the_detector_says() {
    let words = ["--format", "markdown"];
    insta::assert_snapshot!(printed_of(detected(), &words, &Budget::default()));
}

#[test]
fn commands_for_github_of_what_the_detector_says() {
    insta::assert_snapshot!(printed_of(detected(), &["--format", "github"], &budget()));
}

#[test]
fn json_for_programs_of_what_the_detector_says() {
    let words = ["--format", "json"];
    insta::assert_snapshot!(printed_of(detected(), &words, &Budget::default()));
}

#[test]
fn what_the_detector_called_is_held_to_a_limit_and_may_be_accepted() {
    let outcome = |words: &[&str], budget: &Budget| {
        let lines = told_of(detected(), words, budget).unwrap().lines;
        let subjects: Vec<String> = lines.iter().map(|line| line.subject.clone()).collect();
        (overall(&lines), subjects.join(" "))
    };
    let none = Budget::default();
    assert_eq!(
        outcome(&["--max-increase", "2%"], &none),
        (Outcome::Above, "all endpoints /feed".to_owned())
    );
    assert_eq!(outcome(&["--max-increase", "20%"], &none).0, Outcome::Below);
    assert_eq!(
        outcome(
            &["--endpoint", "/users/{id}|<b>", "--max-increase", "2%"],
            &none
        ),
        (Outcome::Below, "/users/{id}|<b>".to_owned())
    );
    let accepted = Budget {
        accepted: budget().accepted,
        max_increase: Some(Percentage(0.02)),
        ..Budget::default()
    };
    assert_eq!(
        outcome(&[], &accepted),
        (Outcome::Below, "all endpoints /feed".to_owned())
    );
    let words = ["--every-endpoint"];
    let lines = told_of(silent(), &words, &none).unwrap().lines;
    assert_eq!((lines.len(), overall(&lines)), (1, Outcome::CannotTell));
}

#[test]
fn the_comparison_judges_what_the_detector_does_not() {
    let not = |change: fn(&mut DeployReport), metric| {
        let mut report = report();
        change(&mut report);
        evidence::detected(report, "8f2c1a9", metric).unwrap_err()
    };
    let silent = |report: &mut DeployReport| {
        let detected = report.detected.as_mut().unwrap();
        detected.judges = false;
        detected.because = "2 groups of hosts".into();
    };
    assert_eq!(not(|report| report.detected = None, None), "");
    let other = |report: &mut DeployReport| report.summary.deploy.replaced = Some("other".into());
    assert_eq!(not(other, None), "1b22c00 replaced other");
    let asked = Some(MetricName::Instructions);
    assert_eq!(not(|_| {}, asked), "it judges CPU time");
    let mut over = report();
    silent(&mut over);
    over.summary.status = DeployStatus::Judged;
    assert_eq!(
        evidence::detected(over, "8f2c1a9", None).unwrap_err(),
        "2 groups of hosts"
    );
    let mut small = report();
    silent(&mut small);
    small.detected.as_mut().unwrap().watches = false;
    assert_eq!(
        evidence::detected(small, "8f2c1a9", None).unwrap_err(),
        "2 groups of hosts"
    );
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
