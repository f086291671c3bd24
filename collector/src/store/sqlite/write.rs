//! A batch, in one transaction.

use appweight_wire::{Batch, Cell, ProcessRecord, RequestRecord, host_group};
use rusqlite::{
    Connection, OptionalExtension, Transaction, TransactionBehavior, named_params, params,
};

use super::{code, deploys, profiles};
use crate::store::{NewBatch, PutOutcome, StoreError};

pub(super) fn put_batch(
    connection: &mut Connection,
    new: &NewBatch,
) -> Result<PutOutcome, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
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
    transaction
        .prepare_cached("INSERT INTO batches (uuid, digest, received_us) VALUES (?1, ?2, ?3)")?
        .execute(params![
            uuid,
            new.digest.as_slice(),
            code::time(new.received_us)
        ])?;
    let batch = &new.batch;
    for cell in &batch.cells {
        add_cell(&transaction, batch, cell)?;
    }
    for request in &batch.requests {
        add_request(&transaction, batch, request)?;
    }
    for process in &batch.processes {
        add_process(&transaction, batch, process)?;
    }
    profiles::add_all(&transaction, batch)?;
    if let Some((first_us, last_us)) = span(batch) {
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
        deploys::see(
            &transaction,
            &batch.origin.service,
            &batch.origin.deploy,
            began_us,
        )?;
    }
    transaction.commit()?;
    Ok(PutOutcome::Stored)
}

/// When the first record of a batch begins and the last one ends.
fn span(batch: &Batch) -> Option<(u64, u64)> {
    let cells = batch
        .cells
        .iter()
        .map(|cell| (cell.key.start_us, cell.key.start_us + cell.key.width_us));
    let processes = batch.processes.iter().map(|process| {
        // A process whose first span is still short began after the span did.
        let end_us = process.start_us + process.width_us;
        (
            end_us - process.width_us.min(process.process_age_us),
            end_us,
        )
    });
    let requests = batch
        .requests
        .iter()
        .map(|request| (request.start_us, request.start_us));
    let profiles = batch
        .profiles
        .iter()
        .map(|profile| (profile.start_us, profile.start_us + profile.width_us));
    cells
        .chain(processes)
        .chain(requests)
        .chain(profiles)
        .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
}

fn add_cell(transaction: &Transaction<'_>, batch: &Batch, cell: &Cell) -> Result<(), StoreError> {
    const FIND: &str = "SELECT n, weight, errors, scaled, metrics FROM cells
        WHERE service = :service AND start_us = :start_us AND width_us = :width_us AND deploy = :deploy
        AND kind = :kind AND endpoint = :endpoint AND cluster = :cluster AND host_group = :host_group
        AND instruction_source = :source AND age = :age AND flag_name = :flag_name AND flag_value = :flag_value";
    const WRITE: &str = "INSERT INTO cells (service, start_us, width_us, deploy, kind, endpoint, cluster, host_group,
            instruction_source, age, flag_name, flag_value, n, weight, errors, scaled, metrics)
        VALUES (:service, :start_us, :width_us, :deploy, :kind, :endpoint, :cluster, :host_group,
            :source, :age, :flag_name, :flag_value, :n, :weight, :errors, :scaled, :metrics)
        ON CONFLICT DO UPDATE SET n = excluded.n, weight = excluded.weight, errors = excluded.errors,
            scaled = excluded.scaled, metrics = excluded.metrics";
    let (origin, key) = (&batch.origin, &cell.key);
    let (flag_name, flag_value) = key
        .flag
        .as_ref()
        .map_or(("", ""), |flag| (flag.name.as_str(), flag.value.as_str()));
    let found = transaction
        .prepare_cached(FIND)?
        .query_row(
            named_params! {
                ":service": origin.service,
                ":start_us": code::time(key.start_us),
                ":width_us": code::time(key.width_us),
                ":deploy": origin.deploy,
                ":kind": code::kind(key.kind),
                ":endpoint": key.endpoint,
                ":cluster": origin.cluster,
                ":host_group": host_group(&origin.host),
                ":source": code::source(key.instruction_source),
                ":age": code::age(key.age),
                ":flag_name": flag_name,
                ":flag_value": flag_value,
            },
            |row| {
                let mut stored = Cell::new(key.clone());
                stored.n = row.get::<_, i64>(0)?.cast_unsigned();
                stored.weight = row.get::<_, i64>(1)?.cast_unsigned();
                stored.errors = row.get::<_, i64>(2)?.cast_unsigned();
                stored.scaled = row.get::<_, i64>(3)?.cast_unsigned();
                Ok((stored, row.get::<_, Vec<u8>>(4)?))
            },
        )
        .optional()?;
    let mut sum = match found {
        Some((mut stored, metrics)) => {
            code::Metrics::unpack_into(&mut stored, &metrics)?;
            stored
        }
        None => Cell::new(key.clone()),
    };
    sum.add(cell);
    transaction.prepare_cached(WRITE)?.execute(named_params! {
        ":service": origin.service,
        ":start_us": code::time(key.start_us),
        ":width_us": code::time(key.width_us),
        ":deploy": origin.deploy,
        ":kind": code::kind(key.kind),
        ":endpoint": key.endpoint,
        ":cluster": origin.cluster,
        ":host_group": host_group(&origin.host),
        ":source": code::source(key.instruction_source),
        ":age": code::age(key.age),
        ":flag_name": flag_name,
        ":flag_value": flag_value,
        ":n": code::count(sum.n),
        ":weight": code::count(sum.weight),
        ":errors": code::count(sum.errors),
        ":scaled": code::count(sum.scaled),
        ":metrics": code::Metrics::pack(&sum),
    })?;
    Ok(())
}

fn add_request(
    transaction: &Transaction<'_>,
    batch: &Batch,
    request: &RequestRecord,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO requests (service, deploy, host, endpoint, start_us, instructions, cpu_ns, record)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    transaction.prepare_cached(sql)?.execute(params![
        batch.origin.service,
        batch.origin.deploy,
        batch.origin.host,
        request.endpoint,
        code::time(request.start_us),
        request.instructions.map(code::time),
        request.cpu_ns.map(code::time),
        code::pack(request),
    ])?;
    Ok(())
}

fn add_process(
    transaction: &Transaction<'_>,
    batch: &Batch,
    process: &ProcessRecord,
) -> Result<(), StoreError> {
    let sql =
        "INSERT INTO processes (service, deploy, host, source, start_us, width_us, age_us, record)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    transaction.prepare_cached(sql)?.execute(params![
        batch.origin.service,
        batch.origin.deploy,
        batch.origin.host,
        batch.source.to_string(),
        code::time(process.start_us),
        code::time(process.width_us),
        code::time(process.process_age_us),
        code::pack(process),
    ])?;
    Ok(())
}
