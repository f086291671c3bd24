//! A file of the spool, torn or with a right checksum over anything.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| appweight_agent::fuzzing::spool_file(content));
