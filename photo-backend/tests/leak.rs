//! What a variant leaves in memory is told by the pages of the whole process: nothing else may run in this one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "each test binary uses a part of it")]
mod common;

use std::time::Duration;

use common::Database;
use photo_backend::truth::{TruthOptions, measure};
use photo_backend::{Variant, Variants};

#[test]
fn the_truth_finds_the_leak() {
    let database = Database::new();
    let truth = measure(&TruthOptions {
        variant: Variant::InboxLeak,
        also: Variants::default(),
        database: database.path.clone(),
        // A busy machine leaves some spans of time without an answer.
        duration: Duration::from_secs(9),
        rate: 300.0,
        seed: 1,
    });
    let memory = truth.unwrap().memory.unwrap();
    assert!(memory.variant_bytes > 8_000.0, "{memory:?}");
    assert!(memory.base_bytes < memory.variant_bytes / 4.0, "{memory:?}");
}
