use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::counter::Counter;
use super::fork;
use crate::sys;

/// How much memory the process has in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    /// All of it, mapped files included.
    pub(crate) resident_bytes: u64,
    /// What is neither a mapped file nor shared memory.
    pub(crate) anonymous_bytes: u64,
}

/// The process's resident memory, read from a file that stays open.
#[derive(Debug)]
pub(crate) struct Rss {
    statm: Result<Statm, String>,
}

#[derive(Debug)]
struct Statm {
    file: File,
    /// The file tells of the process that opened it, whoever reads it.
    generation: u64,
    page_bytes: u64,
}

const STATM: &str = "/proc/self/statm";

impl Rss {
    pub(crate) fn open() -> Self {
        let statm = Statm::open().and_then(|statm| match statm.read() {
            Some(_) => Ok(statm),
            None => Err(io::Error::other("it has an unknown form")),
        });
        Self {
            statm: statm.map_err(|error| format!("{STATM} cannot be read: {error}")),
        }
    }

    pub(crate) fn memory(&self) -> Option<Memory> {
        let statm = self.statm.as_ref().ok()?;
        if statm.generation == fork::generation() {
            statm.read()
        } else {
            Statm::open().ok()?.read()
        }
    }
}

impl Counter for Rss {
    fn name(&self) -> &'static str {
        "rss"
    }

    fn unit(&self) -> &'static str {
        "bytes"
    }

    fn access(&self) -> Result<&str, &str> {
        self.statm.as_ref().map(|_| STATM).map_err(String::as_str)
    }

    fn read(&self) -> Option<u64> {
        self.memory().map(|memory| memory.resident_bytes)
    }
}

impl Statm {
    fn open() -> io::Result<Self> {
        Ok(Self {
            file: File::open(STATM)?,
            generation: fork::generation(),
            page_bytes: sys::page_bytes(),
        })
    }

    fn read(&self) -> Option<Memory> {
        let mut text = [0_u8; 128];
        let length = self.file.read_at(&mut text, 0).ok()?;
        let text = std::str::from_utf8(&text[..length]).ok()?;
        // Size, resident, shared (file pages and shared memory), ...: proc(5).
        let mut fields = text.split(' ').skip(1).map(str::parse::<u64>);
        let (resident, shared) = (fields.next()?.ok()?, fields.next()?.ok()?);
        Some(Memory {
            resident_bytes: resident.saturating_mul(self.page_bytes),
            anonymous_bytes: resident
                .saturating_sub(shared)
                .saturating_mul(self.page_bytes),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_with_memory_that_is_written_to() {
        let rss = Rss::open();
        let before = rss.memory().unwrap();
        let written = std::hint::black_box(vec![1_u8; 64 << 20]);
        let after = rss.memory().unwrap();
        drop(written);
        for (before, after) in [
            (before.resident_bytes, after.resident_bytes),
            (before.anonymous_bytes, after.anonymous_bytes),
        ] {
            assert!(after > before + (32 << 20), "{before} to {after}");
        }
    }
    #[test]
    fn a_forked_child_reads_its_own() {
        let rss = Rss::open();
        let ours = Memory {
            resident_bytes: rss.read().unwrap(),
            ..rss.memory().unwrap()
        };
        assert!(fork::tests::holds_in_a_child(|| {
            let written = std::hint::black_box(vec![1_u8; 128 << 20]);
            let grown = rss
                .memory()
                .is_some_and(|memory| memory.anonymous_bytes > ours.anonymous_bytes + (32 << 20));
            drop(written);
            grown
        }));
    }
}
