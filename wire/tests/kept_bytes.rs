//! Bodies as agents of earlier versions wrote them stay readable, and no body, however broken,
//! brings a reader down. The kept bytes are never written anew.

use appweight_wire::{
    ActiveUsers, Batch, Format, VERSION, decode_batch, decode_deploy, encode, encode_packed,
};
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

/// A batch of version 1 with a cell, a request and a process record.
const MSGPACK: &[u8] = include_bytes!("../fixtures/batch-1.msgpack");
const JSON: &[u8] = include_bytes!("../fixtures/batch-1.json");
/// A batch of version 2 with a cell, two request records, packed, and a process record.
const MSGPACK_2: &[u8] = include_bytes!("../fixtures/batch-2.msgpack");

/// Bodies to break in so many ways each.
const MUTATIONS: usize = 10_000;

fn batch() -> Batch {
    decode_batch(JSON, Format::Json).expect("the kept bytes are readable")
}

#[test]
fn the_bytes_of_version_1_are_read_in_both_forms() {
    let batch = batch();
    assert_eq!(batch.version, 1);
    assert_eq!(decode_batch(MSGPACK, Format::MessagePack).unwrap(), batch);
    assert_eq!(
        (
            batch.cells.len(),
            batch.requests.len(),
            batch.processes.len()
        ),
        (1, 1, 1)
    );
    let request = &batch.requests[0];
    assert_eq!(
        (request.cpu_ns, request.instructions),
        (Some(800_000), Some(2_500_000))
    );
    assert_eq!(request.downstream["database"].wall_ns, 1_100_000);
}

#[test]
fn the_bytes_of_version_2_are_read_with_their_packed_requests() {
    let known = batch();
    let batch = decode_batch(MSGPACK_2, Format::MessagePack).unwrap();
    assert_eq!(batch.version, 2);
    assert_eq!(
        (&batch.cells, &batch.processes),
        (&known.cells, &known.processes)
    );
    let [first, second] = batch.requests.as_slice() else {
        panic!("{:?}", batch.requests)
    };
    assert_eq!(*first, known.requests[0]);
    assert!(second.unfinished && second.method.is_none());
    assert_eq!(second.endpoint, "/feed/{user}");
    assert_eq!(encode_packed(&batch), MSGPACK_2);
}

#[test]
fn packed_requests_are_bytes_and_say_where_they_are_broken() {
    let mut value = serde_json::to_value(batch()).unwrap();
    value["packed_requests"] = "00".into();
    let body = serde_json::to_vec(&value).unwrap();
    let error = decode_batch(&body, Format::Json).unwrap_err();
    assert_eq!(error.field(), "packed_requests");
    let cut = MSGPACK_2.len() / 2;
    assert!(decode_batch(&MSGPACK_2[..cut], Format::MessagePack).is_err());
}

#[test]
fn the_version_after_this_is_read_with_its_new_fields_and_no_other() {
    let known = batch();
    for form in [Format::MessagePack, Format::Json] {
        for (version, taken) in [
            (0, false),
            (VERSION + 1, true),
            (VERSION + 2, false),
            (u16::MAX, false),
        ] {
            let mut value = serde_json::to_value(&known).unwrap();
            value["version"] = version.into();
            value["added"] = serde_json::json!({ "later": [1, null, "x"] });
            value["requests"][0]["added"] = serde_json::json!([[], {}]);
            value["cells"][0]["added"] = true.into();
            // A UUID is a string in JSON and bytes in MessagePack.
            let body = match form {
                Format::Json => serde_json::to_vec(&value).unwrap(),
                Format::MessagePack => {
                    value["source"] = serde_json::json!(known.source.as_bytes());
                    value["processes"] = serde_json::json!([]);
                    rmp_serde::to_vec_named(&value).unwrap()
                }
            };
            match decode_batch(&body, form) {
                Ok(batch) => {
                    assert!(taken, "version {version}");
                    assert_eq!(
                        (&batch.cells, &batch.requests),
                        (&known.cells, &known.requests)
                    );
                }
                Err(error) => {
                    assert!(!taken, "version {version}: {error}");
                    assert_eq!(error.field(), "version");
                }
            }
        }
    }
}

/// One to four bytes changed, put in, taken out, or the rest cut off.
fn mutate(body: &[u8], rng: &mut impl Rng) -> Vec<u8> {
    let mut body = body.to_vec();
    for _ in 0..=rng.next_u32() % 4 {
        let at = rng.next_u32() as usize % body.len().max(1);
        let byte = rng.next_u32() as u8;
        match rng.next_u32() % 8 {
            0 => body.truncate(at),
            1 | 2 => body.insert(at.min(body.len()), byte),
            3 if at < body.len() => drop(body.remove(at)),
            _ => body
                .iter_mut()
                .skip(at)
                .take(1)
                .for_each(|here| *here = byte),
        }
    }
    body
}

#[test]
fn broken_bodies_are_refused_with_a_field_or_read_into_what_can_be_written_again() {
    let mut rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let (mut taken, mut refused) = (0, 0);
    for (body, form) in [
        (MSGPACK, Format::MessagePack),
        (MSGPACK_2, Format::MessagePack),
        (JSON, Format::Json),
    ] {
        for _ in 0..MUTATIONS {
            let body = mutate(body, &mut rng);
            let _ = decode_deploy(&body, form);
            match decode_batch(&body, form) {
                Ok(batch) => {
                    taken += 1;
                    let again = encode(&batch, form);
                    assert_eq!(decode_batch(&again, form).unwrap(), batch);
                }
                Err(error) => {
                    refused += 1;
                    assert!(!error.field().is_empty(), "{error}");
                }
            }
        }
    }
    assert!(
        taken > 100 && refused > 1_000,
        "{taken} taken, {refused} refused"
    );
}

#[test]
fn broken_sketches_of_users_bring_nothing_down() {
    let mut rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let users = batch().processes[0].active_users.clone().unwrap();
    let text = serde_json::to_vec(&users).unwrap();
    let mut taken = 0;
    for _ in 0..MUTATIONS {
        if let Ok(users) = serde_json::from_slice::<ActiveUsers>(&mutate(&text, &mut rng)) {
            assert!(users.estimate().is_finite());
            taken += 1;
        }
    }
    assert!(taken > 0, "every sketch was refused");
}
