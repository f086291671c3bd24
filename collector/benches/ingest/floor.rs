use std::path::Path;
use std::time::Instant;

use appweight_wire::pack_requests;
use rusqlite::{Connection, params};

use crate::traffic::{Made, RECORDS};
use crate::{Measured, measure};

/// Batches in a transaction: as many as there are senders.
const TOGETHER: usize = 8;

/// The rows and blocks that the collector writes, and nothing round them: no HTTP, no decoding, no checks, no cells that
/// are added up.
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
        for schema in [
            include_str!("../../src/store/sqlite/migrations/0001_first.sql"),
            include_str!("../../src/store/sqlite/migrations/0005_request_blocks.sql"),
        ] {
            connection.execute_batch(schema).expect("the schema");
        }
        connection.set_prepared_statement_cache_capacity(16);
        Self(connection)
    }

    /// Writes batches that were made into rows and blocks beforehand. What waits is a transaction.
    pub(crate) fn write(&self, batches: &[Made]) -> Measured {
        let packed: Vec<Packed<'_>> = batches.iter().map(Packed::of).collect();
        self.measure(batches.len(), packed.chunks(TOGETHER), |group| {
            group.iter().for_each(|batch| batch.write(&self.0));
        })
    }

    /// Writes batches, and makes their rows and blocks: records packed and compressed, cells encoded.
    pub(crate) fn make_and_write(&self, batches: &[Made]) -> Measured {
        self.measure(batches.len(), batches.chunks(TOGETHER), |group| {
            group
                .iter()
                .for_each(|made| Packed::of(made).write(&self.0));
        })
    }

    fn measure<G>(
        &self,
        batches: usize,
        groups: impl Iterator<Item = G>,
        write: impl Fn(G),
    ) -> Measured {
        measure(batches * RECORDS, || {
            groups
                .map(|group| {
                    let began = Instant::now();
                    let transaction = self.0.unchecked_transaction().expect("a transaction");
                    write(group);
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
    block: Vec<u8>,
    cells: Vec<Vec<u8>>,
    process: Vec<u8>,
}

impl<'a> Packed<'a> {
    fn of(made: &'a Made) -> Self {
        let batch = &made.batch;
        Self {
            made,
            block: zstd::bulk::compress(&pack_requests(&batch.requests), 1)
                .expect("it can be compressed"),
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
        let starts = batch.requests.iter().map(|request| request.start_us);
        run(
            "INSERT INTO request_blocks VALUES (NULL, ?1, ?2, ?3, ?4, ?5, NULL, ?6, ?7, ?8)",
            params![
                service,
                deploy,
                host,
                starts.clone().min().unwrap_or(0).cast_signed(),
                starts.max().unwrap_or(0).cast_signed(),
                batch
                    .requests
                    .iter()
                    .filter_map(|request| request.cpu_ns)
                    .max()
                    .map(u64::cast_signed),
                batch.requests.len() as i64,
                self.block
            ],
        );
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
