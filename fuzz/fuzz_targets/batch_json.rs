//! A batch as JSON: what is taken can be written again in both forms and comes back the same.
#![no_main]

use appweight_wire::{Format, decode_batch, decode_deploy, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let _ = decode_deploy(body, Format::Json);
    if let Ok(batch) = decode_batch(body, Format::Json) {
        for format in [Format::Json, Format::MessagePack] {
            let again = encode(&batch, format);
            assert_eq!(decode_batch(&again, format).as_ref(), Ok(&batch));
        }
    }
});
