//! Questions about services and cells.

use std::collections::BTreeSet;

use appweight::api::ServiceSummary;
use appweight::evidence::PlacedCell;
use appweight_wire::{Cell, CellKey};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::code;
use crate::store::{CellQuery, StoreError, TimeRange};

pub(super) fn services(connection: &Connection) -> Result<Vec<ServiceSummary>, StoreError> {
    let sql = "SELECT n.service, coalesce(s.first_us, n.started_us), coalesce(s.last_us, n.started_us),
            (SELECT id FROM deploys d WHERE d.service = n.service ORDER BY d.started_us DESC, d.deploy_row DESC LIMIT 1)
        FROM (
            SELECT service, 0 AS started_us FROM services
            UNION ALL
            SELECT service, min(started_us) FROM deploys
                WHERE service NOT IN (SELECT service FROM services) GROUP BY service
        ) n LEFT JOIN services s USING (service)
        ORDER BY n.service";
    let mut statement = connection.prepare_cached(sql)?;
    let services = statement.query_map([], |row| {
        Ok(ServiceSummary {
            service: row.get(0)?,
            first_us: code::time_of(row, 1)?,
            last_us: code::time_of(row, 2)?,
            deploy: row.get(3)?,
        })
    })?;
    Ok(services.collect::<Result<_, _>>()?)
}

/// Sets what is wanted of a cell's distributions.
pub(super) type Unpack = fn(&mut Cell, &[u8]) -> Result<(), StoreError>;

pub(super) fn cells(
    connection: &Connection,
    query: &CellQuery,
    unpack: Unpack,
    most: Option<usize>,
) -> Result<Vec<PlacedCell>, StoreError> {
    let most = most.unwrap_or(usize::MAX);
    if !query.deploys.is_empty() {
        return cells_of_deploys(connection, query, unpack, most);
    }
    let sql = "SELECT deploy, cluster, host_group, start_us, width_us, kind, endpoint, instruction_source, age,
            n, weight, errors, scaled, metrics
        FROM cells WHERE service = ?1 AND start_us >= ?2 AND start_us < ?3 AND flag_name = ''
        ORDER BY start_us, width_us, deploy, kind, endpoint, cluster, host_group, instruction_source, age";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(code::in_time(&query.service, query.time))?;
    let mut cells = Vec::new();
    while cells.len() < most
        && let Some(row) = rows.next()?
    {
        cells.push(cell_of(row, unpack)?);
    }
    Ok(cells)
}

