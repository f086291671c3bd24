use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

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
    statm: File,
    page_bytes: u64,
}

impl Rss {
    pub(crate) fn open() -> io::Result<Self> {
        let rss = Self {
            statm: File::open("/proc/self/statm")?,
            page_bytes: sys::page_bytes(),
        };
        rss.read()
            .map(|_| ())
            .ok_or_else(|| io::Error::other("it has an unknown form"))?;
        Ok(rss)
    }

    pub(crate) fn read(&self) -> Option<Memory> {
        let mut text = [0_u8; 128];
        let length = self.statm.read_at(&mut text, 0).ok()?;
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
        let rss = Rss::open().unwrap();
        let before = rss.read().unwrap();
        let written = std::hint::black_box(vec![1_u8; 64 << 20]);
        let after = rss.read().unwrap();
        drop(written);
        for (before, after) in [
            (before.resident_bytes, after.resident_bytes),
            (before.anonymous_bytes, after.anonymous_bytes),
        ] {
            assert!(after > before + (32 << 20), "{before} to {after}");
        }
    }
}
