//! A fleet of sixteen hosts that rolls out by the hour, as the detector in the collector sees it: across kill -9, one alert for
//! what made it heavier and none for the rest, and the gate lets all but that one pass.

use std::path::Path;

use appweight_tests::{Collector, Ended, Receiver, an_hour_ago, eventually, put, run};
use appweight_wire::{
    Age, Batch, Cell, CellKey, Content, Format, InstructionSource, Kind, Origin, VERSION, encode,
};
use serde_json::Value;
use uuid::Uuid;

const MINUTE_US: u64 = 60_000_000;
const CLUSTERS: [&str; 2] = ["east", "west"];
const HOSTS: u64 = 8;
const ENDPOINTS: [(&str, u64); 4] = [
    ("/feed", 900_000),
    ("/stories", 400_000),
    ("/seen", 90_000),
    ("/upload", 5_000_000),
];
/// Each begins an hour after the one before. The last makes `/feed` dearer by 5 %.
const DEPLOYS: [&str; 5] = ["a", "b", "c", "d", "e"];
const LAST: u64 = 60 * (DEPLOYS.len() as u64 - 1);
const DEARER: f64 = 1.05;

/// Some hours ago, so that all of it is over by now.
fn start_us() -> u64 {
    an_hour_ago() - 6 * 60 * MINUTE_US
}

/// What a host runs: a roll-out takes eight minutes.
fn deploy(minute: u64, host: u64) -> usize {
    let begun = (minute.saturating_sub(host) / 60) as usize;
    begun.min(DEPLOYS.len() - 1)
}

