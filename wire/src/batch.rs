use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::packed::{Packed, Unpacked};
use crate::{Cell, ProcessRecord, ProfileRecord, RequestRecord};

/// What all records of a batch have in common: the process that sent them.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The service's name, the same for all its processes.
    pub service: String,
    /// What is deployed in this process: usually the commit.
    pub deploy: String,
    /// The instance: two processes on one machine are two hosts.
    pub host: String,
    /// A part of the fleet, `""` if there is only one.
    #[serde(default)]
    pub cluster: String,
    /// The region, `""` if there is only one.
    #[serde(default)]
    pub region: String,
}

/// The header in which a client says when it sends a batch by its clock, µs since the Unix epoch: another time at
/// each try, and so not in the batch. By it a clock that is wrong is told from a batch that comes late.
pub const SENT_US_HEADER: &str = "appweight-sent-us";

/// Which of the records hold the counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// Cells count every request; request records are for drill-down only.
    #[default]
    Cells,
    /// There are no cells: the collector makes them from the request records.
    Requests,
}

/// The unit that is sent, stored and counted once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Received<Unpacked>")]
pub struct Batch {
    /// The format's version: [`VERSION`](crate::VERSION).
    pub version: u16,
    /// A random id of the process, new at every start.
    pub source: Uuid,
    /// Counts the batches of that source, from 0.
    pub sequence: u64,
    /// The process that sent it.
    pub origin: Origin,
    /// Which of the records hold the counts.
    #[serde(default)]
    pub content: Content,
    /// With [`Content::Requests`]: the width of the cells to make, µs. A minute if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cell_width_us: Option<u64>,
    /// Cells.
    #[serde(default)]
    pub cells: Vec<Cell>,
    /// Request records.
    #[serde(default)]
    pub requests: Vec<RequestRecord>,
    /// Process records.
    #[serde(default)]
    pub processes: Vec<ProcessRecord>,
    /// Function profiles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<ProfileRecord>,
}

/// A batch as it comes: with plain request records, packed ones, or both.
#[derive(Deserialize)]
pub(crate) struct Received<P> {
    version: u16,
    source: Uuid,
    sequence: u64,
    origin: Origin,
    #[serde(default)]
    pub(crate) content: Content,
    #[serde(default)]
    cell_width_us: Option<u64>,
    #[serde(default)]
    cells: Vec<Cell>,
    #[serde(default)]
    pub(crate) requests: Vec<RequestRecord>,
    #[serde(default)]
    pub(crate) packed_requests: P,
    #[serde(default)]
    processes: Vec<ProcessRecord>,
    #[serde(default)]
    profiles: Vec<ProfileRecord>,
}

impl<P> Received<P> {
    /// The batch, without the request records that came packed.
    pub(crate) fn without_packed(self) -> Batch {
        Batch {
            version: self.version,
            source: self.source,
            sequence: self.sequence,
            origin: self.origin,
            content: self.content,
            cell_width_us: self.cell_width_us,
            cells: self.cells,
            requests: self.requests,
            processes: self.processes,
            profiles: self.profiles,
        }
    }
}

impl From<Received<Unpacked>> for Batch {
    fn from(mut received: Received<Unpacked>) -> Self {
        let unpacked = std::mem::take(&mut received.packed_requests.0);
        received.requests.extend(unpacked);
        received.without_packed()
    }
}

/// A batch as an agent sends it: what is empty is left out, and its request records are packed.
#[derive(Serialize)]
pub(crate) struct Sent<'a> {
    version: u16,
    source: Uuid,
    sequence: u64,
    origin: &'a Origin,
    content: Content,
    #[serde(skip_serializing_if = "Option::is_none")]
    cell_width_us: Option<u64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    cells: &'a [Cell],
    #[serde(skip_serializing_if = "Option::is_none")]
    packed_requests: Option<Packed<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    processes: &'a [ProcessRecord],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    profiles: &'a [ProfileRecord],
}

impl<'a> Sent<'a> {
    pub(crate) fn of(batch: &'a Batch) -> Self {
        Self {
            version: batch.version,
            source: batch.source,
            sequence: batch.sequence,
            origin: &batch.origin,
            content: batch.content,
            cell_width_us: batch.cell_width_us,
            cells: &batch.cells,
            packed_requests: (!batch.requests.is_empty()).then_some(Packed(&batch.requests)),
            processes: &batch.processes,
            profiles: &batch.profiles,
        }
    }
}

impl Batch {
    /// Its id, see [`batch_id`].
    #[must_use]
    pub fn id(&self) -> Uuid {
        batch_id(self.source, self.sequence)
    }

    /// How many records it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cells.len() + self.requests.len() + self.processes.len() + self.profiles.len()
    }

    /// Whether it holds no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The id of a batch, the same at every retry: the version 5 UUID (RFC 9562) whose namespace is the
/// source and whose name is the sequence number in decimal.
#[must_use]
pub fn batch_id(source: Uuid, sequence: u64) -> Uuid {
    Uuid::new_v5(&source, sequence.to_string().as_bytes())
}

/// The group, 0 to 15, that a host belongs to: the 64-bit FNV-1a hash of its name, modulo 16.
///
/// Groups are replicates: an error can be clustered by host while the number of cells stays
/// bounded however large the fleet.
#[must_use]
pub fn host_group(host: &str) -> u8 {
    let hash = host.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (hash % 16) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_groups_are_part_of_the_format() {
        let source = Uuid::from_u128(0x0123_4567_89ab_4def_8123_4567_89ab_cdef);
        assert_eq!(
            batch_id(source, 0).to_string(),
            "18a65da8-cfd9-5d5b-aca7-b6ab21e60206"
        );
        assert_eq!(host_group(""), 5);
        assert_eq!(host_group("web-1"), 15);
    }
}
