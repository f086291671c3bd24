use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use prost::Message;

use super::message as proto;
use super::read::MAX_BYTES;
use super::write::message_of;
use super::*;
use crate::profile::testing::{arbitrary, canonical, parse, parse_into, path};
use crate::profile::{Builds, Profile, Timer, TimerCost};

/// Of each chain of calls its calls and cost.
fn stacks(profile: &Profile) -> Vec<(String, u64, i64)> {
    let mut stacks: Vec<_> = profile
        .nodes()
        .map(|node| (path(profile, node), profile.calls(node), profile.own(node)))
        .filter(|(_, calls, own)| (*calls, *own) != (0, 0))
        .collect();
    stacks.sort();
    stacks
}

#[test]
fn inlined_functions_are_frames_of_their_own_and_the_value_is_chosen_by_name() {
    let strings = [
        "",
        "samples",
        "count",
        "cpu",
        "nanoseconds",
        "outer",
        "inlined",
        "a.rs",
    ];
    let file = proto::Profile {
        sample_type: vec![
            proto::ValueType { r#type: 1, unit: 2 },
            proto::ValueType { r#type: 3, unit: 4 },
        ],
        sample: vec![proto::Sample {
            location_id: vec![2, 1],
            value: vec![3, 30_000_000],
        }],
        location: vec![
            proto::Location {
                id: 1,
                mapping_id: 0,
                address: 0x10,
                line: vec![
                    proto::Line {
                        function_id: 2,
                        line: 5,
                    },
                    proto::Line {
                        function_id: 1,
                        line: 9,
                    },
                ],
            },
            proto::Location {
                id: 2,
                mapping_id: 0,
                address: 0xbeef,
                line: vec![],
            },
        ],
        function: vec![
            proto::Function {
                id: 1,
                name: 5,
                system_name: 5,
                filename: 7,
                start_line: 8,
            },
            proto::Function {
                id: 2,
                name: 6,
                system_name: 6,
                filename: 7,
                start_line: -1,
            },
        ],
        string_table: strings.map(str::to_owned).to_vec(),
        duration_nanos: 10,
        ..proto::Profile::default()
    };
    let bytes = file.encode_to_vec();
    let imported = read(&bytes, None, 0).unwrap();
    assert_eq!(imported.duration_ns, 10);
    assert_eq!(imported.profile.timer(), &Timer::new("cpu", "ns"));
    assert_eq!(
        stacks(&imported.profile),
        [("outer;inlined;0xbeef".to_owned(), 3, 30_000_000)]
    );
    assert_eq!(imported.profile.samples(), 3);
    let outer = imported.profile.functions().next().unwrap().1;
    assert_eq!((outer.file.as_str(), outer.line), ("a.rs", 8));
    let samples = read(&bytes, Some("samples"), 0).unwrap().profile;
    assert_eq!(samples.total(), 3);
    let error = read(&bytes, Some("heap"), 0).unwrap_err().to_string();
    assert_eq!(
        error,
        r#"the profile has no values called "heap"; it has samples, cpu"#
    );
}

#[test]
fn what_is_no_profile_is_refused_with_the_reason() {
    let why = |bytes: &[u8]| read(bytes, None, 0).unwrap_err().to_string();
    assert_eq!(why(b""), "the profile has no values");
    assert!(why(b"\xff\xff\xff").starts_with("not a pprof profile"));
    assert!(why(b"\x1f\x8bxx").starts_with("the gzip stream is broken"));
    let mut good = write(&parse(&["a;b 5"]));
    good.truncate(good.len() / 2);
    assert!(why(&good).starts_with("the gzip stream is broken"));
    let astray = |change: fn(&mut proto::Profile)| {
        let mut file = message_of(&parse(&["a;b 5"]));
        change(&mut file);
        why(&file.encode_to_vec())
    };
    assert!(astray(|file| file.sample[0].location_id[0] = 99).contains("location 99"));
    assert!(astray(|file| file.location[0].line[0].function_id = 77).contains("function 77"));
    assert!(astray(|file| file.function[0].name = 55).contains("string 55"));
    assert!(astray(|file| file.function[0].name = -5).contains("string 5"));
}

#[test]
fn the_build_is_that_of_the_program_if_there_is_only_one() {
    let built = |ids: &[&str]| parse(&["a;b 5"]).of_builds(ids.iter().copied().collect());
    let read_again = |profile: &Profile| read(&write(profile), None, 0).unwrap().profile;
    let one = read_again(&built(&["5f0c"]));
    assert_eq!(one.builds(), &Builds::from_iter(["5f0c"]));
    for several in [&[][..], &["5f0c", "a1"]] {
        assert_eq!(read_again(&built(several)).builds().count(), 0);
        assert!(message_of(&built(several)).mapping.is_empty());
    }
    // Libraries come after the program.
    let mut file = message_of(&built(&["5f0c"]));
    file.mapping.push(proto::Mapping {
        id: 2,
        build_id: 1,
        ..proto::Mapping::default()
    });
    let read = read(&file.encode_to_vec(), None, 0).unwrap().profile;
    assert_eq!(read.builds().only(), Some("5f0c"));
    file.mapping[0].build_id = 99;
    let error = super::read(&file.encode_to_vec(), None, 0).unwrap_err();
    assert!(error.to_string().contains("string 99"), "{error}");
}

#[test]
fn a_bomb_is_refused_before_it_fills_the_memory() {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    let zeros = vec![0_u8; 1 << 20];
    for _ in 0..(MAX_BYTES >> 20) + 1 {
        packed.write_all(&zeros).unwrap();
    }
    let bomb = packed.finish().unwrap();
    assert!(matches!(read(&bomb, None, 0), Err(PprofError::TooLarge)));
}

#[test]
fn memory_that_is_given_back_is_taken_off_the_caller() {
    let told = |lines: &[&str]| {
        let file = write(&parse(lines));
        canonical(&read(&file, None, 0).unwrap().profile)
    };
    let read_again = told(&["feed;load 300", "feed;free -200", "feed 50", "drop -5"]);
    // `feed` itself cannot pay for all that `free` gives back, so the request does.
    assert_eq!(read_again, ["feed;load 300"]);
    let read_again = told(&["feed;load 300", "feed;free -20", "feed 50"]);
    assert_eq!(read_again, ["feed 30", "feed;load 300"]);
}

#[test]
fn what_the_timer_cost_is_in_the_comment() {
    let comments = |profile: &Profile| -> Vec<String> {
        let file = message_of(profile);
        let numbers = file.comment.iter();
        let texts = numbers.map(|at| file.string_table[usize::try_from(*at).unwrap()].clone());
        texts.collect()
    };
    let profile = parse(&["feed 300"]);
    assert_eq!(comments(&profile).len(), 1);
    let cost = TimerCost {
        taken_off_milli: 35_200,
        left_milli: 4_000,
    };
    let told = &comments(&profile.with_timer_cost(cost))[1];
    assert!(
        told.contains("35.2 ns a call is taken off; ±4.00 ns"),
        "{told}"
    );
}

/// The same chains with the sizes of their costs.
fn without_negative(profile: &Profile) -> Profile {
    let lines: Vec<String> = canonical(profile)
        .into_iter()
        .map(|line| line.replace('-', ""))
        .collect();
    parse_into(0, &lines)
}

proptest! {
    #[test]
    fn what_is_written_is_read(profile in arbitrary()) {
        let profile = without_negative(&profile);
        let imported = read(&write(&profile), None, 0).unwrap().profile;
        prop_assert_eq!(stacks(&imported), stacks(&profile));
        prop_assert_eq!(canonical(&imported), canonical(&profile));
    }

    #[test]
    fn nothing_costs_less_than_nothing_and_callers_keep_their_totals(profile in arbitrary()) {
        let file = message_of(&profile);
        prop_assert!(file.sample.iter().all(|sample| sample.value[1] >= 0));
        let told: i64 = file.sample.iter().map(|sample| sample.value[1]).sum();
        let comment = &file.string_table[usize::try_from(file.comment[0]).unwrap()];
        let left_out = comment.split("; ").find_map(|part| part.strip_suffix(" ns left out"));
        let left_out: i64 = left_out.map_or(0, |text| text.parse().unwrap());
        prop_assert!(left_out <= 0);
        prop_assert_eq!(told + left_out, profile.total());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes, None, 0);
    }

    #[test]
    fn a_profile_with_a_wrong_byte_is_read_or_refused(
        profile in arbitrary(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = message_of(&profile).encode_to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = read(&bytes, None, 0);
    }
}
