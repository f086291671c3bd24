//! Profiles in pprof's format (gzip over protobuf; `proto/profile.proto` of github.com/google/pprof), which
//! `go tool pprof`, Speedscope and most profilers read and write.

mod message;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use self::read::{Imported, PprofError, read};
pub use self::write::write;
