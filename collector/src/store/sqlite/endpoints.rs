//! Which endpoints a service was counted by lately.

use std::collections::BTreeMap;

use appweight_wire::Batch;
use rusqlite::{Connection, Transaction, params};

use super::code;
use crate::store::StoreError;

/// When one was counted last is written down to a day: not at each batch.
const PRECISION_US: u64 = 86_400_000_000;

/// Those of many batches, with the service and the day on which they were counted.
#[derive(Default)]
pub(super) struct Counted<'a>(BTreeMap<(&'a str, &'a str), u64>);

impl<'a> Counted<'a> {
    /// Adds those of a batch that came then.
    pub(super) fn add(&mut self, batch: &'a Batch, now_us: u64) {
        let cells = batch.cells.iter().map(|cell| &cell.key.endpoint);
        let profiles = batch.profiles.iter().map(|profile| &profile.endpoint);
        let day_us = now_us - now_us % PRECISION_US;
        for name in cells.chain(profiles) {
            let counted_us = self.0.entry((&batch.origin.service, name)).or_default();
            *counted_us = day_us.max(*counted_us);
        }
    }

    /// Writes them down.
    pub(super) fn remember(self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        let sql = "INSERT INTO endpoints (service, endpoint, counted_us) VALUES (?1, ?2, ?3)
            ON CONFLICT (service, endpoint) DO UPDATE SET counted_us = excluded.counted_us
            WHERE counted_us < excluded.counted_us";
        let mut statement = transaction.prepare_cached(sql)?;
        for ((service, name), day_us) in self.0 {
            statement.execute(params![service, name, code::time(day_us)])?;
        }
        Ok(())
    }
}

/// The newest.
pub(super) fn list(
    connection: &Connection,
    service: &str,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT endpoint FROM endpoints WHERE service = ?1
        ORDER BY counted_us DESC, endpoint LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let names = statement.query_map(params![service, limit], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

/// Forgets those that were not counted since. Returns how many.
pub(super) fn forget(
    transaction: &Transaction<'_>,
    horizon_us: u64,
    at_once: usize,
) -> Result<u64, StoreError> {
    let sql = "DELETE FROM endpoints WHERE (service, endpoint) IN
        (SELECT service, endpoint FROM endpoints WHERE counted_us < ?1 LIMIT ?2)";
    // Whatever was counted on the day of the horizon may have been after it.
    let day_us = horizon_us - horizon_us % PRECISION_US;
    let mut statement = transaction.prepare_cached(sql)?;
    let rows = statement.execute(params![code::time(day_us), at_once as i64])?;
    Ok(rows as u64)
}
