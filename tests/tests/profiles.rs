//! Function profiles on their whole way: a client written by hand, the collector, the command line, the pages.

use appweight_tests::{ByHand, Collector, Ended, an_hour_ago, run};
use serde_json::{Value, json};

const SECOND: u64 = 1_000_000;

/// What the profiled requests of a second add up to.
fn profile(span: u64, query_ns: u64, timer: &str, unit: &str) -> Value {
    let noise = span % 4 * 1_000;
    json!({
        "start_us": an_hour_ago() + span * SECOND, "width_us": SECOND, "endpoint": "/feed/{user}", "requests": 2,
        "functions": [
            { "name": "photos::feed", "file": "src/feed.rs", "line": 12 },
            { "name": "photos::<query>", "file": "src/store.rs", "line": 40 },
        ],
        "parents": [0, 0, 1], "node_functions": [0, 0, 1], "calls": [0, 2, 6],
        "timers": [{ "name": timer, "unit": unit, "own": [0, 2_000_000 + noise, 2 * query_ns - noise] }],
    })
}

fn send(collector: &Collector, deploy: &str, profiles: &[Value]) {
    let mut client = ByHand::new(&collector.url, "photos", deploy, deploy);
    let mut batch = client.batch(&[ByHand::request(an_hour_ago(), "/feed/{user}", 1_000_000)]);
    batch["profiles"] = json!(profiles);
    // Twice: it is a retry, and counts once.
    for status in [201, 200] {
        assert_eq!(client.send(&batch).expect("an answer").status, status);
    }
}

fn two_deploys() -> Collector {
    let collector = Collector::start();
    for (deploy, query_ns) in [("5f9cd00", 3_000_000), ("8f2c1a9", 4_500_000)] {
        let spans = (0..16).map(|span| profile(span, query_ns, "cpu", "ns"));
        send(&collector, deploy, &spans.collect::<Vec<_>>());
    }
    collector
}

fn appweight(collector: &Collector, words: &[&str]) -> Ended {
    run(&[&["profile"], words, &["--collector", &collector.url]].concat())
}

#[test]
fn the_guilty_function_is_named_from_records_to_the_terminal() {
    let collector = two_deploys();
    assert_eq!(
        collector.metric("appweight_collector_records_total{kind=\"profile\"}"),
        32
    );
    let shown = appweight(
        &collector,
        &["--deploy", "8f2c1a9", "--endpoint", "/feed/{user}"],
    );
    assert_eq!(shown.code, 0, "{shown:?}");
    assert!(shown.stdout.contains("32 requests behind it"), "{shown:?}");
    let first = shown
        .stdout
        .lines()
        .find(|line| line.contains('%'))
        .unwrap();
    assert!(first.contains("photos::<query>"), "{shown:?}");

    let words = ["diff", "5f9cd00", "8f2c1a9", "--endpoint", "/feed/{user}"];
    let compared = appweight(&collector, &words);
    assert_eq!(compared.code, 0, "{compared:?}");
    let most = "most of it in photos::feed → photos::<query> (+1.50 ms";
    assert!(compared.stdout.contains(most), "{compared:?}");
    let judged = appweight(
        &collector,
        &[&words[..], &["--max-increase", "10%"]].concat(),
    );
    assert_eq!(judged.code, 1, "{judged:?}");

    let unknown = appweight(&collector, &["--deploy", "8f2c1a9", "--timer", "wall"]);
    assert_eq!(unknown.code, 2, "{unknown:?}");
    assert!(unknown.stderr.contains("there are cpu"), "{unknown:?}");
}

#[test]
fn profiles_survive_a_crash_of_the_collector_and_are_added_to_after_it() {
    let mut collector = two_deploys();
    collector.kill();
    collector.restart();
    send(
        &collector,
        "8f2c1a9",
        &[profile(99, 4_500_000, "cpu", "ns")],
    );
    let answer = collector.get("/v1/profile?deploy=8f2c1a9").json();
    assert_eq!(answer["summary"]["requests"], 34, "{answer}");
    let total: i64 = answer["tree"]["own"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|node| node.as_array().unwrap())
        .map(|value| value.as_i64().unwrap())
        .sum();
    assert_eq!(total, 17 * (2_000_000 + 9_000_000));
}

#[test]
fn a_flame_graph_of_the_difference_is_drawn_and_names_stay_text() {
    let collector = two_deploys();
    let path = "/profiles/flamegraph.svg?base=5f9cd00&head=8f2c1a9&endpoint=%2Ffeed%2F%7Buser%7D";
    let svg = collector.get(path);
    assert_eq!(svg.status, 200, "{svg:?}");
    assert!(svg.text.contains("photos::&lt;query&gt;"), "{svg:?}");
    let words = ["diff", "5f9cd00", "8f2c1a9", "--endpoint", "/feed/{user}"];
    let printed = appweight(&collector, &[&words[..], &["--format", "folded"]].concat());
    assert!(
        printed
            .stdout
            .contains("photos::feed;photos::<query> 2999250000000 4499250000000\n"),
        "{printed:?}"
    );
}

#[test]
fn a_broken_profile_is_refused_and_changes_nothing() {
    let collector = Collector::start();
    let mut client = ByHand::new(&collector.url, "photos", "a", "web-1");
    let mut batch = client.batch(&[]);
    let mut broken = profile(0, 1, "cpu", "ns");
    broken["parents"] = json!([0, 0, 7]);
    batch["profiles"] = json!([broken]);
    let refused = client.send(&batch).unwrap();
    assert_eq!(refused.status, 422, "{refused:?}");
    assert_eq!(refused.json()["field"], "profiles[0].parents[2]");
    assert_eq!(collector.get("/v1/profiles?deploy=a").status, 404);
}
