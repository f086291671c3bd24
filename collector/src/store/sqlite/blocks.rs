//! Request records: those of a batch together in blocks, packed by columns and compressed.
//!
//! A row of its own for each record, with its indexes, took ten times the room and most of the time that a batch
//! took. A question opens the blocks that may hold an answer, the most promising first, and stops when none that
//! is left can do better than what it has.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use appweight::api::RequestView;
use appweight_wire::{Origin, PackedRequests, RequestRecord, pack_requests, unpack_requests};
use rusqlite::{Connection, Transaction, params};
use zstd::bulk::Compressor;

use super::code;
use crate::store::copy::KeptRequest;
use crate::store::{RequestOrder, RequestQuery, StoreError, TimeRange};

/// Records of a block: enough that they compress well, few enough that one is found quickly among them.
const RECORDS: usize = 1_000;

/// Texts of a block's records. With each as long as a name may be, they are as few as can be unpacked again.
const TEXTS: usize = 50_000;

/// zstd's fastest: names are packed once already.
const LEVEL: i32 = 1;

/// Makes blocks of records. What zstd needs to work is kept from one to the next.
pub(super) struct Packer(Compressor<'static>);

impl Packer {
    pub(super) fn new() -> Result<Self, StoreError> {
        let compressor = Compressor::new(LEVEL).map_err(|error| unreadable(&error.to_string()))?;
        Ok(Self(compressor))
    }

    /// Adds the records of a batch.
    pub(super) fn add(
        &mut self,
        transaction: &Transaction<'_>,
        origin: &Origin,
        records: &[RequestRecord],
    ) -> Result<(), StoreError> {
        let mut rest = records;
        while !rest.is_empty() {
            let (block, behind) = rest.split_at(fitting(rest));
            rest = behind;
            self.add_block(transaction, origin, About::of(block), &pack_requests(block))?;
        }
        Ok(())
    }

    /// Adds records that are packed already and [a block](is_block).
    pub(super) fn add_packed(
        &mut self,
        transaction: &Transaction<'_>,
        origin: &Origin,
        packed: &PackedRequests,
    ) -> Result<(), StoreError> {
        let (first_us, last_us) = packed.span_us();
        let about = About {
            records: packed.len(),
            first_us,
            last_us,
            cost: packed.costliest(),
        };
        self.add_block(transaction, origin, about, packed.as_bytes())
    }

    fn add_block(
        &mut self,
        transaction: &Transaction<'_>,
        origin: &Origin,
        about: About,
        packed: &[u8],
    ) -> Result<(), StoreError> {
        const ADD: &str = "INSERT INTO request_blocks
                (service, deploy, host, first_us, last_us, instructions, cpu_ns, records, packed)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        transaction.prepare_cached(ADD)?.execute(params![
            origin.service,
            origin.deploy,
            origin.host,
            code::time(about.first_us),
            code::time(about.last_us),
            about.cost.0.map(code::time),
            about.cost.1.map(code::time),
            about.records as i64,
            self.compress(packed)?,
        ])?;
        Ok(())
    }

    fn compress(&mut self, packed: &[u8]) -> Result<Vec<u8>, StoreError> {
        let compressed = self.0.compress(packed);
        compressed.map_err(|error| unreadable(&error.to_string()))
    }
}

/// Adds records that came before, in the order in which they did.
pub(super) fn add_kept(
    transaction: &Transaction<'_>,
    kept: Vec<KeptRequest>,
) -> Result<(), StoreError> {
    let mut packer = Packer::new()?;
    let (mut origin, mut records) = (Origin::default(), Vec::new());
    for kept in kept {
        if kept.origin != origin {
            packer.add(transaction, &origin, &records)?;
            records.clear();
            origin = kept.origin;
        }
        records.push(kept.record);
    }
    packer.add(transaction, &origin, &records)
}

/// The records of blocks whose first one began in that time, in the order in which they came.
pub(super) fn every_record(
    connection: &Connection,
    service: &str,
    time: TimeRange,
) -> Result<Vec<KeptRequest>, StoreError> {
    let sql = "SELECT block, deploy, host, packed FROM request_blocks
        WHERE service = ?1 AND first_us >= ?2 AND first_us < ?3 ORDER BY block";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(code::in_time(service, time))?;
    let mut kept = Vec::new();
    while let Some(row) = rows.next()? {
        let origin = Origin {
            service: service.to_owned(),
            deploy: row.get(1)?,
            host: row.get(2)?,
            ..Origin::default()
        };
        let packed = row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?;
        for record in unpack(packed)? {
            kept.push(KeptRequest {
                arrived: code::time_of(row, 0)?,
                origin: origin.clone(),
                record,
            });
        }
    }
    Ok(kept)
}

/// Whether these go into one block as they are, their costliest told as columns can tell it.
pub(super) fn is_block(packed: &PackedRequests) -> bool {
    let (instructions, _) = packed.costliest();
    packed.len() <= RECORDS
        && packed.texts() <= TEXTS
        && instructions.is_none_or(|most| i64::try_from(most).is_ok())
}

/// How many of these records go into one block: one at least.
fn fitting(records: &[RequestRecord]) -> usize {
    let mut texts = 0;
    let too_many = records.iter().take(RECORDS).position(|record| {
        texts += 2 + record.downstream.len() + 2 * record.flags.len();
        texts > TEXTS
    });
    too_many.unwrap_or(records.len().min(RECORDS)).max(1)
}

/// Instructions and CPU time, by which requests are dear: what is absent is below all else.
type Cost = (Option<u64>, Option<u64>);

fn cost(record: &RequestRecord) -> Cost {
    // As they are written in columns.
    let written = |value: u64| code::time(value).unsigned_abs();
    (record.instructions.map(written), record.cpu_ns.map(written))
}

/// What stands beside a block.
struct About {
    records: usize,
    first_us: u64,
    last_us: u64,
    /// That of the costliest.
    cost: Cost,
}

impl About {
    fn of(records: &[RequestRecord]) -> Self {
        let mut about = Self {
            records: records.len(),
            first_us: u64::MAX,
            last_us: 0,
            cost: (None, None),
        };
        for record in records {
            about.first_us = about.first_us.min(record.start_us);
            about.last_us = about.last_us.max(record.start_us);
            about.cost = about.cost.max(cost(record));
        }
        about
    }
}

fn unpack(block: &[u8]) -> Result<Vec<RequestRecord>, StoreError> {
    let packed = zstd::decode_all(block).map_err(|error| unreadable(&error.to_string()))?;
    unpack_requests(&packed).map_err(|error| unreadable(&error.to_string()))
}

fn unreadable(reason: &str) -> StoreError {
    StoreError::Corrupt {
        what: "block of request records",
        reason: reason.to_owned(),
    }
}

/// Where a record comes in an order: the highest first. Behind what it is ordered by comes what tells equal ones
/// apart: the block and the place in it, so that pages neither repeat nor leave out any.
type Rank = (Cost, u64, i64, usize);

/// A record that may be an answer.
struct Found {
    rank: Rank,
    view: RequestView,
}

impl PartialEq for Found {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Found {}

impl PartialOrd for Found {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Found {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank.cmp(&other.rank)
    }
}

/// The records that a question is about.
pub(super) fn requests(
    connection: &Connection,
    query: &RequestQuery,
) -> Result<Vec<RequestView>, StoreError> {
    let order = match query.order {
        RequestOrder::Cost => "instructions DESC NULLS LAST, cpu_ns DESC NULLS LAST, last_us DESC",
        RequestOrder::Time => "last_us DESC",
    };
    // Without the blocks themselves, which would all be sorted.
    let sql = format!(
        "SELECT block, host, deploy, last_us, instructions, cpu_ns FROM request_blocks
        WHERE service = ?1 AND last_us >= ?2 AND first_us < ?3 AND (?4 IS NULL OR deploy = ?4)
        ORDER BY {order}"
    );
    let mut blocks = connection.prepare_cached(&sql)?;
    let mut open =
        connection.prepare_cached("SELECT packed FROM request_blocks WHERE block = ?1")?;
    let mut rows = blocks.query(params![
        query.service,
        code::time(query.time.from_us),
        code::time(query.time.until_us),
        query.deploy,
    ])?;
    let wanted = query.skip as usize + query.limit as usize;
    // The lowest on top.
    let mut best: BinaryHeap<Reverse<Found>> = BinaryHeap::new();
    while let Some(row) = rows.next()? {
        let number: i64 = row.get(0)?;
        let highest = match query.order {
            RequestOrder::Cost => (
                (code::maybe_time_of(row, 4)?, code::maybe_time_of(row, 5)?),
                u64::MAX,
            ),
            RequestOrder::Time => ((None, None), code::time_of(row, 3)?),
        };
        let beaten = |Reverse(lowest): &Reverse<Found>| highest < (lowest.rank.0, lowest.rank.1);
        if best.len() >= wanted && best.peek().is_none_or(beaten) {
            break;
        }
        let (host, deploy): (String, String) = (row.get(1)?, row.get(2)?);
        let packed: Vec<u8> = open.query_row([number], |row| row.get(0))?;
        for (at, request) in unpack(&packed)?.into_iter().enumerate() {
            let asked_for = (query.time.from_us..query.time.until_us).contains(&request.start_us)
                && query
                    .endpoint
                    .as_ref()
                    .is_none_or(|endpoint| *endpoint == request.endpoint);
            if !asked_for {
                continue;
            }
            let cost = match query.order {
                RequestOrder::Cost => cost(&request),
                RequestOrder::Time => (None, None),
            };
            let rank = (cost, request.start_us, number, at);
            if best.len() >= wanted && best.peek().is_none_or(|Reverse(lowest)| rank < lowest.rank)
            {
                continue;
            }
            let (host, deploy) = (host.clone(), deploy.clone());
            let view = RequestView {
                host,
                deploy,
                request,
            };
            best.push(Reverse(Found { rank, view }));
            if best.len() > wanted {
                best.pop();
            }
        }
    }
    let found = best.into_sorted_vec().into_iter();
    Ok(found
        .skip(query.skip as usize)
        .map(|Reverse(found)| found.view)
        .collect())
}

/// Forgets records that began before, up to a number of them or one block. Returns how many.
pub(super) fn forget(
    transaction: &Transaction<'_>,
    horizon_us: u64,
    at_once: usize,
) -> Result<u64, StoreError> {
    const FIND: &str =
        "SELECT block, last_us, records FROM request_blocks WHERE first_us < ?1 ORDER BY first_us";
    let mut found: Vec<(i64, bool)> = Vec::new();
    let mut room = at_once as u64;
    let mut statement = transaction.prepare_cached(FIND)?;
    let mut rows = statement.query([code::time(horizon_us)])?;
    while let Some(row) = rows.next()? {
        let records: u64 = code::time_of(row, 2)?;
        if records > room && !found.is_empty() {
            break;
        }
        room = room.saturating_sub(records);
        found.push((row.get(0)?, code::time_of(row, 1)? < horizon_us));
    }
    drop(rows);
    let mut forgotten = 0;
    for (block, whole) in found {
        forgotten += if whole {
            delete(transaction, block)?
        } else {
            shorten(transaction, block, horizon_us)?
        };
    }
    Ok(forgotten)
}

fn delete(transaction: &Transaction<'_>, block: i64) -> Result<u64, StoreError> {
    let sql = "DELETE FROM request_blocks WHERE block = ?1 RETURNING records";
    let mut statement = transaction.prepare_cached(sql)?;
    Ok(statement.query_row([block], |row| code::time_of(row, 0))?)
}

/// Leaves what did not begin before.
fn shorten(transaction: &Transaction<'_>, block: i64, horizon_us: u64) -> Result<u64, StoreError> {
    const WRITE: &str = "UPDATE request_blocks
        SET first_us = ?2, last_us = ?3, instructions = ?4, cpu_ns = ?5, records = ?6, packed = ?7 WHERE block = ?1";
    let packed: Vec<u8> = transaction
        .prepare_cached("SELECT packed FROM request_blocks WHERE block = ?1")?
        .query_row([block], |row| row.get(0))?;
    let mut records = unpack(&packed)?;
    let before = records.len();
    records.retain(|record| record.start_us >= horizon_us);
    let about = About::of(&records);
    transaction.prepare_cached(WRITE)?.execute(params![
        block,
        code::time(about.first_us),
        code::time(about.last_us),
        about.cost.0.map(code::time),
        about.cost.1.map(code::time),
        records.len() as i64,
        Packer::new()?.compress(&pack_requests(&records))?,
    ])?;
    Ok((before - records.len()) as u64)
}

/// Moves the records of a file that has a row for each.
pub(super) fn take_over(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    let mut statement = transaction.prepare(
        "SELECT service, deploy, host, record FROM requests ORDER BY service, deploy, host, start_us / 60000000, rowid",
    )?;
    let mut rows = statement.query([])?;
    let mut packer = Packer::new()?;
    let (mut origin, mut records) = (Origin::default(), Vec::new());
    while let Some(row) = rows.next()? {
        let of = Origin {
            service: row.get(0)?,
            deploy: row.get(1)?,
            host: row.get(2)?,
            ..Origin::default()
        };
        if of != origin || records.len() >= RECORDS {
            packer.add(transaction, &origin, &records)?;
            records.clear();
            origin = of;
        }
        let record = row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?;
        records.push(code::unpack("request record", record)?);
    }
    packer.add(transaction, &origin, &records)?;
    drop(rows);
    drop(statement);
    transaction.execute_batch("DROP TABLE requests")?;
    Ok(())
}

#[cfg(test)]
mod tests;
