use appweight::drift::Day;
use rusqlite::{Connection, params};

use super::code;
use crate::store::{StoreError, TimeRange, days};

/// Keeps a day, unless it is there.
pub(super) fn put(connection: &Connection, day: &Day) -> Result<(), StoreError> {
    let sql = "INSERT OR IGNORE INTO days (service, start_us, day) VALUES (?1, ?2, ?3)";
    let text = days::pack(day)?;
    let mut statement = connection.prepare_cached(sql)?;
    statement.execute(params![day.service, code::time(day.start_us), text])?;
    Ok(())
}

/// Those of a service that begin in that time, in order.
pub(super) fn list(
    connection: &Connection,
    service: &str,
    time: TimeRange,
) -> Result<Vec<Day>, StoreError> {
    let sql = "SELECT day FROM days WHERE service = ?1 AND start_us >= ?2 AND start_us < ?3 ORDER BY start_us";
    read(connection, sql, code::in_time(service, time))
}

/// Those of all services.
pub(super) fn every_one(connection: &Connection) -> Result<Vec<Day>, StoreError> {
    let sql = "SELECT day FROM days ORDER BY service, start_us";
    read(connection, sql, [])
}

fn read(
    connection: &Connection,
    sql: &str,
    of: impl rusqlite::Params,
) -> Result<Vec<Day>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(of)?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(days::unpack(&row.get::<_, String>(0)?)?);
    }
    Ok(all)
}
