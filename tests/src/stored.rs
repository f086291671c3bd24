use std::path::Path;

use appweight_wire::{Age, Cell, CellKey, Flag, InstructionSource, Kind};
use rusqlite::{Connection, OpenFlags, Row};

use crate::collector::Collector;
use crate::contents::Contents;
use crate::program::run;
use crate::wait::eventually;

/// The first byte of a cell's distributions.
const PACKED: u8 = 1;

/// The cells and process records of a service that a store holds: what the API has no whole answer for. Read from the collector's
/// file, or from a copy of its ClickHouse in a file.
pub(crate) fn stored(collector: &Collector, service: &str) -> Contents {
    match collector.store() {
        None => read(&collector.database(), service),
        // A report that is written meanwhile is a change of what is copied.
        Some(address) => eventually("the store is copied", || {
            let folder = tempfile::tempdir().expect("a folder can be made");
            let file = folder.path().join("copy.db");
            let to = format!("sqlite:{}", file.display());
            let copied = run(&["collector", "copy", address, &to]);
            match copied.code {
                0 => Ok(read(&file, service)),
                _ => Err(copied.stderr),
            }
        }),
    }
    .expect("the file can be read")
}

fn read(file: &Path, service: &str) -> rusqlite::Result<Contents> {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut contents = Contents::default();
    let mut cells = connection.prepare(
        "SELECT start_us, width_us, kind, endpoint, instruction_source, age, flag_name, flag_value,
            n, weight, errors, scaled, metrics, deploy FROM cells WHERE service = ?1",
    )?;
    let mut rows = cells.query([service])?;
    while let Some(row) = rows.next()? {
        contents.add_cell(&row.get::<_, String>(13)?, &cell(row)?);
    }
    let mut processes =
        connection.prepare("SELECT deploy, host, record FROM processes WHERE service = ?1")?;
    let mut rows = processes.query([service])?;
    while let Some(row) = rows.next()? {
        let (deploy, host): (String, String) = (row.get(0)?, row.get(1)?);
        let record = rmp_serde::from_slice(row.get_ref(2)?.as_blob()?).expect("a process record");
        contents.add_process(&deploy, &host, record);
    }
    Ok(contents)
}

fn cell(row: &Row<'_>) -> rusqlite::Result<Cell> {
    let count = |column: usize| row.get::<_, i64>(column).map(i64::cast_unsigned);
    let flag = Flag {
        name: row.get(6)?,
        value: row.get(7)?,
    };
    let mut cell = Cell::new(CellKey {
        start_us: count(0)?,
        width_us: count(1)?,
        kind: Kind::ALL[count(2)? as usize],
        endpoint: row.get(3)?,
        instruction_source: InstructionSource::ALL[count(4)? as usize],
        age: [Age::WarmingUp, Age::Warm][count(5)? as usize],
        flag: (!flag.name.is_empty()).then_some(flag),
    });
    (cell.n, cell.weight) = (count(8)?, count(9)?);
    (cell.errors, cell.scaled) = (count(10)?, count(11)?);
    let metrics: Vec<u8> = row.get(12)?;
    let (first, packed) = metrics.split_first().expect("distributions");
    assert_eq!(*first, PACKED);
    cell.unpack_metrics(packed).expect("distributions");
    Ok(cell)
}
