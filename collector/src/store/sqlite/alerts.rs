use rusqlite::{Connection, params};

use super::code;
use crate::store::{AlertStatus, StoreError};

/// Keeps a status if it is the next version of what is kept.
pub(super) fn put(connection: &Connection, status: &AlertStatus) -> Result<bool, StoreError> {
    if status.version == 1 {
        return add(connection, status);
    }
    let sql = "UPDATE alerts SET version = ?4, status = ?5
        WHERE service = ?1 AND deploy = ?2 AND started_us = ?3 AND version = ?4 - 1";
    write(connection, sql, status)
}

/// Keeps a status of any version if there is none yet.
pub(super) fn add(connection: &Connection, status: &AlertStatus) -> Result<bool, StoreError> {
    let sql = "INSERT OR IGNORE INTO alerts (service, deploy, started_us, version, status) VALUES (?1, ?2, ?3, ?4, ?5)";
    write(connection, sql, status)
}

fn write(connection: &Connection, sql: &str, status: &AlertStatus) -> Result<bool, StoreError> {
    let json = serde_json::to_string(status).map_err(|error| unreadable(&error))?;
    let changed = connection.prepare_cached(sql)?.execute(params![
        status.service,
        status.deploy,
        code::time(status.started_us),
        code::time(status.version),
        json
    ])?;
    Ok(changed > 0)
}

pub(super) fn list(connection: &Connection) -> Result<Vec<AlertStatus>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT status FROM alerts")?;
    let mut rows = statement.query([])?;
    let mut statuses = Vec::new();
    while let Some(row) = rows.next()? {
        let json: String = row.get(0)?;
        statuses.push(serde_json::from_str(&json).map_err(|error| unreadable(&error))?);
    }
    Ok(statuses)
}

fn unreadable(error: &serde_json::Error) -> StoreError {
    StoreError::Corrupt {
        what: "status of an alert",
        reason: error.to_string(),
    }
}
