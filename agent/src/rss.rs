use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::sys;

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
        rss.bytes()
            .map(|_| ())
            .ok_or_else(|| io::Error::other("it has an unknown form"))?;
        Ok(rss)
    }

    pub(crate) fn bytes(&self) -> Option<u64> {
        let mut text = [0_u8; 128];
        let length = self.statm.read_at(&mut text, 0).ok()?;
        let text = std::str::from_utf8(&text[..length]).ok()?;
        let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
        Some(pages.saturating_mul(self.page_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_with_memory_that_is_written_to() {
        let rss = Rss::open().unwrap();
        let before = rss.bytes().unwrap();
        let written = std::hint::black_box(vec![1_u8; 64 << 20]);
        let after = rss.bytes().unwrap();
        drop(written);
        assert!(after > before + (32 << 20), "{before} to {after}");
    }
}
