//! A batch as a file of its own: written whole or not at all, and recognised if it is torn all the same.

use std::fs::{self, File, OpenOptions};
use std::hash::Hasher;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use siphasher::sip::SipHasher13;
use uuid::Uuid;

use crate::contents::Contents;
use crate::queue::Sealed;

const MAGIC: [u8; 8] = *b"AWspool1";
const HEADER_BYTES: usize = MAGIC.len() + 16 + 5 * 8;
const CHECKSUM_BYTES: usize = 8;
/// What file systems give at least.
const BLOCK_BYTES: u64 = 4_096;
const ENDING: &str = ".batch";
const TEMPORARY: &str = ".new";

/// Writes what a file shall hold, so that a crash leaves all of it or nothing.
pub(crate) type WriteFile = fn(folder: &Path, name: &str, content: &[u8]) -> io::Result<()>;

/// What a file's name tells without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) sequence: u64,
    pub(crate) contents: Contents,
}

impl Name {
    pub(crate) fn of(batch: &Sealed) -> Self {
        Self {
            sequence: batch.sequence,
            contents: batch.contents,
        }
    }

    /// Names sort as their batches were sealed.
    pub(crate) fn to_file_name(self) -> String {
        let Contents { records, requests } = self.contents;
        format!("{:020}-{records}-{requests}{ENDING}", self.sequence)
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (sequence, contents) = name.strip_suffix(ENDING)?.split_once('-')?;
        let (records, requests) = contents.split_once('-')?;
        let parsed = Self {
            sequence: sequence.parse().ok()?,
            contents: Contents {
                records: records.parse().ok()?,
                requests: requests.parse().ok()?,
            },
        };
        (parsed.to_file_name() == name).then_some(parsed)
    }
}

/// Whether it is what a crash left of a file that was not finished.
pub(crate) fn is_unfinished(name: &str) -> bool {
    name.strip_suffix(TEMPORARY)
        .is_some_and(|name| Name::parse(name).is_some())
}

/// The room that a file of that length takes.
pub(crate) fn room(length: u64) -> u64 {
    length.div_ceil(BLOCK_BYTES).max(1) * BLOCK_BYTES
}

/// The length of a batch's file.
pub(crate) fn length(batch: &Sealed) -> u64 {
    (HEADER_BYTES + batch.bytes.len() + CHECKSUM_BYTES) as u64
}

pub(crate) fn encode(batch: &Sealed) -> Vec<u8> {
    let mut content = Vec::with_capacity(HEADER_BYTES + batch.bytes.len() + CHECKSUM_BYTES);
    content.extend(MAGIC);
    content.extend(batch.id.as_bytes());
    for number in [
        batch.sequence,
        batch.contents.records,
        batch.contents.requests,
        batch.sealed_us,
        batch.bytes.len() as u64,
    ] {
        content.extend(number.to_le_bytes());
    }
    content.extend(&batch.bytes);
    content.extend(checksum(&content).to_le_bytes());
    content
}

/// Gives nothing if the content is not what was written.
pub(crate) fn decode(content: &[u8]) -> Option<Sealed> {
    let (body, sum) = content.split_last_chunk::<CHECKSUM_BYTES>()?;
    let mut rest = body;
    let number = |at: &mut &[u8]| {
        let (bytes, rest) = at.split_first_chunk::<8>()?;
        *at = rest;
        Some(u64::from_le_bytes(*bytes))
    };
    rest = rest.strip_prefix(&MAGIC)?;
    let (id, after) = rest.split_first_chunk::<16>()?;
    rest = after;
    let sequence = number(&mut rest)?;
    let records = number(&mut rest)?;
    let requests = number(&mut rest)?;
    let sealed_us = number(&mut rest)?;
    let length = number(&mut rest)?;
    let whole = length == rest.len() as u64 && checksum(body) == u64::from_le_bytes(*sum);
    whole.then(|| Sealed {
        id: Uuid::from_bytes(*id),
        sequence,
        sealed_us,
        contents: Contents { records, requests },
        bytes: rest.to_vec(),
    })
}

/// See [`crate::fuzzing`].
#[cfg(fuzzing)]
pub(crate) fn fuzzed(content: &[u8]) {
    let check = |content: &[u8]| {
        if let Some(batch) = decode(content) {
            assert_eq!(encode(&batch), content);
        }
    };
    check(content);
    let mut sound = content.to_vec();
    sound.extend(checksum(content).to_le_bytes());
    check(&sound);
    if let Ok(name) = std::str::from_utf8(content)
        && let Some(parsed) = Name::parse(name)
    {
        assert_eq!(parsed.to_file_name(), name);
    }
}

/// Against accidents, not against forgery: no secret is needed.
fn checksum(content: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(content);
    hasher.finish()
}

/// Under a temporary name first; the real one appears when all of it is on the disk.
pub(crate) fn write(folder: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let temporary = folder.join(format!("{name}{TEMPORARY}"));
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| {
            file.write_all(content)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&temporary, folder.join(name)))
        .and_then(|()| File::open(folder)?.sync_all());
    if written.is_err() {
        // It may never have come to be; what stays is removed with its folder.
        let _ = fs::remove_file(&temporary);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> Sealed {
        Sealed {
            id: Uuid::from_u128(7),
            sequence: 42,
            sealed_us: 1_790_000_000_000_000,
            contents: Contents {
                records: 3,
                requests: 70,
            },
            bytes: b"some bytes".to_vec(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let content = encode(&batch());
        assert_eq!(content.len() as u64, length(&batch()));
        assert_eq!(decode(&content), Some(batch()));
    }

    #[test]
    fn whatever_was_torn_or_changed_is_recognised() {
        let content = encode(&batch());
        for length in 0..content.len() {
            assert_eq!(decode(&content[..length]), None, "{length} bytes of it");
        }
        for at in 0..content.len() {
            let mut changed = content.clone();
            changed[at] ^= 0x10;
            assert_eq!(decode(&changed), None, "another byte {at}");
        }
        // As some file systems leave it after a power failure: the length is there, the bytes are not.
        assert_eq!(decode(&vec![0; content.len()]), None);
        assert_eq!(decode(&[content.as_slice(), b"more"].concat()), None);
    }

    #[test]
    fn names_sort_as_batches_were_sealed() {
        let name = |sequence| Name {
            sequence,
            contents: Contents {
                records: 1_000,
                requests: 0,
            },
        };
        let mut names: Vec<String> = [3, 20, 100, u64::MAX, 0]
            .into_iter()
            .map(|sequence| name(sequence).to_file_name())
            .collect();
        names.sort();
        let sequences: Vec<u64> = names
            .iter()
            .map(|name| Name::parse(name).unwrap().sequence)
            .collect();
        assert_eq!(sequences, [0, 3, 20, 100, u64::MAX]);
        for other in [
            "lock",
            "1-2-3.batch",
            "00000000000000000001-2-3.batch.new",
            "00000000000000000001.batch",
            "00000000000000000001-2.batch",
            "0000000000000000000x-2-3.batch",
        ] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
        assert!(is_unfinished("00000000000000000001-2-3.batch.new"));
        assert!(!is_unfinished("notes.new") && !is_unfinished("00000000000000000001-2-3.batch"));
    }

    #[test]
    fn a_file_takes_whole_blocks() {
        assert_eq!([0, 1, 4_096, 4_097].map(room), [4_096, 4_096, 4_096, 8_192]);
    }
}
