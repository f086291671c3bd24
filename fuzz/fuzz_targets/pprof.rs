//! A profile in pprof's format, compressed or not: what is taken can be worked with and written again.
#![no_main]

use appweight::profile::{folded, function_costs, pprof};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    if let Ok(imported) = pprof::read(file, None, 0) {
        let _ = function_costs(&imported.profile);
        let _ = folded::write(&imported.profile);
        let again = pprof::read(&pprof::write(&imported.profile), None, 0);
        assert!(again.is_ok(), "what was written is not read");
    }
});
