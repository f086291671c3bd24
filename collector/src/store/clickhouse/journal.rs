//! Groups that are being written: on this machine's disk before the first of their rows is in ClickHouse, and until
//! the last one is.
//!
//! What is here after a crash may be in some tables and not in others. It is written again as the same group, with
//! the same token, and what was in stays as it was.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use appweight_wire::{Batch, Cell, Content, Origin, ProcessRecord, ProfileRecord, RequestRecord};
use serde::{Deserialize, Serialize};
use serde_bytes::Bytes;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::store::{NewBatch, StoreError, code};

/// zstd's fastest: what is written here is thrown away soon.
const LEVEL: i32 = 1;

/// What is not yet a file ends so.
const PART: &str = "part";

/// Batches that are written together.
#[derive(Debug, Clone)]
pub(super) struct Group {
    /// Its id, and the token of its rows.
    pub(super) id: Uuid,
    /// When it was made; later than those that this collector made before, µs.
    pub(super) made_us: u64,
    /// Its batches, all new.
    pub(super) batches: Vec<NewBatch>,
    /// Whether sums say that they are of it. Those of older versions do not.
    pub(super) marked: bool,
}

/// The folder of the groups that one collector is writing.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    /// The collector's id. It is that of the folder: without its folder a collector is another one, that does not
    /// know what was being written.
    pub(super) collector: Uuid,
    /// Held as long as this lives, so that no other process writes the same groups.
    _lock: File,
}

impl Journal {
    /// Opens the folder, or makes it.
    pub(super) fn open(folder: &Path) -> Result<Self, StoreError> {
        let in_folder = |error| failed(folder, error);
        fs::create_dir_all(folder).map_err(in_folder)?;
        let lock = folder.join("lock");
        let file = File::create(&lock).map_err(|error| failed(&lock, error))?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => StoreError::JournalInUse(folder.to_owned()),
            TryLockError::Error(error) => failed(&lock, error),
        })?;
        let name = folder.join("collector");
        let collector = match fs::read_to_string(&name) {
            Ok(text) => text.trim().parse().map_err(|_| StoreError::Corrupt {
                what: "journal",
                reason: format!("{} holds no id", name.display()),
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let collector = Uuid::new_v4();
                write_whole(&name, format!("{collector}\n").as_bytes())?;
                collector
            }
            Err(error) => return Err(failed(&name, error)),
        };
        Ok(Self {
            folder: folder.to_owned(),
            collector,
            _lock: file,
        })
    }

    /// The groups that were not finished, oldest first.
    pub(super) fn unfinished(&self) -> Result<Vec<Group>, StoreError> {
        let mut groups = Vec::new();
        let entries = fs::read_dir(&self.folder).map_err(|error| failed(&self.folder, error))?;
        for entry in entries {
            let path = entry.map_err(|error| failed(&self.folder, error))?.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("group") => groups.push(read(&path)?),
                // Nothing was written of what was not kept.
                Some(PART) => remove(&path)?,
                _ => {}
            }
        }
        groups.sort_by_key(|group| group.made_us);
        Ok(groups)
    }

    /// Writes a group to the disk, so that it can be kept soon. Until then it does not count: it is not there after a crash.
    pub(super) fn prepare(&self, group: &Group) -> Result<(), StoreError> {
        let path = self.path(group.id);
        let written = Written {
            id: group.id,
            made_us: group.made_us,
            batches: group.batches.iter().map(WrittenBatch::of).collect(),
            marked: group.marked,
        };
        let packed = zstd::encode_all(code::pack(&written).as_slice(), LEVEL)
            .map_err(|error| failed(&path, error))?;
        let mut bytes = Sha256::digest(&packed).to_vec();
        bytes.extend_from_slice(&packed);
        write_part(&path, &bytes)
    }

    /// Keeps a group that was prepared; it is on the disk when this returns.
    pub(super) fn keep(&self, id: Uuid) -> Result<(), StoreError> {
        take_up(&self.path(id))
    }

    /// Forgets a group that is written.
    pub(super) fn forget(&self, id: Uuid) -> Result<(), StoreError> {
        remove(&self.path(id))
    }

    /// Forgets a group that is not to be kept.
    pub(super) fn discard(&self, id: Uuid) -> Result<(), StoreError> {
        remove(&self.path(id).with_extension(PART))
    }

    fn path(&self, id: Uuid) -> PathBuf {
        self.folder.join(format!("{id}.group"))
    }
}

