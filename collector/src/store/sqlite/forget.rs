use rusqlite::{Connection, TransactionBehavior};

use super::code;
use crate::store::{Forgotten, Horizons, StoreError};

/// Rows of one kind that are deleted at once, so that no batch waits long behind it.
const AT_ONCE: u64 = 10_000;

/// Deletes some of what is older than its horizon; `true` if there may be more.
pub(super) fn forget_some(
    connection: &mut Connection,
    horizons: Horizons,
) -> Result<(Forgotten, bool), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let delete = |sql: &str, horizon_us: u64| {
        let rows = transaction.execute(sql, (code::time(horizon_us), code::count(AT_ONCE)))?;
        Ok::<u64, rusqlite::Error>(rows as u64)
    };
    let requests = delete(
        "DELETE FROM requests WHERE rowid IN (SELECT rowid FROM requests WHERE start_us < ?1 LIMIT ?2)",
        horizons.records_us,
    )?;
    let processes = delete(
        "DELETE FROM processes WHERE rowid IN (SELECT rowid FROM processes WHERE start_us < ?1 LIMIT ?2)",
        horizons.records_us,
    )?;
    let batches = delete(
        "DELETE FROM batches WHERE uuid IN (SELECT uuid FROM batches WHERE received_us < ?1 LIMIT ?2)",
        horizons.batches_us,
    )?;
    transaction.commit()?;
    let records = requests + processes;
    let more = [requests, processes, batches].contains(&AT_ONCE);
    Ok((Forgotten { records, batches }, more))
}
