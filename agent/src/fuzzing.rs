//! What `fuzz/` feeds with anything at all.

use crate::spool::fuzzed_file;

/// A file of the spool: torn, and with a right checksum over the same.
///
/// # Panics
/// If what is read as a batch is not what would be written for it.
pub fn spool_file(content: &[u8]) {
    fuzzed_file(content);
}