/// A group as it lies here, of batches as they are written or as they are read.
#[derive(Serialize, Deserialize)]
struct Written<B> {
    id: Uuid,
    made_us: u64,
    batches: Vec<B>,
    #[serde(default)]
    marked: bool,
}

#[derive(Serialize)]
struct WrittenBatch<'a> {
    uuid: Uuid,
    digest: [u8; 32],
    received_us: u64,
    clock_ahead_us: Option<i64>,
    batch: SentBatch<'a>,
}

/// A batch as it may be sent, its request records packed by columns if that is how they came.
#[derive(Serialize)]
struct SentBatch<'a> {
    version: u16,
    source: Uuid,
    sequence: u64,
    origin: &'a Origin,
    content: Content,
    cell_width_us: Option<u64>,
    cells: &'a [Cell],
    requests: &'a [RequestRecord],
    #[serde(skip_serializing_if = "Option::is_none")]
    packed_requests: Option<&'a Bytes>,
    processes: &'a [ProcessRecord],
    profiles: &'a [ProfileRecord],
}

impl<'a> WrittenBatch<'a> {
    fn of(new: &'a NewBatch) -> Self {
        let batch = &new.batch;
        let packed_requests = new
            .packed
            .as_ref()
            .map(|packed| Bytes::new(packed.as_bytes()));
        Self {
            uuid: new.uuid,
            digest: new.digest,
            received_us: new.received_us,
            clock_ahead_us: new.clock_ahead_us,
            batch: SentBatch {
                version: batch.version,
                source: batch.source,
                sequence: batch.sequence,
                origin: &batch.origin,
                content: batch.content,
                cell_width_us: batch.cell_width_us,
                cells: &batch.cells,
                requests: match packed_requests {
                    Some(_) => &[],
                    None => &batch.requests,
                },
                packed_requests,
                processes: &batch.processes,
                profiles: &batch.profiles,
            },
        }
    }
}

#[derive(Deserialize)]
struct ReadBatch {
    uuid: Uuid,
    digest: [u8; 32],
    received_us: u64,
    clock_ahead_us: Option<i64>,
    batch: Batch,
}

fn read(path: &Path) -> Result<Group, StoreError> {
    let bytes = fs::read(path).map_err(|error| failed(path, error))?;
    let broken = |reason: &str| StoreError::Corrupt {
        what: "journal",
        reason: format!("{}: {reason}", path.display()),
    };
    let (digest, packed) = (bytes.split_at_checked(32)).ok_or_else(|| broken("it is cut off"))?;
    if Sha256::digest(packed).as_slice() != digest {
        return Err(broken("its checksum is another"));
    }
    let unpacked = zstd::decode_all(packed).map_err(|error| broken(&error.to_string()))?;
    let written: Written<ReadBatch> = code::unpack("journal", &unpacked)?;
    let batches = written.batches.into_iter().map(|read| NewBatch {
        uuid: read.uuid,
        digest: read.digest,
        received_us: read.received_us,
        clock_ahead_us: read.clock_ahead_us,
        batch: read.batch,
        packed: None,
    });
    Ok(Group {
        id: written.id,
        made_us: written.made_us,
        batches: batches.collect(),
        marked: written.marked,
    })
}

/// Writes a file so that after a crash it is there whole, or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    write_part(path, bytes)?;
    take_up(path)
}

/// Writes what is to be a file, beside it.
fn write_part(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let written = || {
        let mut file = File::create(path.with_extension(PART))?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    written().map_err(|error| failed(path, error))
}

/// Makes it that file.
fn take_up(path: &Path) -> Result<(), StoreError> {
    let renamed = || {
        fs::rename(path.with_extension(PART), path)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    };
    renamed().map_err(|error| failed(path, error))
}

/// Removes a file, unless it is gone already.
fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(path, error)),
        _ => Ok(()),
    }
}

fn failed(path: &Path, error: std::io::Error) -> StoreError {
    StoreError::Journal {
        path: path.to_owned(),
        error,
    }
}
