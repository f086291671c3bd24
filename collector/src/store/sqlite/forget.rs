use rusqlite::{Connection, TransactionBehavior};

use super::code;
use crate::store::{Forgotten, Horizons, StoreError};

/// Rows of one kind that are deleted at once, so that no batch waits long behind it.
const AT_ONCE: u64 = 10_000;

/// The same for profiles, of which each is up to a few hundred kilobytes.
const PROFILES_AT_ONCE: u64 = 200;

/// Deletes some of what is older than its horizon; `true` if there may be more.
pub(super) fn forget_some(
    connection: &mut Connection,
    horizons: Horizons,
) -> Result<(Forgotten, bool), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let delete = |sql: &str, horizon_us: u64, at_once: u64| {
        let rows = transaction.execute(sql, (code::time(horizon_us), code::count(at_once)))?;
        Ok::<u64, rusqlite::Error>(rows as u64)
    };
    let requests = delete(
        "DELETE FROM requests WHERE rowid IN (SELECT rowid FROM requests WHERE start_us < ?1 LIMIT ?2)",
        horizons.records_us,
        AT_ONCE,
    )?;
    let processes = delete(
        "DELETE FROM processes WHERE rowid IN (SELECT rowid FROM processes WHERE start_us < ?1 LIMIT ?2)",
        horizons.records_us,
        AT_ONCE,
    )?;
    let batches = delete(
        "DELETE FROM batches WHERE uuid IN (SELECT uuid FROM batches WHERE received_us < ?1 LIMIT ?2)",
        horizons.batches_us,
        AT_ONCE,
    )?;
    let profiles = delete(
        "DELETE FROM profiles WHERE rowid IN (SELECT rowid FROM profiles WHERE until_us < ?1 LIMIT ?2)",
        horizons.profiles_us,
        PROFILES_AT_ONCE,
    )?;
    transaction.commit()?;
    let records = requests + processes;
    let more = [requests, processes, batches].contains(&AT_ONCE) || profiles == PROFILES_AT_ONCE;
    let forgotten = Forgotten {
        records,
        batches,
        profiles,
    };
    Ok((forgotten, more))
}
