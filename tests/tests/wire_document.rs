//! `docs/wire.md` is what agents in other languages are written from: it must name every field of
//! the Rust types, and its examples must be what it says they are.

use std::collections::{BTreeMap, BTreeSet};

use appweight_wire::{
    ActiveUsers, Age, Batch, Cell, CellKey, Content, CounterStatus, Deploy, Distribution,
    Downstream, EndpointCount, Flag, Format, Function, InstructionSource, Kind, Origin,
    ProcessRecord, ProfileRecord, RequestRecord, Taken, TimerValues, VERSION, batch_id,
    decode_batch, decode_deploy, encode, encode_packed, host_group, limits,
};
use serde_json::Value;
use uuid::Uuid;

fn document() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/wire.md");
    std::fs::read_to_string(path).expect("the document is there")
}

/// The document's code blocks of that language: what stands behind it in the first line, and the text.
fn blocks(language: &str) -> Vec<(String, String)> {
    let text = document();
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(head) = line.strip_prefix("```") else {
            continue;
        };
        let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        if let Some(about) = head.strip_prefix(language) {
            blocks.push((about.trim().to_owned(), body.join("\n")));
        }
    }
    blocks
}

fn distribution(values: &[u64]) -> Distribution {
    let mut distribution = Distribution::default();
    for &value in values {
        distribution.observe(value);
    }
    distribution
}

/// A batch in which every field has a value.
fn full() -> Batch {
    let flag = Flag {
        name: "new-feed".into(),
        value: "on".into(),
    };
    let mut cell = Cell::new(CellKey {
        start_us: 1_789_999_980_000_000,
        width_us: 60_000_000,
        kind: Kind::Request,
        endpoint: "/feed/{user}".into(),
        instruction_source: InstructionSource::HardwareUser,
        age: Age::Warm,
        flag: Some(flag.clone()),
    });
    cell.n = 2;
    cell.unfinished = 1;
    cell.weight = 2;
    cell.errors = 1;
    cell.instructions = Some(distribution(&[2_500_000, 3_700_000]));
    cell.cpu_ns = Some(distribution(&[800_000, 1_200_000]));
    cell.wall_ns = Some(distribution(&[2_400_000, 3_100_000]));
    cell.allocated_bytes = Some(distribution(&[4_096, 6_144]));
    let mut users = ActiveUsers::new();
    // SipHash-2-4 of `user-1` and `user-2`, as the document says.
    users.insert_hash(0x51fa_41e5_7f9c_8fbc);
    users.insert_hash(0x96cf_0fab_3148_dc2b);
    Batch {
        version: VERSION,
        source: Uuid::from_u128(0x0123_4567_89ab_4def_8123_4567_89ab_cdef),
        sequence: 1,
        origin: Origin {
            service: "photos".into(),
            deploy: "8f2c1a9".into(),
            host: "web-1".into(),
            cluster: "blue".into(),
            region: "eu-north".into(),
        },
        content: Content::Cells,
        cell_width_us: None,
        cells: vec![cell],
        requests: vec![RequestRecord {
            kind: Kind::Request,
            start_us: 1_790_000_000_000_000,
            endpoint: "/feed/{user}".into(),
            method: Some("GET".into()),
            status: Some(200),
            error: false,
            unfinished: true,
            weight: 100,
            age: Age::Warm,
            instructions: Some(2_500_000),
            instruction_source: InstructionSource::HardwareUser,
            scaled: false,
            cpu_ns: Some(800_000),
            wall_ns: 2_400_000,
            rss_start_bytes: Some(52_428_800),
            rss_end_bytes: Some(52_432_896),
            allocated_bytes: Some(4_096),
            allocations: Some(12),
            downstream: BTreeMap::from([(
                "database".into(),
                Downstream {
                    calls: 3,
                    wall_ns: 1_100_000,
                },
            )]),
            flags: vec![flag],
            polls: 4,
            thread_hops: 1,
        }],
        processes: vec![ProcessRecord {
            start_us: 1_790_000_000_000_000,
            width_us: 10_000_000,
            process_age_us: 3_600_000_000,
            cpu_ns: 2_500_000_000,
            instructions: Some(9_000_000_000),
            cpu_outside_ns: Some(300_000_000),
            rss_bytes: Some(52_432_896),
            anonymous_bytes: Some(41_943_040),
            page_faults: Some(310),
            context_switches: Some(5_200),
            requests_total: 120_000,
            endpoints: vec![EndpointCount {
                endpoint: "/feed/{user}".into(),
                requests: 2,
                errors: 1,
            }],
            active_users: Some(users),
            cpu_model: "Example CPU @ 3 GHz".into(),
            kernel: "6.18.0".into(),
            counters: vec![
                CounterStatus {
                    name: "instructions".into(),
                    read_by: Some("perf_event read".into()),
                    absent_because: None,
                },
                CounterStatus {
                    name: "allocations".into(),
                    read_by: None,
                    absent_because: Some("the allocator is not wrapped".into()),
                },
            ],
            clock_checks_total: 41_000,
            clock_disagreements_total: 3,
            agent_cpu_ns: 900_000,
            agent_bytes_sent: 18_200,
            dropped_total: 0,
        }],
        profiles: vec![ProfileRecord {
            start_us: 1_789_999_980_000_000,
            width_us: 60_000_000,
            kind: Kind::Request,
            endpoint: "/feed/{user}".into(),
            age: Age::Warm,
            taken: Taken::Sampled,
            instruction_source: InstructionSource::HardwareUser,
            requests: 2,
            samples: 5,
            lost_samples: 1,
            builds: vec!["5f0c31a2b7d94e8866aa10c3f2e4d5b697887766".into()],
            functions: vec![
                Function {
                    name: "photos::feed".into(),
                    file: "src/feed.rs".into(),
                    line: 12,
                },
                Function {
                    name: "photos::query".into(),
                    file: "src/store.rs".into(),
                    line: 40,
                },
            ],
            parents: vec![0, 0, 1],
            node_functions: vec![0, 0, 1],
            calls: vec![0, 2, 3],
            folded: 4,
            timers: vec![TimerValues {
                name: "instructions".into(),
                unit: "instructions".into(),
                own: vec![0, 400_000, 600_000],
                taken_off_milli: 1_500,
                left_milli: 250,
            }],
        }],
    }
}

