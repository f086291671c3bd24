use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use crate::sender::cpu_time;
use crate::traffic::{Made, RECORDS};
use crate::{Measured, measure};

/// Batches in a transaction: as many as there are senders.
const TOGETHER: usize = 8;

/// The rows that the collector writes, and nothing round them: no HTTP, no decoding, no checks, no cells that are
/// added up.
pub(crate) struct Floor(Connection);

impl Floor {
    pub(crate) fn open(path: &Path) -> Self {
        let connection = Connection::open(path).expect("a file");
        connection
            .pragma_update(None, "journal_mode", "WAL")
            .expect("a pragma");
        connection
            .pragma_update(None, "synchronous", "FULL")
            .expect("a pragma");
        let schema = include_str!("../../src/store/sqlite/migrations/0001_first.sql");
        connection.execute_batch(schema).expect("the first schema");
        connection.set_prepared_statement_cache_capacity(16);
        Self(connection)
    }

    /// Writes batches. What waits is a transaction.
    pub(crate) fn write(&self, batches: &[Made]) -> Measured {
        let packed: Vec<Packed<'_>> = batches.iter().map(Packed::of).collect();
        assert!(cpu_time() > Duration::ZERO);
        measure(batches.len() * RECORDS, || {
            packed
                .chunks(TOGETHER)
                .map(|group| {
                    let began = Instant::now();
                    let transaction = self.0.unchecked_transaction().expect("a transaction");
                    group.iter().for_each(|batch| batch.write(&transaction));
                    transaction.commit().expect("a commit");
                    began.elapsed()
                })
                .collect()
        })
    }
}

/// A batch with its blobs.
struct Packed<'a> {
    made: &'a Made,
    requests: Vec<Vec<u8>>,
    cells: Vec<Vec<u8>>,
    process: Vec<u8>,
}

impl<'a> Packed<'a> {
    fn of(made: &'a Made) -> Self {
        let batch = &made.batch;
        Self {
            made,
            requests: batch.requests.iter().map(blob).collect(),
            cells: batch
                .cells
                .iter()
                .map(|cell| blob(&(&cell.cpu_ns, &cell.wall_ns)))
                .collect(),
            process: blob(&batch.processes[0]),
        }
    }

    fn write(&self, connection: &Connection) {
        let batch = &self.made.batch;
        let (service, deploy, host) = (
            &batch.origin.service,
            &batch.origin.deploy,
            &batch.origin.host,
        );
        let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
            let mut statement = connection.prepare_cached(sql).expect("a statement");
            statement.execute(values).expect("a row");
        };
        run(
            "INSERT INTO batches VALUES (?1, ?2, 0)",
            params![batch.id().as_bytes().as_slice(), [7_u8; 32].as_slice()],
        );
        for (request, blob) in batch.requests.iter().zip(&self.requests) {
            run(
                "INSERT INTO requests VALUES (?1, ?2, ?3, ?4, ?5, NULL, ?6, ?7)",
                params![
                    service,
                    deploy,
                    host,
                    request.endpoint,
                    request.start_us.cast_signed(),
                    request.cpu_ns.map(u64::cast_signed),
                    blob
                ],
            );
        }
        for (cell, blob) in batch.cells.iter().zip(&self.cells) {
            run(
                "INSERT INTO cells VALUES (?1, ?2, ?3, ?4, 0, ?5, '', ?6, 0, 0, '', '', ?7, ?7, 0, 0, ?8)
                    ON CONFLICT DO UPDATE SET n = excluded.n, metrics = excluded.metrics",
                params![
                    service,
                    cell.key.start_us.cast_signed(),
                    cell.key.width_us.cast_signed(),
                    deploy,
                    cell.key.endpoint,
                    appweight_wire::host_group(host),
                    cell.n.cast_signed(),
                    blob
                ],
            );
        }
        let process = &batch.processes[0];
        run(
            "INSERT INTO processes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                service,
                deploy,
                host,
                batch.source.to_string(),
                process.start_us.cast_signed(),
                process.width_us.cast_signed(),
                process.process_age_us.cast_signed(),
                self.process
            ],
        );
    }
}

/// As the store packs it.
fn blob(value: &impl serde::Serialize) -> Vec<u8> {
    rmp_serde::to_vec_named(value).expect("MessagePack can express it")
}
