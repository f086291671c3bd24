//! A history read from a file, and written to one, for copies from store to store.

use appweight_wire::ProcessRecord;
use async_trait::async_trait;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::fold::Folded;
use super::{
    SqliteStore, alerts, blocks, cells, code, days, deploys, profiles, read, records, write,
};
use crate::store::cell_sums::CellSums;
use crate::store::copy::{Count, KeptProcess, Known, KnownBatch, Part, Rows, Table, Transfer};
use crate::store::{StoreError, TimeRange};

#[async_trait]
impl Transfer for SqliteStore {
    async fn counts(&self, table: Table) -> Result<Vec<Count>, StoreError> {
        self.read(move |connection| counts(connection, table)).await
    }

    async fn take(&self, part: &Part) -> Result<Rows, StoreError> {
        let part = part.clone();
        self.read(move |connection| take(connection, &part)).await
    }

    async fn give(&self, source: &str, part: &str, rows: Rows) -> Result<(), StoreError> {
        let (source, part) = (source.to_owned(), part.to_owned());
        self.write(move |connection| give(connection, &source, &part, rows))
            .await
    }

    async fn given(&self) -> Result<Vec<(String, String)>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT source, part FROM copies")?;
            let given = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(given.collect::<Result<_, _>>()?)
        })
        .await
    }
}

fn counts(connection: &Connection, table: Table) -> Result<Vec<Count>, StoreError> {
    const HOURS: &str = "SELECT service, '', start_us / 3600000000, count(*) FROM";
    let sql = match table {
        Table::Known => {
            "SELECT '', '', 0, (SELECT count(*) FROM services) + (SELECT count(*) FROM endpoints)
                + (SELECT count(*) FROM deploys) + (SELECT count(*) FROM reports)
                + (SELECT coalesce(sum(version), 0) FROM alerts) + (SELECT count(*) FROM folded)
                + (SELECT count(*) FROM days)"
        }
        .to_owned(),
        Table::Batches => {
            "SELECT '', '', received_us / 3600000000, count(*) FROM batches GROUP BY 3".to_owned()
        }
        Table::Cells => format!("{HOURS} cells GROUP BY 1, 3"),
        // A block is copied whole, by when its first record began.
        Table::Requests => "SELECT service, '', first_us / 3600000000, sum(records) FROM request_blocks GROUP BY 1, 3".to_owned(),
        Table::Processes => format!("{HOURS} processes GROUP BY 1, 3"),
        Table::Profiles => {
            "SELECT service, deploy, 0, count(*) FROM profiles GROUP BY 1, 2".to_owned()
        }
    };
    let mut statement = connection.prepare_cached(&sql)?;
    let counts = statement.query_map([], |row| {
        Ok(Count {
            service: row.get(0)?,
            deploy: row.get(1)?,
            hour: code::time_of(row, 2)?,
            rows: code::time_of(row, 3)?,
        })
    })?;
    Ok(counts.collect::<Result<_, _>>()?)
}

fn take(connection: &Connection, part: &Part) -> Result<Rows, StoreError> {
    let service = part.service.clone();
    Ok(match part.table {
        Table::Known => Rows::Known(known(connection)?),
        Table::Batches => Rows::Batches(batches(connection, part.time)?),
        Table::Cells => {
            let cells = read::every_cell(connection, &service, part.time)?;
            Rows::Cells(service, cells)
        }
        Table::Requests => Rows::Requests(blocks::every_record(connection, &service, part.time)?),
        Table::Processes => Rows::Processes(processes(connection, part)?),
        Table::Profiles => {
            let profiles = profiles::every_part(connection, &service, &part.deploy)?;
            Rows::Profiles(service, part.deploy.clone(), profiles)
        }
    })
}

fn known(connection: &Connection) -> Result<Known, StoreError> {
    let folded = Folded::read(connection)?;
    let mut known = Known {
        minutes_us: folded.minutes_us,
        hours_us: folded.hours_us,
        ..Known::default()
    };
    let mut services = connection.prepare("SELECT service, first_us, last_us FROM services")?;
    let services = services.query_map([], |row| {
        Ok((row.get(0)?, code::time_of(row, 1)?, code::time_of(row, 2)?))
    })?;
    known.services = services.collect::<Result<_, _>>()?;
    let mut endpoints =
        connection.prepare("SELECT service, endpoint, counted_us FROM endpoints")?;
    let endpoints = endpoints.query_map([], |row| {
        Ok((row.get(0)?, row.get(1)?, code::time_of(row, 2)?))
    })?;
    known.endpoints = endpoints.collect::<Result<_, _>>()?;
    known.rollouts = deploys::every_rollout(connection)?;
    known.alerts = alerts::list(connection)?;
    known.days = days::every_one(connection)?;
    Ok(known)
}