fn full_deploy() -> Deploy {
    Deploy {
        service: "photos".into(),
        id: "8f2c1a9".into(),
        started_us: 1_790_000_000_000_000,
        ended_us: Some(1_790_000_060_000_000),
        replaced: Some("77e0d13".into()),
        author: Some("Kim".into()),
        title: Some("Load a feed's authors at once".into()),
        link: Some("https://git.example/photos/commit/8f2c1a9".into()),
    }
}

fn field_names(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                names.insert(name.clone());
                field_names(value, names);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| field_names(value, names)),
        _ => {}
    }
}

#[test]
fn every_field_and_every_word_is_in_the_document() {
    let mut names = BTreeSet::new();
    let with_width = Batch {
        cell_width_us: Some(1),
        ..full()
    };
    field_names(&serde_json::to_value(with_width).unwrap(), &mut names);
    field_names(&serde_json::to_value(full_deploy()).unwrap(), &mut names);
    assert!(names.len() > 60, "{names:?}");
    let mut words: Vec<String> = names.into_iter().collect();
    for value in [
        serde_json::to_value([Kind::Request, Kind::Task]),
        serde_json::to_value([
            InstructionSource::None,
            InstructionSource::HardwareUser,
            InstructionSource::HardwareAll,
            InstructionSource::Simulated,
        ]),
        serde_json::to_value([Taken::Scopes, Taken::Sampled]),
        serde_json::to_value([Age::WarmingUp, Age::Warm]),
        serde_json::to_value([Content::Cells, Content::Requests]),
    ] {
        let list = value.unwrap();
        words.extend(list.as_array().unwrap().iter().map(ToString::to_string));
    }
    let text = document();
    let missing: Vec<&String> = words
        .iter()
        .filter(|word| !text.contains(&format!("`{word}`")))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/wire.md does not mention {missing:?}"
    );
}

#[test]
fn every_example_batch_is_taken_and_has_the_id_that_is_given() {
    let examples: Vec<_> = blocks("json batch ");
    assert_eq!(examples.len(), 2);
    for (id, text) in examples {
        let batch = decode_batch(text.as_bytes(), Format::Json).expect(&text);
        assert_eq!(batch.id().to_string(), id);
        let packed = encode(&batch, Format::MessagePack);
        assert_eq!(decode_batch(&packed, Format::MessagePack).unwrap(), batch);
    }
}

