//! `appweight profile` against a collector of its own.

use std::process::ExitCode;

use appweight::profile::{Function, Profile, Timer, to_record};
use appweight_collector::{Clock, Collector, CollectorOptions};
use appweight_wire::{Batch, Content, Format, Origin, ProfileRecord, TimerValues, VERSION, encode};
use clap::Parser;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::{ProfileCommand, compare, run, show};
use crate::args::{Args, Command};

const SECOND: u64 = 1_000_000;
const NOON: u64 = 1_790_000_000 * SECOND;

/// A collector on a port of its own, until it is dropped.
struct Served {
    url: String,
    _folder: TempDir,
    _runtime: Runtime,
}

impl Served {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = Runtime::new().unwrap();
        let options = CollectorOptions {
            database: folder.path().join("test.db"),
            clock: Clock::new(|| NOON + 60 * SECOND),
            ..CollectorOptions::default()
        };
        let listener = runtime.block_on(async {
            let collector = Collector::open(options).await.unwrap();
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(async move { axum::serve(listener, collector.router()).await });
            address
        });
        Self {
            url: format!("http://{listener}"),
            _folder: folder,
            _runtime: runtime,
        }
    }

    /// So many spans of an endpoint, a request in each.
    fn profiled(&self, source: u128, deploy: &str, stacks: &[(&str, i64)], spans: u64) {
        let profiles = (0..spans).map(|span| record(span, stacks)).collect();
        self.put(source, deploy, profiles);
    }

    /// One span of that build.
    fn built(&self, source: u128, deploy: &str, build: &str) {
        let mut profile = record(0, &OLD);
        profile.builds = vec![build.to_owned()];
        self.put(source, deploy, vec![profile]);
    }

    fn put(&self, source: u128, deploy: &str, profiles: Vec<ProfileRecord>) {
        let batch = Batch {
            version: VERSION,
            source: Uuid::from_u128(source),
            sequence: 0,
            origin: Origin {
                service: "photos".into(),
                deploy: deploy.into(),
                host: "web-1".into(),
                ..Origin::default()
            },
            content: Content::Cells,
            cell_width_us: None,
            cells: Vec::new(),
            requests: Vec::new(),
            processes: Vec::new(),
            profiles,
        };
        let url = format!("{}/v1/batches/{}", self.url, batch.id());
        let sent = ureq::put(&url)
            .content_type("application/msgpack")
            .send(encode(&batch, Format::MessagePack).as_slice())
            .unwrap();
        assert_eq!(sent.status(), 201);
    }

    fn appweight(&self, words: &[&str]) -> (ExitCode, String) {
        let mut out = Vec::new();
        let code = run(&self.options(words), &mut out);
        (code, String::from_utf8(out).unwrap())
    }

    /// Why there is no answer.
    fn complaint(&self, words: &[&str]) -> String {
        let options = self.options(words);
        let mut out = Vec::new();
        let ran = match &options.command {
            Some(ProfileCommand::Diff(options)) => compare(options, &mut out),
            None => show(&options, &mut out),
        };
        format!("{:#}", ran.unwrap_err())
    }

    fn options(&self, words: &[&str]) -> super::ProfileArgs {
        let all = ["appweight", "profile"]
            .into_iter()
            .chain(words.iter().copied())
            .chain(["--collector", &self.url]);
        let Command::Profile(options) = Args::parse_from(all).command else {
            panic!("the command is profile")
        };
        *options
    }
}

fn record(span: u64, stacks: &[(&str, i64)]) -> ProfileRecord {
    let mut profile = Profile::new(Timer::new("cpu", "ns"));
    for (stack, own) in stacks {
        let node = stack.split(';').fold(profile.root(), |node, name| {
            let function = Function {
                name: name.to_owned(),
                file: "src/feed.rs".to_owned(),
                line: 7,
            };
            profile.child(node, &function)
        });
        let noise = i64::try_from(span % 3).unwrap() - 1;
        profile.add(node, 10, own * (100 + noise) / 100);
    }
    profile.count(10, 0);
    let mut record = ProfileRecord {
        start_us: NOON + span * SECOND,
        width_us: SECOND,
        endpoint: "/feed/{user}".into(),
        ..to_record(&profile)
    };
    let allocated = TimerValues {
        name: "allocated".into(),
        unit: "bytes".into(),
        own: vec![2_048; record.parents.len()],
        taken_off_milli: 0,
        left_milli: 0,
    };
    record.timers[0].taken_off_milli = 35_200;
    record.timers[0].left_milli = 4_000;
    record.timers.push(allocated);
    record
}

const OLD: [(&str, i64); 3] = [
    ("feed;load_authors", 2_000_000),
    ("feed;query", 3_000_000),
    ("feed;render", 5_000_000),
];
const NEW: [(&str, i64); 3] = [
    ("feed;load_authors", 2_000_000),
    ("feed;query", 6_000_000),
    ("feed;render", 5_000_000),
];

#[test]
fn a_deploys_profile_in_every_form() {
    let served = Served::start();
    served.profiled(1, "8f2c1a9", &OLD, 20);
    let of = ["--deploy", "8f2c1a9", "--endpoint", "/feed/{user}"];
    let (code, table) = served.appweight(&of);
    assert_eq!(code, ExitCode::SUCCESS);
    insta::assert_snapshot!(table);
    let form = |format: &str| {
        served
            .appweight(&[&of[..], &["--format", format]].concat())
            .1
    };
    assert!(
        form("folded").contains("feed;query 59"),
        "{}",
        form("folded")
    );
    let svg = form("svg");
    assert!(
        svg.contains(">photos 8f2c1a9: /feed/{user}, cpu</text>"),
        "{svg}"
    );
    let (_, bytes) = served.appweight(&[&of[..], &["--timer", "allocated"]].concat());
    assert!(bytes.contains("allocated: 1.0 KiB per request"), "{bytes}");
}