/// A number between 0 and 1 that is the same at every call.
fn drawn(seed: u64) -> f64 {
    let mixed = (seed ^ (seed >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((mixed ^ (mixed >> 32)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Sixty requests of each endpoint: hosts differ in speed, the load rises and falls, a third of the spread is chance.
fn cells(minute: u64, cluster: usize, host: u64, deploy: usize) -> Vec<Cell> {
    let process = (cluster as u64 * HOSTS + host) * 10 + deploy as u64;
    let speed = 1.0 + 0.1 * drawn(7_000 + cluster as u64 * HOSTS + host) + 0.002 * drawn(process);
    let load = 1.0 + 0.05 * (minute as f64 / 200.0).sin();
    let all = ENDPOINTS.iter().enumerate().map(|(at, (endpoint, cost))| {
        let change = if at == 0 && deploy + 1 == DEPLOYS.len() {
            DEARER
        } else {
            1.0
        };
        let mut cell = Cell::new(CellKey {
            start_us: start_us() + minute * MINUTE_US,
            width_us: MINUTE_US,
            endpoint: (*endpoint).to_owned(),
            kind: Kind::Request,
            instruction_source: InstructionSource::None,
            age: Age::Warm,
            flag: None,
        });
        for request in 0..60 {
            let seed = ((minute * 1_000 + process) * 10 + at as u64) * 100 + request;
            let spread = 0.6 + 0.8 * drawn(seed);
            cell.n += 1;
            cell.weight += 1;
            let cpu_ns = (*cost as f64 * speed * load * change * spread) as u64;
            cell.cpu_ns.get_or_insert_default().observe(cpu_ns);
        }
        cell
    });
    all.collect()
}

/// Sends those minutes of each host, a batch for each deploy that it runs in them.
fn serve(collector: &Collector, minutes: std::ops::Range<u64>) {
    for (cluster, name) in CLUSTERS.iter().enumerate() {
        for host in 0..HOSTS {
            let first = deploy(minutes.start, host);
            for deploy_at in first..=deploy(minutes.end - 1, host) {
                let mine = minutes
                    .clone()
                    .filter(|minute| deploy(*minute, host) == deploy_at);
                let cells: Vec<Cell> = mine
                    .flat_map(|minute| cells(minute, cluster, host, deploy_at))
                    .collect();
                let process = (cluster as u64 * HOSTS + host) * 10 + deploy_at as u64;
                send(
                    collector,
                    name,
                    host,
                    deploy_at,
                    process,
                    minutes.start,
                    cells,
                );
            }
        }
    }
}

fn send(
    collector: &Collector,
    cluster: &str,
    host: u64,
    deploy: usize,
    process: u64,
    sequence: u64,
    cells: Vec<Cell>,
) {
    let batch = Batch {
        version: VERSION,
        source: Uuid::from_u128(u128::from(process) + 1),
        sequence,
        origin: Origin {
            service: "photos".to_owned(),
            deploy: DEPLOYS[deploy].to_owned(),
            host: format!("web-{host}"),
            cluster: cluster.to_owned(),
            ..Origin::default()
        },
        content: Content::Cells,
        cell_width_us: None,
        cells,
        requests: Vec::new(),
        processes: Vec::new(),
        profiles: Vec::new(),
    };
    let url = format!("{}/v1/batches/{}", collector.url, batch.id());
    let body = encode(&batch, Format::MessagePack);
    let answer = put(&url, "application/msgpack", &body).expect("it answers");
    assert_eq!(answer.status, 201, "{answer:?}");
}

fn start(folder: &Path, receiver: &Receiver, watches: bool) -> Collector {
    Collector::start_with(folder, |command| {
        command.env("APPWEIGHT_ALERT_WEBHOOK", format!("{}/hook", receiver.url));
        if !watches {
            command.env("APPWEIGHT_NO_WATCH", "true");
        }
    })
}

fn report(collector: &Collector, id: &str) -> Value {
    collector
        .get(&format!("/v1/deploys/{id}?service=photos"))
        .json()
}

/// Waits until the detector has seen all up to that minute, and gives what it says of the last deploy.
fn seen(collector: &Collector, minute: u64) -> Value {
    let until_us = start_us() + minute * MINUTE_US;
    eventually("the detector sees it", || {
        let report = report(collector, "e");
        match report["detected"]["until_us"].as_u64() {
            Some(seen) if seen == until_us => Ok(report),
            _ => Err(report["detected"].to_string()),
        }
    })
}

fn gate(collector: &Collector, base: &str, head: &str, more: &[&str]) -> Ended {
    let words = [
        "gate",
        "--collector",
        &collector.url,
        "--base",
        base,
        "--head",
        head,
    ];
    run(&[words.as_slice(), more].concat())
}

/// What the gate says of the last deploy, and by whose word, up to which minute.
fn stops_the_last(collector: &Collector, watch: &str, until: u64) {
    let stopped = gate(collector, "d", "e", &[]);
    assert_eq!(stopped.code, 1, "{stopped:?}");
    let until_us = start_us() + until * MINUTE_US;
    for told in ["FAIL: /feed: +", "judged by the detector up to 20", watch] {
        assert!(stopped.stdout.contains(told), "{told}: {stopped:?}");
    }
    for told in ["FAIL: all endpoints", "FAIL: /seen"] {
        assert!(!stopped.stdout.contains(told), "{told}: {stopped:?}");
    }
    let json = gate(collector, "d", "e", &["--format", "json"]);
    assert_eq!(json.code, 1, "{json:?}");
    let answer: Value = serde_json::from_str(&json.stdout).expect("it is JSON");
    assert_eq!(answer["judge"], "detector", "{answer}");
    assert_eq!(answer["detected"]["until_us"], until_us, "{answer}");
    let lines = answer["lines"].as_array().expect("a list").iter();
    let feed: Vec<&Value> = lines.filter(|line| line["subject"] == "/feed").collect();
    assert_eq!(feed.len(), 1, "{answer}");
    assert_eq!(feed[0]["outcome"], "above");
    assert!(feed[0]["sure_since_us"].as_u64() < Some(until_us));
    for format in ["markdown", "github"] {
        let ended = gate(collector, "d", "e", &["--format", format]);
        assert_eq!(ended.code, 1, "{ended:?}");
        assert!(
            ended.stdout.contains("judged by the detector up to 20"),
            "{ended:?}"
        );
    }
}

#[test]
fn what_a_roll_out_changed_is_called_while_it_is_watched_and_once_across_kills() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start();
    // What was before is there before anybody watches.
    let mut collector = start(folder.path(), &receiver, false);
    for hour in 0..LAST / 60 {
        serve(&collector, hour * 60..(hour + 1) * 60);
    }
    collector.kill();

    let mut collector = start(folder.path(), &receiver, true);
    for minute in LAST..LAST + 30 {
        serve(&collector, minute..minute + 1);
    }
    // The newest minute may have cells to come.
    let live = seen(&collector, LAST + 29);
    assert_eq!(live["summary"]["status"], "rolling", "{live}");
    assert_eq!(live["summary"]["verdict"], "regressed", "{live}");
    assert_eq!(live["detected"]["judges"], true, "{live}");
    let changes = live["detected"]["endpoints"].as_array().unwrap();
    let heavier: Vec<&Value> = changes
        .iter()
        .filter(|change| change["verdict"] == "regressed")
        .collect();
    assert_eq!(heavier.len(), 1, "{live}");
    assert_eq!(heavier[0]["endpoint"], "/feed");
    let relative = heavier[0]["change"]["relative"].as_f64().unwrap();
    assert!((relative - (DEARER - 1.0)).abs() < 0.01, "{live}");
    let told = receiver.next();
    assert_eq!(told.body["type"], "alert.open");
    assert_eq!(told.body["data"]["deploy"]["id"], "e");
    assert_eq!(told.body["data"]["findings"][0]["endpoint"], "/feed");
    eventually("it is kept that it was told", || {
        match collector.metric("appweight_collector_alerts_told_total") {
            1 => Ok(()),
            told => Err(format!("{told} told")),
        }
    });
    stops_the_last(&collector, "it still watches", LAST + 29);
    let page = collector.get("/deploys/e?service=photos").text;
    assert!(page.contains("Minute by minute"), "{page}");

    // Killed in the midst of it, the collector reads again and says the same, to the last digit.
    collector.kill();
    let collector = start(folder.path(), &receiver, true);
    let again = seen(&collector, LAST + 29);
    assert_eq!(again["detected"], live["detected"]);

    // To the end of its watch, after which the verdict is the detector's for good.
    for minute in LAST + 30..LAST + 72 {
        serve(&collector, minute..minute + 1);
    }
    let judged = eventually("it is judged for good", || {
        let report = report(&collector, "e");
        match report["summary"]["status"].as_str() {
            Some("judged") => Ok(report),
            _ => Err(report["detected"].to_string()),
        }
    });
    assert_eq!(judged["summary"]["verdict"], "regressed", "{judged}");
    assert_eq!(judged["detected"]["judges"], true, "{judged}");
    assert_eq!(judged["detected"]["late_requests"], 0, "{judged}");
    for clean in ["b", "c", "d"] {
        let report = report(&collector, clean);
        assert_eq!(report["summary"]["status"], "judged", "{report}");
        // Eight hosts for some minutes tell a change of 5 % and not that there is none of 1 %.
        let verdict = report["summary"]["verdict"].as_str().unwrap();
        assert!(["no_change", "undecided"].contains(&verdict), "{report}");
        assert_eq!(
            report["summary"]["findings"],
            serde_json::json!([]),
            "{report}"
        );
    }
    let until_us = judged["detected"]["until_us"].as_u64().unwrap();
    stops_the_last(
        &collector,
        "its watch is over",
        (until_us - start_us()) / MINUTE_US,
    );
    for (base, head) in [("a", "b"), ("b", "c"), ("c", "d")] {
        let passed = gate(&collector, base, head, &[]);
        assert_eq!(passed.code, 0, "{passed:?}");
        for told in ["PASS: all endpoints", "judged by the detector"] {
            assert!(passed.stdout.contains(told), "{told}: {passed:?}");
        }
    }
    // Somebody wants it.
    let budget = folder.path().join("appweight.toml");
    let accepted = "[gate]\nmax-increase = \"2%\"\n[[gate.accepted]]\nendpoint = \"/feed\"\nincrease = \"8%\"\nuntil = 2999-12-31\nreason = \"two models\"";
    std::fs::write(&budget, accepted).unwrap();
    let budget = budget.to_str().unwrap();
    let accepted = gate(&collector, "d", "e", &["--budget", budget]);
    assert_eq!(accepted.code, 0, "{accepted:?}");
    assert!(accepted.stdout.contains("two models"), "{accepted:?}");
    // What did not replace it is compared.
    let compared = gate(&collector, "a", "e", &["--endpoint", "/feed"]);
    assert_ne!(compared.code, 0, "{compared:?}");
    assert!(
        compared.stdout.contains("judged by comparison"),
        "{compared:?}"
    );
    assert!(compared.stdout.contains("e replaced d"), "{compared:?}");
    let alerts = collector.get("/v1/alerts?service=photos").json();
    assert_eq!(alerts.as_array().map(Vec::len), Some(1), "{alerts}");
    assert_eq!(alerts[0]["state"], "open", "{alerts}");
    assert!(receiver.waiting().is_empty());
}
