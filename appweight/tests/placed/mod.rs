//! Simulated lines as a store would have them.

use std::collections::BTreeMap;

use appweight::detect::{CellLine, DeployLine};
use appweight::evidence::PlacedCell;
use appweight::live::MINUTE_US;
use appweight_wire::{Age, Cell, CellKey, Deploy, Distribution, InstructionSource, Kind, Wide};

/// A roll-out as a store has it.
pub(crate) fn deploy(line: &DeployLine) -> Deploy {
    Deploy {
        service: "photo".to_owned(),
        id: line.deploy.clone(),
        started_us: line.start as u64 * MINUTE_US,
        replaced: line.replaces.clone(),
        ..Deploy::default()
    }
}

/// A cell as a store has it; hosts are numbered as they come.
pub(crate) fn placed(line: &CellLine<'_>, hosts: &mut BTreeMap<String, u8>) -> PlacedCell {
    const LOG_UNIT: f64 = std::f64::consts::LN_2 / 65_536.0;
    let known = hosts.len() as u8;
    let host = *hosts.entry(line.host.to_string()).or_insert(known);
    let mut cell = Cell::new(CellKey {
        start_us: line.minute as u64 * MINUTE_US,
        width_us: MINUTE_US,
        endpoint: line.endpoint.to_string(),
        instruction_source: InstructionSource::HardwareUser,
        kind: Kind::Request,
        age: Age::Warm,
        flag: None,
    });
    cell.n = line.n as u64;
    cell.weight = line.weight as u64;
    cell.instructions = Some(Distribution {
        n: line.n as u64,
        sum: line.sum as u64,
        sum_logs: (line.sumlog / LOG_UNIT) as u64,
        sum_squared_logs: Wide((line.sumsqlog / LOG_UNIT / LOG_UNIT) as u128),
        ..Distribution::default()
    });
    PlacedCell {
        deploy: line.deploy.to_string(),
        cluster: line.cluster.to_string(),
        host_group: host % 16,
        cell,
    }
}
