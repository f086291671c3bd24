//! How values are written in columns.

use appweight_wire::{Cell, DecodeError, Distribution};
use rusqlite::Row;
use serde::Deserialize;

pub(super) use crate::store::code::{
    age, age_of, flag, flag_of, kind, kind_of, pack, source, source_of, taken, taken_of, unknown,
    unpack,
};
use crate::store::{StoreError, TimeRange};

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
pub(super) fn pack_metrics(cell: &Cell, into: &mut Vec<u8>) {
    into.push(PACKED);
    cell.pack_metrics(into);
}

pub(super) fn unpack_metrics(cell: &mut Cell, bytes: &[u8]) -> Result<(), StoreError> {
    if let Some((&PACKED, packed)) = bytes.split_first() {
        return cell.unpack_metrics(packed).map_err(broken);
    }
    let metrics: NamedMetrics = unpack("cell", bytes)?;
    cell.instructions = metrics.instructions;
    cell.cpu_ns = metrics.cpu_ns;
    cell.wall_ns = metrics.wall_ns;
    cell.allocated_bytes = metrics.allocated_bytes;
    cell.unfinished = metrics.unfinished;
    Ok(())
}

/// Of these what a judge needs.
pub(super) fn unpack_moments(cell: &mut Cell, bytes: &[u8]) -> Result<(), StoreError> {
    if let Some((&PACKED, packed)) = bytes.split_first() {
        return cell.unpack_moments(packed).map_err(broken);
    }
    unpack_metrics(cell, bytes)?;
    let mut packed = Vec::new();
    cell.pack_metrics(&mut packed);
    (cell.wall_ns, cell.allocated_bytes) = (None, None);
    cell.unpack_moments(&packed).map_err(broken)
}

fn broken(error: DecodeError) -> StoreError {
    StoreError::Corrupt {
        what: "cell",
        reason: error.to_string(),
    }
}

/// Times that pass the format's limits fit; anything later is after all time.
pub(super) fn time(us: u64) -> i64 {
    i64::try_from(us).unwrap_or(i64::MAX)
}

/// What is of a service and begins in that time, as `?1`, `?2` and `?3`.
pub(super) fn in_time(service: &str, range: TimeRange) -> (&str, i64, i64) {
    (service, time(range.from_us), time(range.until_us))
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
