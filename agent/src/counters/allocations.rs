use super::counter::Counter;
use crate::allocator::{allocated, allocations_are_counted};

/// Allocations of the calling thread; their bytes are counted with them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allocations;

impl Counter for Allocations {
    fn name(&self) -> &'static str {
        "allocations"
    }

    fn unit(&self) -> &'static str {
        "allocations"
    }

    /// Something was allocated on the way here, so that the allocator has shown itself.
    fn access(&self) -> Result<&str, &str> {
        if allocations_are_counted() {
            Ok("AppweightAlloc")
        } else {
            Err("the program's global allocator is not AppweightAlloc")
        }
    }

    fn read(&self) -> Option<u64> {
        allocated().map(|allocated| allocated.allocations)
    }
}
