//! How values are written in columns.

use appweight_wire::{Age, Cell, Distribution, Flag, InstructionSource, Kind, Taken};
use rusqlite::Row;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::store::StoreError;

/// The first byte of a cell's metrics as they are packed. Those of older programs begin with a map of MessagePack,
/// 0x80 to 0x8f.
const PACKED: u8 = 1;

/// The distributions of a cell and what came to it later, as older programs wrote them in one blob.
#[derive(Deserialize)]
struct NamedMetrics {
    instructions: Option<Distribution>,
    cpu_ns: Option<Distribution>,
    wall_ns: Option<Distribution>,
    allocated_bytes: Option<Distribution>,
    #[serde(default)]
    unfinished: u64,
}

/// The distributions of a cell and what came to it later, as one blob.
pub(super) fn pack_metrics(cell: &Cell) -> Vec<u8> {
    let mut bytes = cell.pack_metrics();
    bytes.insert(0, PACKED);
    bytes
}

pub(super) fn unpack_metrics(cell: &mut Cell, bytes: &[u8]) -> Result<(), StoreError> {
    if let Some((&PACKED, packed)) = bytes.split_first() {
        return cell
            .unpack_metrics(packed)
            .map_err(|error| StoreError::Corrupt {
                what: "cell",
                reason: error.to_string(),
            });
    }
    let metrics: NamedMetrics = unpack("cell", bytes)?;
    cell.instructions = metrics.instructions;
    cell.cpu_ns = metrics.cpu_ns;
    cell.wall_ns = metrics.wall_ns;
    cell.allocated_bytes = metrics.allocated_bytes;
    cell.unfinished = metrics.unfinished;
    Ok(())
}

/// With names, so that a field can be added without rewriting what is stored.
pub(super) fn pack(value: &impl Serialize) -> Vec<u8> {
    rmp_serde::to_vec_named(value).expect("MessagePack can express every wire type")
}

pub(super) fn unpack<T: DeserializeOwned>(
    what: &'static str,
    bytes: &[u8],
) -> Result<T, StoreError> {
    rmp_serde::from_slice(bytes).map_err(|error| StoreError::Corrupt {
        what,
        reason: error.to_string(),
    })
}

/// Times that pass the format's limits fit; anything later is after all time.
pub(super) fn time(us: u64) -> i64 {
    i64::try_from(us).unwrap_or(i64::MAX)
}

/// What [`time`] wrote.
pub(super) fn time_of(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.cast_unsigned())
}

/// What [`time`] wrote, if anything.
pub(super) fn maybe_time_of(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(i64::cast_unsigned))
}

/// A count keeps its bits: SQLite has no unsigned 64-bit integer, and none of ours is summed in SQL.
pub(super) fn count(value: u64) -> i64 {
    value.cast_signed()
}

pub(super) fn kind(kind: Kind) -> i64 {
    match kind {
        Kind::Request => 0,
        Kind::Task => 1,
    }
}

pub(super) fn kind_of(code: i64) -> Result<Kind, StoreError> {
    match code {
        0 => Ok(Kind::Request),
        1 => Ok(Kind::Task),
        _ => Err(unknown("kind", code)),
    }
}

pub(super) fn source(source: InstructionSource) -> i64 {
    match source {
        InstructionSource::None => 0,
        InstructionSource::HardwareUser => 1,
        InstructionSource::HardwareAll => 2,
        InstructionSource::Simulated => 3,
    }
}

pub(super) fn source_of(code: i64) -> Result<InstructionSource, StoreError> {
    match code {
        0 => Ok(InstructionSource::None),
        1 => Ok(InstructionSource::HardwareUser),
        2 => Ok(InstructionSource::HardwareAll),
        3 => Ok(InstructionSource::Simulated),
        _ => Err(unknown("instruction source", code)),
    }
}

pub(super) fn age(age: Age) -> i64 {
    match age {
        Age::WarmingUp => 0,
        Age::Warm => 1,
    }
}

pub(super) fn age_of(code: i64) -> Result<Age, StoreError> {
    match code {
        0 => Ok(Age::WarmingUp),
        1 => Ok(Age::Warm),
        _ => Err(unknown("age", code)),
    }
}

/// A flag's name and value; both empty where there is none.
pub(super) fn flag(flag: Option<&Flag>) -> (&str, &str) {
    flag.map_or(("", ""), |flag| (flag.name.as_str(), flag.value.as_str()))
}

/// What [`flag`] wrote.
pub(super) fn flag_of(name: String, value: String) -> Option<Flag> {
    (!name.is_empty()).then_some(Flag { name, value })
}

pub(super) fn taken(taken: Taken) -> i64 {
    match taken {
        Taken::Scopes => 0,
        Taken::Sampled => 1,
    }
}

pub(super) fn taken_of(code: i64) -> Result<Taken, StoreError> {
    match code {
        0 => Ok(Taken::Scopes),
        1 => Ok(Taken::Sampled),
        _ => Err(unknown("way of taking profiles", code)),
    }
}

pub(super) fn unknown(what: &'static str, code: i64) -> StoreError {
    StoreError::Corrupt {
        what,
        reason: format!("{code} has no meaning"),
    }
}
