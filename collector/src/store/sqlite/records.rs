//! Questions about process records.

use std::collections::BTreeMap;

use appweight::api::ProcessView;
use appweight::evidence::ProcessPoint;
use appweight_wire::{CounterStatus, ProcessRecord};
use rusqlite::{Connection, params};

use super::code;
use crate::store::{ProcessQuery, StoreError};

pub(super) fn process_points(
    connection: &Connection,
    query: &ProcessQuery,
) -> Result<Vec<ProcessPoint>, StoreError> {
    let sql = "SELECT source, deploy, record FROM processes
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
            row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?,
        )?;
        points.push(ProcessPoint {
            source: row.get(0)?,
            deploy: row.get(1)?,
            start_us: record.start_us,
            width_us: record.width_us,
            age_us: record.process_age_us,
            requests_total: record.requests_total,
            memory_bytes: record.anonymous_bytes.or(record.rss_bytes),
            cpu_ns: record.cpu_ns,
            instructions: record.instructions,
            instructions_absent_because: why_no_instructions(&record.counters),
            active_users: record.active_users,
            endpoints: record.endpoints,
        });
    }
    Ok(points)
}

fn why_no_instructions(counters: &[CounterStatus]) -> Option<String> {
    let instructions = counters
        .iter()
        .find(|counter| counter.name == "instructions")?;
    instructions.absent_because.clone()
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
    let mut views = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let record: ProcessRecord = code::unpack(
            "process record",
            row.get_ref(4)?.as_blob().map_err(rusqlite::Error::from)?,
        )?;
        let (source, host): (String, String) = (row.get(0)?, row.get(1)?);
        let view = ProcessView {
            source: source.clone(),
            host: host.clone(),
            deploy: row.get(2)?,
            last_us: record.start_us + record.width_us,
            age_us: record.process_age_us,
            rss_bytes: record.rss_bytes,
            requests_total: record.requests_total,
            cpu_ns: record.cpu_ns,
            agent_cpu_ns: record.agent_cpu_ns,
            width_us: record.width_us,
            dropped_total: record.dropped_total,
            clock_ahead_us: row.get(5)?,
            counters: record.counters,
        };
        views.insert((host, source), view);
    }
    Ok(views.into_values().collect())
}
