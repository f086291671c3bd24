use proptest::prelude::*;

use super::*;
use crate::profile::testing::{arbitrary, canonical, parse, path};

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
fn a_bomb_is_refused_before_it_fills_the_memory() {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    let zeros = vec![0_u8; 1 << 20];
    for _ in 0..(MAX_BYTES >> 20) + 1 {
        packed.write_all(&zeros).unwrap();
    }
    let bomb = packed.finish().unwrap();
    assert!(matches!(read(&bomb, None, 0), Err(PprofError::TooLarge)));
}

proptest! {
    #[test]
    fn what_is_written_is_read(profile in arbitrary()) {
        let imported = read(&write(&profile), None, 0).unwrap().profile;
        prop_assert_eq!(stacks(&imported), stacks(&profile));
        prop_assert_eq!(canonical(&imported), canonical(&profile));
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
