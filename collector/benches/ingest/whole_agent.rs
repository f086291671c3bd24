//! What an agent sends besides whole cells and records: cells of a flag's values, and profiles.

use appweight_wire::{Age, Cell, Flag, Function, ProfileRecord, TimerValues};

use crate::traffic::{ENDPOINTS, MINUTE_US, name};

/// Nodes of a profile, as of a handler with some dozens of instrumented functions.
const NODES: u32 = 40;

/// For each cell two of a flag that half of the requests see.
pub(crate) fn of_flag(cells: &[Cell]) -> Vec<Cell> {
    let half = |cell: &Cell, value: &str| {
        let mut half = cell.clone();
        half.key.flag = Some(Flag {
            name: "new_ranking".into(),
            value: value.into(),
        });
        half
    };
    let halves = cells
        .iter()
        .flat_map(|cell| [half(cell, "off"), half(cell, "on")]);
    halves.collect()
}

/// So many, of one endpoint after the other.
pub(crate) fn profiles(count: usize, sequence: u64, start_us: u64) -> Vec<ProfileRecord> {
    let first = usize::try_from(sequence).unwrap_or(0).wrapping_mul(count);
    let endpoints = (0..count).map(|at| first.wrapping_add(at) % ENDPOINTS);
    endpoints
        .map(|endpoint| profile(name(endpoint), start_us))
        .collect()
}

fn profile(endpoint: String, start_us: u64) -> ProfileRecord {
    let function = |at| Function::named(&format!("photos::ranking::Model::step_{at}"));
    let timer = |name: &str, unit: &str, one: i64| TimerValues {
        name: name.into(),
        unit: unit.into(),
        own: (1..=i64::from(NODES)).map(|at| at * one).collect(),
        ..TimerValues::default()
    };
    ProfileRecord {
        start_us,
        width_us: MINUTE_US,
        endpoint,
        age: Age::Warm,
        requests: 1,
        functions: (0..NODES).map(function).collect(),
        parents: (0..NODES).map(|at| at.saturating_sub(1) / 2).collect(),
        node_functions: (0..NODES).collect(),
        calls: vec![1; NODES as usize],
        timers: vec![timer("cpu", "ns", 10_000), timer("allocated", "bytes", 64)],
        ..ProfileRecord::default()
    }
}