#[test]
fn callers_and_callees_of_a_function() {
    fn of<'a>(words: &[&'a str]) -> Vec<&'a str> {
        [&["--deploy", "8f2c1a9"], words].concat()
    }
    let served = Served::start();
    let stacks = [
        ("feed;store::query", 2_000_000),
        ("inbox;store::query", 1_000_000),
        ("inbox;store::query;parse", 3_000_000),
        ("store::query", 500_000),
        ("other::query::plan", 500_000),
    ];
    served.profiled(1, "8f2c1a9", &stacks, 6);
    let (code, callers) = served.appweight(&of(&["--callers", "query"]));
    assert_eq!(code, ExitCode::SUCCESS);
    insta::assert_snapshot!(callers);
    let (_, callees) = served.appweight(&of(&["--callees", "store::query"]));
    insta::assert_snapshot!(callees);
    let (_, json) = served.appweight(&of(&["--callers", "parse", "--format", "json"]));
    insta::assert_snapshot!(json);
    for (words, said) in [
        (
            &["--callers", "nobody"][..],
            "no function of this profile is called nobody",
        ),
        (
            &["--callers", "quer"],
            "but other::query::plan, store::query",
        ),
        (
            &["--callees", "parse", "--format", "svg"],
            "as a table or as json",
        ),
    ] {
        let complaint = served.complaint(&of(words));
        assert!(complaint.contains(said), "{words:?}: {complaint}");
    }
}

#[test]
fn a_profile_without_functions_says_what_to_do() {
    let served = Served::start();
    served.profiled(1, "8f2c1a9", &[], 1);
    let (code, table) = served.appweight(&["--deploy", "8f2c1a9"]);
    assert_eq!(code, ExitCode::SUCCESS);
    assert!(table.contains("APPWEIGHT_SAMPLE_STACKS"), "{table}");
}

#[test]
fn builds_are_told_and_whether_both_are_the_same() {
    let served = Served::start();
    served.built(1, "5f9cd00", "5f0c31a2b7d94e8866aa");
    served.built(2, "8f2c1a9", "5f0c31a2b7d94e8866aa");
    served.built(3, "77e0d13", "a1");
    let (_, table) = served.appweight(&["--deploy", "8f2c1a9"]);
    assert!(table.contains(", build 5f0c31a2b7d9\n"), "{table}");
    let compared = |old: &str, new: &str| {
        let words = ["diff", old, new, "--endpoint", "/feed/{user}"];
        served.appweight(&words).1
    };
    let same = "both ran the same build";
    let table = compared("5f9cd00", "8f2c1a9");
    assert!(table.contains(same), "{table}");
    let table = compared("8f2c1a9", "77e0d13");
    assert!(!table.contains(same), "{table}");
}

#[test]
fn two_deploys_function_by_function() {
    let served = Served::start();
    served.profiled(1, "5f9cd00", &OLD, 20);
    served.profiled(2, "8f2c1a9", &NEW, 20);
    let words = ["diff", "5f9cd00", "8f2c1a9", "--endpoint", "/feed/{user}"];
    let (code, table) = served.appweight(&words);
    assert_eq!(code, ExitCode::SUCCESS);
    insta::assert_snapshot!(table);
    let limit = [&words[..], &["--max-increase", "5%"]].concat();
    let (code, table) = served.appweight(&limit);
    assert_eq!(code, ExitCode::from(1), "{table}");
    let (_, svg) = served.appweight(&[&words[..], &["--format", "svg"]].concat());
    assert!(svg.contains("8f2c1a9 against 5f9cd00"), "{svg}");
}

#[test]
fn few_spans_give_no_interval_and_no_judgement() {
    let served = Served::start();
    served.profiled(1, "a", &OLD, 2);
    served.profiled(2, "b", &NEW, 2);
    let words = [
        "diff",
        "a",
        "b",
        "--endpoint",
        "/feed/{user}",
        "--max-increase",
        "5%",
    ];
    let (code, table) = served.appweight(&words);
    assert_eq!(code, ExitCode::from(2));
    assert!(table.contains("five spans of time or more"), "{table}");
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    let served = Served::start();
    served.profiled(1, "8f2c1a9", &OLD, 1);
    for (words, there) in [
        (&["--deploy", "nope"][..], "the newest are 8f2c1a9"),
        (&["--deploy", "8f2c1a9", "--endpoint", "/x"], "/feed/{user}"),
        (
            &["--deploy", "8f2c1a9", "--timer", "wall"],
            "allocated, cpu",
        ),
        (
            &["--deploy", "8f2c1a9", "--taken", "sampled"],
            "taken=scopes",
        ),
        (&["diff", "nope", "8f2c1a9", "--endpoint", "/x"], "8f2c1a9"),
        (&["diff", "5f9cd00", "8f2c1a9"], "say with --endpoint"),
    ] {
        let said = served.complaint(words);
        assert!(said.contains(there), "{words:?}: {said}");
    }
}