fn batches(connection: &Connection, time: TimeRange) -> Result<Vec<KnownBatch>, StoreError> {
    let sql = "SELECT uuid, digest, received_us FROM batches WHERE received_us >= ?1 AND received_us < ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let of = params![code::time(time.from_us), code::time(time.until_us)];
    let mut rows = statement.query(of)?;
    let mut batches = Vec::new();
    while let Some(row) = rows.next()? {
        let (uuid, digest): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
        let broken = |reason: &str| StoreError::Corrupt {
            what: "batch",
            reason: reason.to_owned(),
        };
        batches.push(KnownBatch {
            uuid: uuid::Uuid::from_slice(&uuid).map_err(|_| broken("its id is none"))?,
            digest: (digest.try_into()).map_err(|_| broken("its digest is none"))?,
            received_us: code::time_of(row, 2)?,
        });
    }
    Ok(batches)
}

fn processes(connection: &Connection, part: &Part) -> Result<Vec<KeptProcess>, StoreError> {
    let sql = "SELECT deploy, host, cluster, record, source, clock_ahead_us FROM processes
        WHERE service = ?1 AND start_us >= ?2 AND start_us < ?3 ORDER BY rowid";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(code::in_time(&part.service, part.time))?;
    let mut processes = Vec::new();
    while let Some(row) = rows.next()? {
        let record = row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?;
        let record: ProcessRecord = code::unpack("process record", record)?;
        processes.push(KeptProcess {
            origin: records::origin(row, &part.service)?,
            source: row.get(4)?,
            clock_ahead_us: row.get(5)?,
            record,
        });
    }
    Ok(processes)
}

/// All of a part, and that it is in, or nothing.
fn give(
    connection: &mut Connection,
    source: &str,
    part: &str,
    rows: Rows,
) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let marked = transaction
        .prepare_cached("INSERT OR IGNORE INTO copies (source, part) VALUES (?1, ?2)")?
        .execute(params![source, part])?;
    if marked > 0 {
        add(&transaction, rows)?;
    }
    Ok(transaction.commit()?)
}

fn add(transaction: &Transaction<'_>, rows: Rows) -> Result<(), StoreError> {
    match rows {
        Rows::Mark => {}
        Rows::Known(known) => add_known(transaction, &known)?,
        Rows::Batches(batches) => {
            for batch in &batches {
                write::add_batch(transaction, batch.uuid, &batch.digest, batch.received_us)?;
            }
        }
        Rows::Cells(service, placed) => {
            let sums = CellSums::of_kept(&service, &placed);
            cells::add_all(transaction, &sums)?;
        }
        Rows::Requests(kept) => blocks::add_kept(transaction, kept)?,
        Rows::Processes(processes) => {
            for kept in &processes {
                write::add_process(
                    transaction,
                    &kept.origin,
                    &kept.source,
                    kept.clock_ahead_us,
                    &kept.record,
                )?;
            }
        }
        Rows::Profiles(service, deploy, parts) => {
            for ((of, replicate), part) in parts {
                profiles::add(transaction, (&service, &deploy), &of, replicate, part)?;
            }
        }
    }
    Ok(())
}

fn add_known(transaction: &Transaction<'_>, known: &Known) -> Result<(), StoreError> {
    let mut services = transaction
        .prepare_cached("INSERT INTO services (service, first_us, last_us) VALUES (?1, ?2, ?3)")?;
    for (service, first_us, last_us) in &known.services {
        services.execute(params![
            service,
            code::time(*first_us),
            code::time(*last_us)
        ])?;
    }
    let mut endpoints = transaction.prepare_cached(
        "INSERT INTO endpoints (service, endpoint, counted_us) VALUES (?1, ?2, ?3)",
    )?;
    for (service, endpoint, counted_us) in &known.endpoints {
        endpoints.execute(params![service, endpoint, code::time(*counted_us)])?;
    }
    let folded = Folded {
        minutes_us: known.minutes_us,
        hours_us: known.hours_us,
    };
    folded.write(transaction)?;
    for status in &known.alerts {
        alerts::add(transaction, status)?;
    }
    for day in &known.days {
        days::put(transaction, day)?;
    }
    deploys::add_rollouts(transaction, &known.rollouts)
}