/// The cells of one deploy that begin together lie together, in the order that is asked for: the index tells where,
/// and each such place is read as a whole. Row by row from the index each would have to be looked for.
fn cells_of_deploys(
    connection: &Connection,
    query: &CellQuery,
    unpack: Unpack,
    most: usize,
) -> Result<Vec<PlacedCell>, StoreError> {
    let mut next = connection.prepare_cached(
        "SELECT start_us, width_us FROM cells INDEXED BY cells_by_deploy
        WHERE service = ?1 AND deploy = ?2 AND (start_us, width_us) > (?3, ?4) AND start_us < ?5
        ORDER BY start_us, width_us LIMIT 1",
    )?;
    let mut places: BTreeSet<(i64, i64, &str)> = BTreeSet::new();
    for deploy in &query.deploys {
        let mut after = (code::time(query.time.from_us), -1);
        let until_us = code::time(query.time.until_us);
        while let Some(found) = next
            .query_row(
                params![query.service, deploy, after.0, after.1, until_us],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?
        {
            places.insert((found.0, found.1, deploy));
            after = found;
        }
    }
    let mut statement = connection.prepare_cached(
        "SELECT deploy, cluster, host_group, start_us, width_us, kind, endpoint, instruction_source, age,
            n, weight, errors, scaled, metrics
        FROM cells NOT INDEXED
        WHERE service = ?1 AND start_us = ?2 AND width_us = ?3 AND deploy = ?4 AND flag_name = ''
        ORDER BY kind, endpoint, cluster, host_group, instruction_source, age",
    )?;
    let mut cells = Vec::new();
    for (start_us, width_us, deploy) in places {
        let mut rows = statement.query(params![query.service, start_us, width_us, deploy])?;
        while cells.len() < most
            && let Some(row) = rows.next()?
        {
            cells.push(cell_of(row, unpack)?);
        }
    }
    Ok(cells)
}

/// Those kept per flag, which an index of their own finds: most services have none, or few.
pub(super) fn flag_moments(
    connection: &Connection,
    service: &str,
    time: TimeRange,
    most: usize,
) -> Result<Vec<PlacedCell>, StoreError> {
    let sql = "SELECT deploy, cluster, host_group, start_us, width_us, kind, endpoint, instruction_source, age,
            n, weight, errors, scaled, metrics, flag_name, flag_value
        FROM cells INDEXED BY cells_of_flags
        WHERE service = ?1 AND start_us >= ?2 AND start_us < ?3 AND flag_name != ''
        ORDER BY start_us, width_us, deploy, kind, endpoint, cluster, host_group, instruction_source, age, flag_name, flag_value";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(code::in_time(service, time))?;
    let mut cells = Vec::new();
    while cells.len() < most
        && let Some(row) = rows.next()?
    {
        cells.push(flag_cell_of(row, code::unpack_moments)?);
    }
    Ok(cells)
}

/// Every cell of that time, with those per flag.
pub(super) fn every_cell(
    connection: &Connection,
    service: &str,
    time: TimeRange,
) -> Result<Vec<PlacedCell>, StoreError> {
    let sql = "SELECT deploy, cluster, host_group, start_us, width_us, kind, endpoint, instruction_source, age,
            n, weight, errors, scaled, metrics, flag_name, flag_value
        FROM cells WHERE service = ?1 AND start_us >= ?2 AND start_us < ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(code::in_time(service, time))?;
    let mut cells = Vec::new();
    while let Some(row) = rows.next()? {
        cells.push(flag_cell_of(row, code::unpack_metrics)?);
    }
    Ok(cells)
}

/// A cell with its flag, whose columns come last.
fn flag_cell_of(row: &Row<'_>, unpack: Unpack) -> Result<PlacedCell, StoreError> {
    let mut placed = cell_of(row, unpack)?;
    placed.cell.key.flag = code::flag_of(row.get(14)?, row.get(15)?);
    Ok(placed)
}

/// A cell from the columns that [`cells`] asks for, without its flag.
pub(super) fn cell_of(row: &Row<'_>, unpack: Unpack) -> Result<PlacedCell, StoreError> {
    let mut cell = Cell::new(CellKey {
        start_us: code::time_of(row, 3)?,
        width_us: code::time_of(row, 4)?,
        kind: code::kind_of(row.get(5)?)?,
        endpoint: row.get(6)?,
        instruction_source: code::source_of(row.get(7)?)?,
        age: code::age_of(row.get(8)?)?,
        flag: None,
    });
    cell.n = row.get::<_, i64>(9)?.cast_unsigned();
    cell.weight = row.get::<_, i64>(10)?.cast_unsigned();
    cell.errors = row.get::<_, i64>(11)?.cast_unsigned();
    cell.scaled = row.get::<_, i64>(12)?.cast_unsigned();
    let metrics = row.get_ref(13)?.as_blob().map_err(rusqlite::Error::from)?;
    unpack(&mut cell, metrics)?;
    Ok(PlacedCell {
        deploy: row.get(0)?,
        cluster: row.get(1)?,
        host_group: row.get(2)?,
        cell,
    })
}

pub(super) fn cell_span(
    connection: &Connection,
    service: &str,
    deploy: &str,
    time: TimeRange,
) -> Result<Option<TimeRange>, StoreError> {
    let sql = "SELECT min(start_us), max(start_us + width_us) FROM cells
        WHERE service = ?1 AND deploy = ?2 AND start_us >= ?3 AND start_us < ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let (from, until) = statement.query_row(
        params![
            service,
            deploy,
            code::time(time.from_us),
            code::time(time.until_us)
        ],
        |row| Ok((code::maybe_time_of(row, 0)?, code::maybe_time_of(row, 1)?)),
    )?;
    Ok(from
        .zip(until)
        .map(|(from_us, until_us)| TimeRange { from_us, until_us }))
}

pub(super) fn cell_widths(
    connection: &Connection,
    service: &str,
) -> Result<Option<(u64, u64)>, StoreError> {
    let sql = "SELECT min(width_us), max(width_us) FROM
        (SELECT width_us FROM cells WHERE service = ?1 ORDER BY start_us DESC LIMIT 64)";
    let mut statement = connection.prepare_cached(sql)?;
    let (narrowest, widest) = statement.query_row([service], |row| {
        Ok((code::maybe_time_of(row, 0)?, code::maybe_time_of(row, 1)?))
    })?;
    Ok(narrowest.zip(widest))
}
