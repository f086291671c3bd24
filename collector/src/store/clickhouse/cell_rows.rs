//! Cells as rows: as they are inserted, and as they are told.

use std::collections::BTreeSet;

use appweight::evidence::PlacedCell;
use appweight_wire::{Age, Cell, CellKey, Distribution, InstructionSource, Kind, Wide};
use clickhouse::Row;
use clickhouse::types::UInt256;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::fold::{DAY_US, Detail};
use super::numbers::{narrow, narrow_wide, widen};
use crate::store::cell_sums::{CellSums, Place};
use crate::store::{StoreError, code};

/// A cell's key and counts as columns, and those behind them, which are named: first all of its distributions if it is
/// `whole`.
macro_rules! row {
    ($(#[$about:meta])* whole $name:ident { $($column:ident: $type:ty,)* }) => {
        row! {
            $(#[$about])*
            $name {
                instructions_n: u128,
                instructions_sum: u128,
                instructions_sum_squares: UInt256,
                instructions_sum_logs: u128,
                instructions_sum_squared_logs: UInt256,
                instructions_min: u64,
                instructions_max: u64,
                instructions_histogram: Vec<(u16, u128)>,
                cpu_ns_n: u128,
                cpu_ns_sum: u128,
                cpu_ns_sum_squares: UInt256,
                cpu_ns_sum_logs: u128,
                cpu_ns_sum_squared_logs: UInt256,
                cpu_ns_min: u64,
                cpu_ns_max: u64,
                cpu_ns_histogram: Vec<(u16, u128)>,
                wall_ns_n: u128,
                wall_ns_sum: u128,
                wall_ns_sum_squares: UInt256,
                wall_ns_sum_logs: u128,
                wall_ns_sum_squared_logs: UInt256,
                wall_ns_min: u64,
                wall_ns_max: u64,
                wall_ns_histogram: Vec<(u16, u128)>,
                allocated_bytes_n: u128,
                allocated_bytes_sum: u128,
                allocated_bytes_sum_squares: UInt256,
                allocated_bytes_sum_logs: u128,
                allocated_bytes_sum_squared_logs: UInt256,
                allocated_bytes_min: u64,
                allocated_bytes_max: u64,
                allocated_bytes_histogram: Vec<(u16, u128)>,
                $($column: $type,)*
            }
        }
    };
    ($(#[$about:meta])* $name:ident { $($column:ident: $type:ty,)* }) => {
        $(#[$about])*
        pub(super) struct $name {
            start_us: u64,
            width_us: u64,
            deploy: String,
            kind: i8,
            endpoint: String,
            cluster: String,
            instruction_source: i8,
            age: i8,
            host_group: u8,
            flag_name: String,
            flag_value: String,
            n: u128,
            weight: u128,
            errors: u128,
            scaled: u128,
            unfinished: u128,
            $($column: $type,)*
        }
    };
}

/// Columns before those that are added up.
const KEY_COLUMNS: usize = 11;

row! {
    /// A row of the table.
    #[derive(Row, Serialize)]
    whole CellRow {
        service: String,
        detail: i8,
    }
}

row! {
    /// A cell as it is told.
    #[derive(Row, Deserialize)]
    whole ToldRow {}
}

row! {
    /// A cell as it is told with what a judge needs of it.
    #[derive(Row, Deserialize)]
    MomentsRow {
        instructions_n: u128,
        instructions_sum: u128,
        instructions_sum_squares: UInt256,
        instructions_sum_logs: u128,
        instructions_sum_squared_logs: UInt256,
        cpu_ns_n: u128,
        cpu_ns_sum: u128,
        cpu_ns_sum_squares: UInt256,
        cpu_ns_sum_logs: u128,
        cpu_ns_sum_squared_logs: UInt256,
    }
}

/// A distribution as its columns.
struct Columns {
    n: u128,
    sum: u128,
    sum_squares: UInt256,
    sum_logs: u128,
    sum_squared_logs: UInt256,
    min: u64,
    max: u64,
    histogram: Vec<(u16, u128)>,
}

impl Columns {
    /// An absent one is what changes nothing when it is added.
    fn of(distribution: Option<&Distribution>) -> Self {
        let empty = Distribution {
            min: u64::MAX,
            ..Distribution::default()
        };
        let of = distribution.filter(|of| of.n > 0).unwrap_or(&empty);
        let histogram = of.histogram.iter();
        Self {
            n: of.n.into(),
            sum: of.sum.into(),
            sum_squares: widen(of.sum_squares.0),
            sum_logs: of.sum_logs.into(),
            sum_squared_logs: widen(of.sum_squared_logs.0),
            min: of.min,
            max: of.max,
            histogram: histogram.map(|&(bucket, n)| (bucket, n.into())).collect(),
        }
    }

    fn distribution(self) -> Option<Distribution> {
        (self.n > 0).then(|| Distribution {
            n: narrow(self.n),
            sum: narrow(self.sum),
            sum_squares: Wide(narrow_wide(self.sum_squares)),
            sum_logs: narrow(self.sum_logs),
            sum_squared_logs: Wide(narrow_wide(self.sum_squared_logs)),
            min: self.min,
            max: self.max,
            histogram: (self.histogram.into_iter())
                .map(|(bucket, n)| (bucket, narrow(n)))
                .collect(),
        })
    }
}

/// The columns of a metric in a row, by their names.
macro_rules! columns {
    ($row:ident: $n:ident, $sum:ident, $sum_squares:ident, $sum_logs:ident, $sum_squared_logs:ident, $min:ident,
        $max:ident, $histogram:ident) => {
        Columns {
            n: $row.$n,
            sum: $row.$sum,
            sum_squares: $row.$sum_squares,
            sum_logs: $row.$sum_logs,
            sum_squared_logs: $row.$sum_squared_logs,
            min: $row.$min,
            max: $row.$max,
            histogram: $row.$histogram,
        }
        .distribution()
    };
}

/// The cell of a row, with its counts alone.
macro_rules! counted {
    ($row:ident) => {{
        let mut cell = Cell::new(CellKey {
            start_us: $row.start_us,
            width_us: $row.width_us,
            kind: code::kind_of($row.kind.into())?,
            endpoint: $row.endpoint,
            instruction_source: code::source_of($row.instruction_source.into())?,
            age: code::age_of($row.age.into())?,
            flag: code::flag_of($row.flag_name, $row.flag_value),
        });
        cell.n = narrow($row.n);
        cell.weight = narrow($row.weight);
        cell.errors = narrow($row.errors);
        cell.scaled = narrow($row.scaled);
        cell.unfinished = narrow($row.unfinished);
        cell
    }};
}

/// Cells as rows of each detail, of those that it `has`: told by their keys.
pub(super) fn rows(sums: &CellSums<'_>, has: impl Fn(Detail, &CellKey) -> bool) -> Vec<CellRow> {
    let minutes = Detail::Minutes.of(sums);
    let hours = Detail::Hours.of(&minutes);
    let details = [
        (Detail::Hosts, sums),
        (Detail::Minutes, &minutes),
        (Detail::Hours, &hours),
    ];
    let mut rows = Vec::new();
    for (detail, sums) in details {
        let cells = sums.all().filter(|(_, cell)| has(detail, &cell.key));
        rows.extend(cells.map(|(place, cell)| row(detail, place, cell)));
    }
    rows
}

/// Rows that say of each day of others which group of a collector brought them, its newest. They lie in the same block, so that
/// they are in when those are; of a service without a name, which no cell is of.
pub(super) fn marks(rows: &[CellRow], collector: Uuid, made_us: u64) -> Vec<CellRow> {
    let days: BTreeSet<u64> = rows.iter().map(CellRow::day_us).collect();
    let mark = |day_us| {
        let place = Place {
            service: "".into(),
            deploy: collector.to_string().into(),
            cluster: "".into(),
            host_group: 0,
        };
        let mut cell = Cell::new(CellKey {
            start_us: day_us,
            width_us: 1,
            kind: Kind::Request,
            endpoint: String::new(),
            instruction_source: InstructionSource::None,
            age: Age::Warm,
            flag: None,
        });
        cell.instructions = Some(Distribution {
            n: 1,
            max: made_us,
            ..Distribution::default()
        });
        row(Detail::Hosts, &place, &cell)
    };
    days.into_iter().map(mark).collect()
}

impl CellRow {
    /// When the day begins on which it does.
    pub(super) fn day_us(&self) -> u64 {
        self.start_us - self.start_us % DAY_US
    }
}

fn row(detail: Detail, place: &Place<'_>, cell: &Cell) -> CellRow {
    let key = &cell.key;
    let (flag_name, flag_value) = code::flag(key.flag.as_ref());
    let instructions = Columns::of(cell.instructions.as_ref());
    let cpu_ns = Columns::of(cell.cpu_ns.as_ref());
    let wall_ns = Columns::of(cell.wall_ns.as_ref());
    let allocated_bytes = Columns::of(cell.allocated_bytes.as_ref());
    CellRow {
        service: place.service.clone().into_owned(),
        detail: detail.number(),
        start_us: key.start_us,
        width_us: key.width_us,
        deploy: place.deploy.clone().into_owned(),
        kind: code::kind(key.kind) as i8,
        endpoint: key.endpoint.clone(),
        cluster: place.cluster.clone().into_owned(),
        instruction_source: code::source(key.instruction_source) as i8,
        age: code::age(key.age) as i8,
        flag_name: flag_name.to_owned(),
        flag_value: flag_value.to_owned(),
        host_group: place.host_group,
        n: cell.n.into(),
        weight: cell.weight.into(),
        errors: cell.errors.into(),
        scaled: cell.scaled.into(),
        unfinished: cell.unfinished.into(),
        instructions_n: instructions.n,
        instructions_sum: instructions.sum,
        instructions_sum_squares: instructions.sum_squares,
        instructions_sum_logs: instructions.sum_logs,
        instructions_sum_squared_logs: instructions.sum_squared_logs,
        instructions_min: instructions.min,
        instructions_max: instructions.max,
        instructions_histogram: instructions.histogram,
        cpu_ns_n: cpu_ns.n,
        cpu_ns_sum: cpu_ns.sum,
        cpu_ns_sum_squares: cpu_ns.sum_squares,
        cpu_ns_sum_logs: cpu_ns.sum_logs,
        cpu_ns_sum_squared_logs: cpu_ns.sum_squared_logs,
        cpu_ns_min: cpu_ns.min,
        cpu_ns_max: cpu_ns.max,
        cpu_ns_histogram: cpu_ns.histogram,
        wall_ns_n: wall_ns.n,
        wall_ns_sum: wall_ns.sum,
        wall_ns_sum_squares: wall_ns.sum_squares,
        wall_ns_sum_logs: wall_ns.sum_logs,
        wall_ns_sum_squared_logs: wall_ns.sum_squared_logs,
        wall_ns_min: wall_ns.min,
        wall_ns_max: wall_ns.max,
        wall_ns_histogram: wall_ns.histogram,
        allocated_bytes_n: allocated_bytes.n,
        allocated_bytes_sum: allocated_bytes.sum,
        allocated_bytes_sum_squares: allocated_bytes.sum_squares,
        allocated_bytes_sum_logs: allocated_bytes.sum_logs,
        allocated_bytes_sum_squared_logs: allocated_bytes.sum_squared_logs,
        allocated_bytes_min: allocated_bytes.min,
        allocated_bytes_max: allocated_bytes.max,
        allocated_bytes_histogram: allocated_bytes.histogram,
    }
}

pub(super) fn placed(row: ToldRow) -> Result<PlacedCell, StoreError> {
    let mut cell = counted!(row);
    cell.instructions = columns!(row: instructions_n, instructions_sum, instructions_sum_squares, instructions_sum_logs,
        instructions_sum_squared_logs, instructions_min, instructions_max, instructions_histogram);
    cell.cpu_ns = columns!(row: cpu_ns_n, cpu_ns_sum, cpu_ns_sum_squares, cpu_ns_sum_logs,
        cpu_ns_sum_squared_logs, cpu_ns_min, cpu_ns_max, cpu_ns_histogram);
    cell.wall_ns = columns!(row: wall_ns_n, wall_ns_sum, wall_ns_sum_squares, wall_ns_sum_logs,
        wall_ns_sum_squared_logs, wall_ns_min, wall_ns_max, wall_ns_histogram);
    cell.allocated_bytes = columns!(row: allocated_bytes_n, allocated_bytes_sum, allocated_bytes_sum_squares, allocated_bytes_sum_logs,
        allocated_bytes_sum_squared_logs, allocated_bytes_min, allocated_bytes_max, allocated_bytes_histogram);
    Ok(PlacedCell {
        deploy: row.deploy,
        cluster: row.cluster,
        host_group: row.host_group,
        cell,
    })
}

pub(super) fn placed_moments(row: MomentsRow) -> Result<PlacedCell, StoreError> {
    let moments = |n: u128, sum, sum_squares, sum_logs, sum_squared_logs| {
        (n > 0).then(|| Distribution {
            n: narrow(n),
            sum: narrow(sum),
            sum_squares: Wide(narrow_wide(sum_squares)),
            sum_logs: narrow(sum_logs),
            sum_squared_logs: Wide(narrow_wide(sum_squared_logs)),
            ..Distribution::default()
        })
    };
    let mut cell = counted!(row);
    cell.instructions = moments(
        row.instructions_n,
        row.instructions_sum,
        row.instructions_sum_squares,
        row.instructions_sum_logs,
        row.instructions_sum_squared_logs,
    );
    cell.cpu_ns = moments(
        row.cpu_ns_n,
        row.cpu_ns_sum,
        row.cpu_ns_sum_squares,
        row.cpu_ns_sum_logs,
        row.cpu_ns_sum_squared_logs,
    );
    Ok(PlacedCell {
        deploy: row.deploy,
        cluster: row.cluster,
        host_group: row.host_group,
        cell,
    })
}

/// The columns of a cell as it is told that are added up.
pub(super) fn sum_columns<R: Row>() -> impl Iterator<Item = &'static str> {
    R::COLUMN_NAMES.iter().copied().skip(KEY_COLUMNS)
}

/// What adds the values of a column up.
pub(super) fn adding(column: &str) -> &'static str {
    match column.rsplit_once('_').map(|(_, last)| last) {
        Some("min") => "min",
        Some("max") => "max",
        Some("histogram") => "sumMap",
        _ => "sum",
    }
}
