//! A compressed body: it is never larger than the limit, whatever it says of itself.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| appweight_collector::fuzzing::compressed_body(body));
