//! A batch as MessagePack: what is taken can be written again in both ways and comes back the same.
#![no_main]

use appweight_wire::{Format, decode_batch, decode_deploy, encode, encode_packed};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let _ = decode_deploy(body, Format::MessagePack);
    if let Ok(batch) = decode_batch(body, Format::MessagePack) {
        let again = encode(&batch, Format::MessagePack);
        assert_eq!(decode_batch(&again, Format::MessagePack).as_ref(), Ok(&batch));
        let _ = decode_batch(&encode_packed(&batch), Format::MessagePack);
    }
});
