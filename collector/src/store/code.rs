//! How values are written by every store.

use appweight_wire::{Age, Flag, InstructionSource, Kind, Taken};
use serde::{Deserialize, Serialize};

use super::StoreError;

/// With names, so that a field can be added without rewriting what is stored.
pub(super) fn pack(value: &impl Serialize) -> Vec<u8> {
    rmp_serde::to_vec_named(value).expect("MessagePack can express every wire type")
}

/// Without names: a field may be added at the end alone, with a default.
#[cfg(feature = "clickhouse")]
pub(super) fn pack_in_order(value: &impl Serialize) -> Vec<u8> {
    rmp_serde::to_vec(value).expect("MessagePack can express every wire type")
}

pub(super) fn unpack<'a, T: Deserialize<'a>>(
    what: &'static str,
    bytes: &'a [u8],
) -> Result<T, StoreError> {
    rmp_serde::from_slice(bytes).map_err(|error| StoreError::Corrupt {
        what,
        reason: error.to_string(),
    })
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
