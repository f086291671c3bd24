//! Keeping no more than was asked for, in steps so short that no batch waits long behind one.

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::{blocks, code, deploys, endpoints, fold};
use crate::store::{Forgotten, Horizons, StoreError};

/// Rows of one kind that are deleted at once.
const AT_ONCE: usize = 2_000;

/// The same for profiles, of which each is up to a few hundred kilobytes.
const PROFILES_AT_ONCE: usize = 50;

/// The same for roll-outs, of whose reports each is some ten kilobytes.
const DEPLOYS_AT_ONCE: usize = 200;

/// Pages that are given back to the disk at once.
const PAGES_AT_ONCE: i64 = 500;

/// Free pages that are kept to be written again, so that a file does not shrink and grow by turns: these,
/// and one in [`FREE_ONE_IN`] of all.
const FREE_PAGES: i64 = 4_096;
const FREE_ONE_IN: i64 = 8;

/// Does the first thing that is to be done. Deletes before it folds: a row that cannot be read, and so not
/// folded, keeps nothing else from being forgotten.
pub(super) fn forget_some(
    connection: &mut Connection,
    horizons: Horizons,
) -> Result<Forgotten, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut forgotten = in_transaction(&transaction, horizons)?;
    transaction.commit()?;
    if !forgotten.more {
        forgotten.bytes = give_back(connection)?;
        forgotten.more = forgotten.bytes > 0;
    }
    Ok(forgotten)
}

fn in_transaction(
    transaction: &Transaction<'_>,
    horizons: Horizons,
) -> Result<Forgotten, StoreError> {
    let mut forgotten = Forgotten::default();
    let delete = |sql: &str, horizon_us: u64, at_once: usize| {
        let mut statement = transaction.prepare_cached(sql)?;
        let rows = statement.execute(params![code::time(horizon_us), at_once as i64])?;
        Ok::<u64, StoreError>(rows as u64)
    };
    let requests = blocks::forget(transaction, horizons.records_us, AT_ONCE)?;
    let processes = delete(
        "DELETE FROM processes WHERE rowid IN (SELECT rowid FROM processes WHERE start_us < ?1 LIMIT ?2)",
        horizons.records_us,
        AT_ONCE.saturating_sub(requests as usize),
    )?;
    forgotten.records = requests + processes;
    if forgotten.records == 0 {
        forgotten.batches = delete(
            "DELETE FROM batches WHERE uuid IN (SELECT uuid FROM batches WHERE received_us < ?1 LIMIT ?2)",
            horizons.batches_us,
            AT_ONCE,
        )?;
    }
    if forgotten.records + forgotten.batches == 0 {
        forgotten.profiles = delete(
            "DELETE FROM profiles WHERE rowid IN (SELECT rowid FROM profiles WHERE until_us < ?1 LIMIT ?2)",
            horizons.profiles_us,
            PROFILES_AT_ONCE,
        )?;
    }
    if forgotten.records + forgotten.batches + forgotten.profiles == 0 {
        forgotten.cells = forget_cells(transaction, horizons.cells_us)?;
        forgotten.days = delete(
            "DELETE FROM days WHERE (service, start_us) IN (SELECT service, start_us FROM days WHERE start_us < ?1 LIMIT ?2)",
            horizons.cells_us,
            AT_ONCE,
        )?;
        forgotten.endpoints = endpoints::forget(transaction, horizons.minutes_us, AT_ONCE)?;
    }
    if forgotten == Forgotten::default() {
        forgotten.deploys = deploys::forget(transaction, horizons.deploys_us, DEPLOYS_AT_ONCE)?;
    }
    if forgotten == Forgotten::default() {
        // Its cells are gone by now: it is by their service that they are found.
        let gone_us = horizons.deploys_us.min(horizons.cells_us);
        forgotten.services = deploys::forget_services(transaction, gone_us)?;
    }
    forgotten.more = forgotten != Forgotten::default();
    if !forgotten.more {
        (forgotten.folded, forgotten.more) = fold::fold_some(transaction, horizons)?;
    }
    Ok(forgotten)
}

fn forget_cells(transaction: &Transaction<'_>, horizon_us: u64) -> Result<u64, StoreError> {
    const FORGET: &str = "DELETE FROM cells WHERE
        (service, start_us, width_us, deploy, kind, endpoint, cluster, host_group,
            instruction_source, age, flag_name, flag_value)
        IN (SELECT service, start_us, width_us, deploy, kind, endpoint, cluster, host_group,
                instruction_source, age, flag_name, flag_value
            FROM cells WHERE service = ?1 AND start_us < ?2 ORDER BY start_us LIMIT ?3)";
    let mut forgotten = 0;
    let mut statement = transaction.prepare_cached(FORGET)?;
    for service in fold::services(transaction)? {
        let room = (AT_ONCE - forgotten) as i64;
        forgotten += statement.execute(params![service, code::time(horizon_us), room])?;
        if forgotten == AT_ONCE {
            break;
        }
    }
    Ok(forgotten as u64)
}

/// Shortens the file if much of it is free. Returns by how many bytes; none where the file was made by a
/// program that did not foresee it.
fn give_back(connection: &Connection) -> Result<u64, StoreError> {
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (free, all) = (number("freelist_count")?, number("page_count")?);
    if free < FREE_PAGES + PAGES_AT_ONCE || free < all / FREE_ONE_IN + PAGES_AT_ONCE {
        return Ok(0);
    }
    let sql = format!("PRAGMA incremental_vacuum({PAGES_AT_ONCE})");
    connection.execute_batch(&sql)?;
    let pages = all.saturating_sub(number("page_count")?);
    Ok(pages.unsigned_abs() * number("page_size")?.unsigned_abs())
}
