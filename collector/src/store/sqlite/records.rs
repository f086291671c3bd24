//! Questions about process records.

use std::collections::BTreeMap;

use appweight::api::ProcessView;
use appweight::evidence::ProcessPoint;
use appweight_wire::ProcessRecord;
use rusqlite::{Connection, params};

use super::code;
use crate::store::windows::Windows;
use crate::store::{ProcessQuery, StoreError, TimeRange, views};

pub(super) fn process_points(
    connection: &Connection,
    query: &ProcessQuery,
) -> Result<Vec<ProcessPoint>, StoreError> {
    let sql = "SELECT source, host, deploy, record FROM processes
        WHERE service = ?1 AND start_us >= ?2 AND start_us < ?3 AND (?4 IS NULL OR deploy = ?4) AND age_us <= ?5
        ORDER BY start_us, source, rowid";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![
        query.service,
        code::time(query.time.from_us),
        code::time(query.time.until_us),
        query.deploy,
        code::time(query.oldest_us)
    ])?;
    let mut points = Vec::new();
    while let Some(row) = rows.next()? {
        let record: ProcessRecord = code::unpack(
            "process record",
            row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?,
        )?;
        let (source, host) = (row.get(0)?, row.get(1)?);
        points.push(views::process_point(source, host, row.get(2)?, record));
    }
    Ok(points)
}

/// Whatever their order: a window is a sum.
pub(super) fn windows(
    connection: &Connection,
    service: &str,
    time: TimeRange,
    window_us: u64,
) -> Result<Vec<ProcessPoint>, StoreError> {
    let sql =
        "SELECT record FROM processes WHERE service = ?1 AND start_us >= ?2 AND start_us < ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(code::in_time(service, time))?;
    let mut windows = Windows::new(window_us);
    while let Some(row) = rows.next()? {
        windows.add(row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?)?;
    }
    Ok(windows.into_points())
}

pub(super) fn process_views(
    connection: &Connection,
    service: &str,
    since_us: u64,
) -> Result<Vec<ProcessView>, StoreError> {
    // With max() SQLite takes the other columns from the row that has it.
    let sql = "SELECT source, host, deploy, max(start_us), record, clock_ahead_us FROM processes
        WHERE service = ?1 AND start_us >= ?2 GROUP BY source";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![service, code::time(since_us)])?;
    let mut found = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let record: ProcessRecord = code::unpack(
            "process record",
            row.get_ref(4)?.as_blob().map_err(rusqlite::Error::from)?,
        )?;
        let (source, host): (String, String) = (row.get(0)?, row.get(1)?);
        let mut view = views::process_view(source.clone(), host.clone(), row.get(2)?, record);
        view.clock_ahead_us = row.get(5)?;
        found.insert((host, source), view);
    }
    Ok(found.into_values().collect())
}
