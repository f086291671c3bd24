//! Packed request records alone, within a batch that is sound.
#![no_main]

use appweight_wire::{Format, decode_batch, decode_batch_and_packed, encode_packed};
use libfuzzer_sys::fuzz_target;

/// A map of `version`, `source`, `sequence`, `origin` and `packed_requests`, up to the latter's bytes.
const HEAD: &[u8] = b"\x85\xa7version\x02\xa6source\xc4\x10\x01\x23\x45\x67\x89\xab\x4d\xef\x81\x23\x45\x67\x89\xab\xcd\xef\
    \xa8sequence\x00\xa6origin\x83\xa7service\xa1s\xa6deploy\xa1d\xa4host\xa1h\xafpacked_requests\xc6";

fuzz_target!(|packed: &[u8]| {
    let mut body = HEAD.to_vec();
    body.extend(u32::try_from(packed.len()).unwrap_or(0).to_be_bytes());
    body.extend(packed);
    let decoded = decode_batch(&body, Format::MessagePack);
    // Who does not unpack takes and refuses the same.
    let kept = decode_batch_and_packed(&body, Format::MessagePack);
    let kept = kept.map(|(mut batch, packed)| {
        if let Some(packed) = packed {
            batch.requests = packed.unpack().expect("it was checked");
        }
        batch
    });
    assert_eq!(kept, decoded);
    if let Ok(batch) = decoded {
        // One that was packed by others need not be packed alike, but it says the same.
        let again = encode_packed(&batch);
        let again = decode_batch(&again, Format::MessagePack).expect("it was just written");
        assert_eq!(again.requests.len(), batch.requests.len());
    }
});
