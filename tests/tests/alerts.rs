//! Alerts as somebody gets them who is told over HTTP, across kills of the collector, and what is said of them by the
//! command line.

use std::path::Path;

use appweight_tests::{
    Collector, Message, Receiver, an_hour_ago, announce, eventually, judged, roll_out, run,
};
use serde_json::json;

const SECOND: u64 = 1_000_000;
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn start(folder: &Path, receiver: &Receiver) -> Collector {
    Collector::start_with(folder, |command| {
        command
            .env("APPWEIGHT_ALERT_WEBHOOK", format!("{}/hook", receiver.url))
            .env("APPWEIGHT_ALERT_SECRET", SECRET)
            .env("APPWEIGHT_PUBLIC_URL", "https://appweight.example");
    })
}

/// Waits until it is kept that so many messages were taken since the start: whoever is killed before tells once more,
/// under the same id.
fn kept(collector: &Collector, messages: u64) {
    eventually("it is kept what was told", || {
        match collector.metric("appweight_collector_alerts_told_total") {
            told if told == messages => Ok(()),
            told => Err(format!("{told} told")),
        }
    });
}

fn kind(message: &Message) -> String {
    message.body["type"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn one_alert_per_regression_is_told_across_kills_until_it_is_undone() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start();
    let mut collector = start(folder.path(), &receiver);
    let start_us = an_hour_ago();
    announce(
        &collector,
        &json!({"service": "photos", "id": "a", "started_us": start_us - 60 * SECOND}),
    );
    roll_out(&[&collector], start_us, ["a", "b"], [1_000_000, 1_300_000]);

    let opened = receiver.next();
    assert_eq!(
        (opened.path.as_str(), kind(&opened).as_str()),
        ("/hook", "alert.open")
    );
    let data = &opened.body["data"];
    assert_eq!(
        (&data["deploy"]["id"], &data["state"]),
        (&json!("b"), &json!("open"))
    );
    assert_eq!(data["findings"][0]["endpoint"], "/feed");
    let relative = data["findings"][0]["change"]["relative"].as_f64().unwrap();
    assert!(
        (0.25..0.35).contains(&relative),
        "30 % were planted: {data}"
    );
    let link = format!("https://appweight.example/deploys/b?service=photos&started_us={start_us}");
    assert_eq!(opened.body["link"], link);
    for header in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        assert!(opened.headers.contains_key(header), "{opened:?}");
    }

    kept(&collector, 1);

    // Killed and started anew, it tells nobody twice. What is said meanwhile is told next.
    collector.kill();
    let mut collector = start(folder.path(), &receiver);
    roll_out(
        &[&collector],
        start_us + 100 * SECOND,
        ["b", "c"],
        [1_300_000, 1_300_000],
    );
    judged(&collector, "c");
    let words = [
        "alerts",
        "accept",
        "b",
        "--service",
        "photos",
        "--collector",
    ];
    let refused = run(&[words.as_slice(), &[&collector.url]].concat());
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("What is accepted needs one. (reason)"),
        "{refused:?}"
    );
    let reason = ["--reason", "ranking by two models", "--by", "Ada"];
    let accepted = run(&[words.as_slice(), &[&collector.url], &reason].concat());
    assert_eq!(accepted.code, 0, "{accepted:?}");
    assert!(
        accepted.stdout.contains("by Ada: ranking by two models"),
        "{accepted:?}"
    );
    let told = receiver.next();
    assert_eq!(kind(&told), "alert.accepted");
    assert_eq!(told.body["data"]["reason"], "ranking by two models");
    let page = collector.get("/deploys/b?service=photos");
    assert!(page.text.contains("ranking by two models"), "{}", page.text);

    // As light as before: it is resolved by itself, and once.
    roll_out(
        &[&collector],
        start_us + 200 * SECOND,
        ["c", "d"],
        [1_300_000, 1_000_000],
    );
    let told = receiver.next();
    assert_eq!(kind(&told), "alert.resolved");
    assert_eq!(told.body["data"]["resolved_by"], "d");
    kept(&collector, 2);
    collector.kill();
    let collector = start(folder.path(), &receiver);
    roll_out(
        &[&collector],
        start_us + 300 * SECOND,
        ["d", "e"],
        [1_000_000, 1_300_000],
    );
    let told = receiver.next();
    assert_eq!(
        (kind(&told).as_str(), &told.body["data"]["deploy"]["id"]),
        ("alert.open", &json!("e"))
    );
    assert!(receiver.waiting().is_empty());

    let at = ["--collector", &collector.url];
    let open = run(&[["alerts"].as_slice(), &at].concat());
    assert_eq!(open.code, 0, "{open:?}");
    assert!(
        open.stdout.contains("photos e: ") && !open.stdout.contains("photos b: "),
        "{open:?}"
    );
    let all = run(&[["alerts", "--state", "all"].as_slice(), &at].concat());
    assert!(all.stdout.contains("as light as before since d"), "{all:?}");
}

#[test]
fn a_hook_that_cannot_be_is_refused_at_the_start_without_telling_its_secret() {
    let start =
        |more: &[&str]| run(&[["serve", "--listen", "127.0.0.1:0"].as_slice(), more].concat());
    let none = start(&["--alert-slack", "hooks.example/T0/secret"]);
    assert_eq!(none.code, 2, "{none:?}");
    assert!(
        none.stderr.contains("--alert-slack") && none.stderr.contains("https://"),
        "{none:?}"
    );
    assert!(!none.stderr.contains("T0/secret"), "{none:?}");
    let unsigned = start(&[
        "--alert-webhook",
        "http://127.0.0.1:9/",
        "--alert-secret",
        "short",
    ]);
    assert_eq!(unsigned.code, 2, "{unsigned:?}");
    assert!(unsigned.stderr.contains("openssl rand"), "{unsigned:?}");
    assert!(!unsigned.stderr.contains("short"), "{unsigned:?}");
}
