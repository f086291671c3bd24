use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::*;

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["/feed|/photo/[{]id[}]|GET|on|off", ".{0,12}"]
}

/// As `SOME` cannot tell it from the number before.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..300_u64, 0..u64::MAX]
}

prop_compose! {
    fn facts()(
        downstream in btree_map(text(), (number(), number()), 0..4),
        flags in vec((text(), text()), 0..4),
        method in option::of(text()),
        endpoint in text(),
    ) -> RequestRecord {
        RequestRecord {
            endpoint,
            method,
            downstream: downstream
                .into_iter()
                .map(|(name, (calls, wall_ns))| (name, Downstream { calls, wall_ns }))
                .collect(),
            flags: flags.into_iter().map(|(name, value)| Flag { name, value }).collect(),
            ..RequestRecord::default()
        }
    }
}

prop_compose! {
    pub(super) fn record()(
        facts in facts(),
        numbers in [number(), number(), number(), number(), number(), number()],
        some in [option::of(number()), option::of(number()), option::of(number()), option::of(number())],
        more in [option::of(number()), option::of(number())],
        status in option::of(any::<u16>()),
        bits in any::<u8>(),
    ) -> RequestRecord {
        RequestRecord {
            kind: if bits & 1 == 0 { Kind::Request } else { Kind::Task },
            age: if bits & 2 == 0 { Age::Warm } else { Age::WarmingUp },
            error: bits & 4 != 0,
            scaled: bits & 8 != 0,
            unfinished: bits & 16 != 0,
            instruction_source: source(u64::from(bits >> 6)).unwrap(),
            start_us: numbers[0],
            weight: numbers[1],
            wall_ns: numbers[2],
            polls: numbers[3],
            thread_hops: numbers[4],
            status,
            instructions: some[0],
            cpu_ns: some[1],
            rss_start_bytes: some[2],
            rss_end_bytes: some[3],
            allocated_bytes: more[0],
            allocations: more[1],
            ..facts
        }
    }
}

proptest! {
    #[test]
    fn what_is_packed_comes_back(records in vec(record(), 0..20)) {
        prop_assert_eq!(unpack(&pack(&records)), Ok(records));
    }

    #[test]
    fn broken_bytes_are_refused_or_read_but_bring_nothing_down(
        records in vec(record(), 0..6),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let mut packed = pack(&records);
        let at = at.index(packed.len());
        if cut {
            packed.truncate(at);
            prop_assert!(unpack(&packed).is_err());
        } else {
            packed[at] = byte;
            let _ = unpack(&packed);
        }
    }
}

#[test]
fn what_is_the_same_in_all_records_is_said_once() {
    let one = RequestRecord {
        endpoint: "/feed/{user}".into(),
        start_us: 1_790_000_000_000_000,
        weight: 100,
        status: Some(200),
        cpu_ns: Some(1_000_000),
        wall_ns: 2_000_000,
        ..RequestRecord::default()
    };
    let alone = pack(std::slice::from_ref(&one)).len();
    let many = pack(&vec![one; 100]).len();
    // The first begins at a time, the others at no distance from it: a byte each.
    assert_eq!(many, alone + 99);
}

#[test]
fn few_bytes_never_become_more_than_a_batch_may_hold() {
    let count = |count: u64| {
        let mut packed = Vec::new();
        put(&mut packed, count);
        put(&mut packed, 0);
        unpack(&packed)
    };
    assert_eq!(count(limits::RECORDS as u64 + 1), Err(Broken::TooMany));
    assert_eq!(count(u64::MAX), Err(Broken::TooMany));
    assert_eq!(count(limits::RECORDS as u64), Err(Broken::BreaksOff));
    // As many facts as there may be for each of many records, all of them said once.
    let many = |name: &str| RequestRecord {
        endpoint: "/".into(),
        flags: (0..limits::FACTS)
            .map(|_| Flag {
                name: name.into(),
                value: "on".into(),
            })
            .collect(),
        ..RequestRecord::default()
    };
    let packed = pack(&vec![many("flag"); 2_000]);
    assert!(packed.len() < 200);
    assert_eq!(unpack(&packed), Err(Broken::TooMany));
    let packed = pack(&vec![many(&"long".repeat(500)); 200]);
    assert_eq!(unpack(&packed), Err(Broken::TooMany));
}

#[test]
fn columns_of_later_versions_are_passed_over() {
    let known = [RequestRecord::default(), RequestRecord::default()];
    let mut packed = pack(&known);
    packed.extend([2, 7, 7]);
    assert_eq!(unpack(&packed), Ok(known.to_vec()));
}
