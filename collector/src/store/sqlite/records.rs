//! Questions about process records.

use std::collections::BTreeMap;

use appweight::api::ProcessView;
use appweight::evidence::ProcessPoint;
use appweight_wire::{Origin, ProcessRecord};
use rusqlite::{Connection, Row, params};

use super::code;
use crate::store::windows::Windows;
use crate::store::{ProcessQuery, StoreError, TimeRange, views};

/// Whose a process record is, of a row that begins with its deploy, host and cluster.
pub(super) fn origin(row: &Row<'_>, service: &str) -> rusqlite::Result<Origin> {
    Ok(Origin {
        service: service.to_owned(),
        deploy: row.get(0)?,
        host: row.get(1)?,
        cluster: row.get(2)?,
        ..Origin::default()
    })
}

pub(super) fn process_points(
    connection: &Connection,
    query: &ProcessQuery,
) -> Result<Vec<ProcessPoint>, StoreError> {
    let sql = "SELECT deploy, host, cluster, record, source FROM processes
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
        let origin = origin(row, &query.service)?;
        points.push(views::process_point(row.get(4)?, origin, record));
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
    let sql =
        "SELECT deploy, host, cluster, record, source, clock_ahead_us, max(start_us) FROM processes
        WHERE service = ?1 AND start_us >= ?2 GROUP BY source";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![service, code::time(since_us)])?;
    let mut found = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let record: ProcessRecord = code::unpack(
            "process record",
            row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?,
        )?;
        let mut view = views::process_view(row.get(4)?, origin(row, service)?, record);
        view.clock_ahead_us = row.get(5)?;
        found.insert((view.host.clone(), view.source.clone()), view);
    }
    Ok(found.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::schema;
    use crate::testing::{NOON, process};

    #[test]
    fn records_of_older_files_have_no_cluster() {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::up_to(&mut connection, 9);
        let add = "INSERT INTO processes (service, deploy, host, source, start_us, width_us, age_us, record)
            VALUES ('photo', 'a', 'web-1', '1', ?1, 1, 1, ?2)";
        let values = params![code::time(NOON), code::pack(&process(NOON, 1))];
        connection.execute(add, values).unwrap();
        schema::migrate(&mut connection).unwrap();
        let query = ProcessQuery::all("photo", TimeRange::ALL);
        let points = process_points(&connection, &query).unwrap();
        assert_eq!((&*points[0].host, &*points[0].cluster), ("web-1", ""));
    }
}
