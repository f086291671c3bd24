//! Batches, many in one transaction.

use appweight_wire::{Origin, ProcessRecord};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use uuid::Uuid;

use super::blocks::{self, Packer};
use super::fold::Folded;
use super::{cells, code, deploys, endpoints, profiles};
use crate::store::cell_sums::CellSums;
use crate::store::span::span;
use crate::store::{NewBatch, PutOutcome, StoreError, all_failed};

/// Keeps batches in one transaction. If that cannot be, and one of them may be why, each in its own.
pub(super) fn put_group(
    connection: &mut Connection,
    group: &[NewBatch],
) -> Vec<Result<PutOutcome, StoreError>> {
    match put_together(connection, group) {
        Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
        Err(error) if group.len() > 1 && is_about_one(&error) => group
            .iter()
            .flat_map(|new| put_group(connection, std::slice::from_ref(new)))
            .collect(),
        Err(error) => all_failed(group.len(), error),
    }
}

/// A row that cannot be read stops only those who add to it, and the last room of a disk may be enough
/// for some.
fn is_about_one(error: &StoreError) -> bool {
    match error {
        StoreError::Corrupt { .. } => true,
        StoreError::Database(error) => {
            error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
        }
        _ => false,
    }
}

fn put_together(
    connection: &mut Connection,
    group: &[NewBatch],
) -> Result<Vec<PutOutcome>, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let folded = Folded::read(&transaction)?;
    let mut packer = Packer::new()?;
    let mut sums = CellSums::default();
    let mut counted = endpoints::Counted::default();
    let mut outcomes = Vec::with_capacity(group.len());
    for new in group {
        let outcome = remember(&transaction, new)?;
        if outcome == PutOutcome::Stored {
            sums.add(&new.batch, |key| folded.moved(key));
            counted.add(&new.batch, new.received_us);
            add_records(&transaction, &mut packer, new)?;
        }
        outcomes.push(outcome);
    }
    cells::add_all(&transaction, &sums)?;
    counted.remember(&transaction)?;
    transaction.commit()?;
    Ok(outcomes)
}

/// Writes down the id of a batch, unless it is known.
fn remember(transaction: &Transaction<'_>, new: &NewBatch) -> Result<PutOutcome, StoreError> {
    let uuid = new.uuid.as_bytes().as_slice();
    let known: Option<Vec<u8>> = transaction
        .prepare_cached("SELECT digest FROM batches WHERE uuid = ?1")?
        .query_row([uuid], |row| row.get(0))
        .optional()?;
    if let Some(digest) = known {
        let same = digest == new.digest;
        return Ok(if same {
            PutOutcome::Duplicate
        } else {
            PutOutcome::Conflict
        });
    }
    add_batch(transaction, new.uuid, &new.digest, new.received_us)?;
    Ok(PutOutcome::Stored)
}

pub(super) fn add_batch(
    transaction: &Transaction<'_>,
    uuid: Uuid,
    digest: &[u8; 32],
    received_us: u64,
) -> Result<(), StoreError> {
    transaction
        .prepare_cached("INSERT INTO batches (uuid, digest, received_us) VALUES (?1, ?2, ?3)")?
        .execute(params![
            uuid.as_bytes().as_slice(),
            digest.as_slice(),
            code::time(received_us)
        ])?;
    Ok(())
}

/// All of a batch but its cells.
fn add_records(
    transaction: &Transaction<'_>,
    packer: &mut Packer,
    new: &NewBatch,
) -> Result<(), StoreError> {
    let batch = &new.batch;
    match &new.packed {
        Some(packed) if blocks::is_block(packed) => {
            packer.add_packed(transaction, &batch.origin, packed)?;
        }
        _ => packer.add(transaction, &batch.origin, &batch.requests)?,
    }
    for process in &batch.processes {
        let source = batch.source.to_string();
        add_process(
            transaction,
            &batch.origin,
            &source,
            new.clock_ahead_us,
            process,
        )?;
    }
    profiles::add_all(transaction, batch)?;
    let Some((first_us, last_us)) = span(new) else {
        return Ok(());
    };
    let sql = "INSERT INTO services (service, first_us, last_us) VALUES (?1, ?2, ?3)
        ON CONFLICT (service) DO UPDATE
        SET first_us = min(first_us, excluded.first_us), last_us = max(last_us, excluded.last_us)";
    transaction.prepare_cached(sql)?.execute(params![
        batch.origin.service,
        code::time(first_us),
        code::time(last_us)
    ])?;
    // A clock that is ahead must not put a roll-out behind all those to come.
    let began_us = first_us.min(new.received_us);
    let origin = &batch.origin;
    deploys::see(transaction, &origin.service, &origin.deploy, began_us)
}

pub(super) fn add_process(
    transaction: &Transaction<'_>,
    origin: &Origin,
    source: &str,
    clock_ahead_us: Option<i64>,
    process: &ProcessRecord,
) -> Result<(), StoreError> {
    let sql =
        "INSERT INTO processes (service, deploy, host, source, start_us, width_us, age_us, record, clock_ahead_us,
        cluster) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    transaction.prepare_cached(sql)?.execute(params![
        origin.service,
        origin.deploy,
        origin.host,
        source,
        code::time(process.start_us),
        code::time(process.width_us),
        code::time(process.process_age_us),
        code::pack(process),
        clock_ahead_us,
        origin.cluster,
    ])?;
    Ok(())
}
