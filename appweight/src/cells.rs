//! Cells from request records, for clients that count nothing themselves.

use std::collections::BTreeMap;

use appweight_wire::{Batch, Cell, CellKey, Content, RequestRecord};

/// The width of the cells if the batch says none: a minute.
const WIDTH_US: u64 = 60_000_000;

/// Fills in the cells of a batch whose counts are in its request records.
pub fn fill_in(batch: &mut Batch) {
    if batch.content != Content::Requests {
        return;
    }
    let width_us = batch.cell_width_us.unwrap_or(WIDTH_US);
    let mut cells = BTreeMap::new();
    for request in &batch.requests {
        count(&mut cells, request, width_us, None);
        for (at, flag) in request.flags.iter().enumerate() {
            // A flag said twice is still one request.
            if !request.flags[..at].contains(flag) {
                count(&mut cells, request, width_us, Some(at));
            }
        }
    }
    batch.cells = cells.into_values().collect();
}

fn count(
    cells: &mut BTreeMap<CellKey, Cell>,
    request: &RequestRecord,
    width_us: u64,
    flag: Option<usize>,
) {
    let key = CellKey {
        start_us: request.start_us - request.start_us % width_us,
        width_us,
        kind: request.kind,
        endpoint: request.endpoint.clone(),
        instruction_source: request.instruction_source,
        age: request.age,
        flag: flag.map(|at| request.flags[at].clone()),
    };
    let cell = cells.entry(key.clone()).or_insert_with(|| Cell::new(key));
    cell.n = cell.n.saturating_add(1);
    cell.weight = cell.weight.saturating_add(request.weight);
    cell.errors = cell.errors.saturating_add(u64::from(request.error));
    cell.scaled = cell.scaled.saturating_add(u64::from(request.scaled));
    cell.unfinished = cell
        .unfinished
        .saturating_add(u64::from(request.unfinished));
    for (value, distribution) in [
        (request.instructions, &mut cell.instructions),
        (request.cpu_ns, &mut cell.cpu_ns),
        (Some(request.wall_ns), &mut cell.wall_ns),
        (request.allocated_bytes, &mut cell.allocated_bytes),
    ] {
        if let Some(value) = value {
            distribution.get_or_insert_default().observe(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use appweight_wire::{Distribution, Flag, Origin};
    use uuid::Uuid;

    use super::*;

    fn request(start_us: u64, cpu_ns: Option<u64>, error: bool) -> RequestRecord {
        RequestRecord {
            start_us,
            endpoint: "/feed".into(),
            error,
            weight: 10,
            cpu_ns,
            wall_ns: 7,
            flags: vec![Flag {
                name: "new-feed".into(),
                value: "on".into(),
            }],
            ..RequestRecord::default()
        }
    }

    fn batch(content: Content, requests: Vec<RequestRecord>) -> Batch {
        Batch {
            version: 1,
            source: Uuid::nil(),
            sequence: 0,
            origin: Origin::default(),
            content,
            cell_width_us: Some(1_000),
            cells: Vec::new(),
            requests,
            processes: Vec::new(),
            profiles: Vec::new(),
        }
    }

    #[test]
    fn requests_of_one_span_are_one_cell_and_one_per_flag() {
        let mut batch = batch(
            Content::Requests,
            vec![
                request(5_001, Some(100), false),
                request(5_999, None, true),
                request(6_000, Some(50), false),
            ],
        );
        fill_in(&mut batch);
        assert_eq!(batch.cells.len(), 4);
        let first = &batch.cells[0];
        assert_eq!((first.key.start_us, &first.key.flag), (5_000, &None));
        assert_eq!((first.n, first.weight, first.errors), (2, 20, 1));
        let mut cpu_ns = Distribution::default();
        cpu_ns.observe(100);
        assert_eq!(first.cpu_ns, Some(cpu_ns));
        assert_eq!(first.wall_ns.as_ref().map(|wall| wall.sum), Some(14));
        assert_eq!(first.instructions, None);
        assert!(batch.cells[1].key.flag.is_some());
        assert_eq!(batch.cells[1].n, 2);
    }

    #[test]
    fn requests_beside_cells_are_not_counted_again() {
        let mut batch = batch(Content::Cells, vec![request(5_001, Some(100), false)]);
        fill_in(&mut batch);
        assert!(batch.cells.is_empty());
    }
}