#[test]
fn the_full_example_has_every_field() {
    let (_, text) = blocks("json batch ").pop().unwrap();
    let example = decode_batch(text.as_bytes(), Format::Json).unwrap();
    assert_eq!(example, full());
    // Not only the same value: each field is written down.
    let (mut written, mut known) = (BTreeSet::new(), BTreeSet::new());
    field_names(&serde_json::from_str(&text).unwrap(), &mut written);
    field_names(&serde_json::to_value(full()).unwrap(), &mut known);
    assert_eq!(written, known);
    let users = example.processes[0].active_users.as_ref().unwrap();
    assert_eq!(users.estimate().round() as u64, 2);
}

#[test]
fn the_worked_numbers_are_right() {
    let text = document();
    let (_, example) = blocks("json distribution").remove(0);
    let example: Distribution = serde_json::from_str(&example).unwrap();
    assert_eq!(example, distribution(&[800_000, 1_200_000]));

    let buckets = text
        .split_once("So 7 is in")
        .and_then(|(_, rest)| rest.split_once("the last."))
        .map(|(sentence, _)| sentence.split_whitespace().collect::<Vec<_>>().join(" "))
        .unwrap();
    assert_eq!(
        buckets,
        "bucket 7, 8 in 8, 15 in 15, 16 in 16, 1 000 in 63, 800 000 in 140, and 2⁶⁴ − 1 in 495,"
    );
    let of = Distribution::bucket_of;
    assert_eq!(
        [7, 8, 15, 16, 1_000, 800_000, u64::MAX].map(of),
        [7, 8, 15, 16, 63, 140, 495]
    );
    // The rule as it is written, over all powers of two and their neighbours.
    for value in (3..64).flat_map(|e| [1_u64 << e, (1 << e) + 1, u64::MAX >> (63 - e)]) {
        let e = u64::from(value.ilog2());
        assert_eq!(u64::from(of(value)), 8 * (e - 2) + (value >> (e - 3)) - 8);
    }

    let source = Uuid::from_u128(0x0123_4567_89ab_4def_8123_4567_89ab_cdef);
    for said in [source, batch_id(source, 0)] {
        assert!(text.contains(&said.to_string()), "{said}");
    }
    assert_eq!((host_group("web-1"), host_group("")), (15, 5));
    assert!(text.contains("`web-1` is 15, that of the empty string 5"));
}

#[test]
fn the_limits_are_those_of_the_code() {
    let text = document();
    assert_eq!((limits::NAME_BYTES, limits::TEXT_BYTES), (200, 2_000));
    assert!(text.contains("1 to 200 bytes") && text.contains("at most 2 000 bytes"));
    assert_eq!((limits::RECORDS, limits::FACTS), (100_000, 64));
    assert!(text.contains("At most 100 000 records") && text.contains("at most 64"));
    for number in [limits::CELL_WIDTH_US, limits::TIME_US, limits::TIME_US_MIN] {
        assert!(text.contains(&number.to_string()), "{number}");
    }
    // What the collector takes by default, compressed and not; its own tests hold it to that.
    assert!(
        text.contains("at most 8 MiB in its\nbody") && text.contains("`Content-Encoding: zstd`")
    );
    assert_eq!(VERSION, 2);
    assert!(text.starts_with("# The wire format, version 2\n"));
}

#[test]
fn the_packed_example_is_what_the_agent_writes_and_is_read_into_the_plain_one() {
    let (_, said) = blocks("text packed").remove(0);
    let batch = Batch {
        cells: Vec::new(),
        processes: Vec::new(),
        profiles: Vec::new(),
        ..full()
    };
    let body = encode_packed(&batch);
    assert_eq!(decode_batch(&body, Format::MessagePack).unwrap(), batch);
    let hex: String = body.iter().map(|byte| format!("{byte:02x}")).collect();
    let said: String = said.split_whitespace().collect();
    assert!(hex.ends_with(&said), "{hex}");
}

#[test]
fn the_example_deploy_is_taken_and_full() {
    let (_, text) = blocks("json deploy").remove(0);
    assert_eq!(
        decode_deploy(text.as_bytes(), Format::Json).unwrap(),
        full_deploy()
    );
}

#[test]
fn what_is_left_out_has_the_default_that_is_given() {
    let (_, text) = blocks("json batch ").remove(0);
    let batch = decode_batch(text.as_bytes(), Format::Json).unwrap();
    assert_eq!(batch.content, Content::Requests);
    let request = &batch.requests[0];
    assert_eq!(
        (request.kind, request.age, request.instruction_source),
        (Kind::Request, Age::Warm, InstructionSource::None)
    );
    let with_unknown = text.replacen('{', r#"{"added_in_version_3": [1],"#, 1);
    assert_eq!(
        decode_batch(with_unknown.as_bytes(), Format::Json).unwrap(),
        batch
    );
}
