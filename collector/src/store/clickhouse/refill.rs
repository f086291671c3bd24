//! The cells of an older database, brought into the tables of a newer version.
//!
//! It may be cut off anywhere, and two collectors may do it at once: each piece goes in under a token of its own, so that it
//! is in once, and the old tables are dropped when all are.

use clickhouse::Client;
use clickhouse::query::Query;

use super::cell_rows::{ToldRow, sum_columns};
use super::claims;
use super::ddl::Ddl;
use super::fold::{CELLS, DAY_US, Detail, Folded, HOUR_US};
use super::ttl;
use crate::store::StoreError;

/// The version that has a table for each detail, and the one that has one for all of them again.
pub(super) const TABLE_FOR_EACH: i64 = 7;
pub(super) const ONE_TABLE: i64 = 12;

/// The table before these.
const FIRST: &str = "cells";

/// What else tells a cell from others in all of them.
const REST: &str =
    "service, deploy, kind, endpoint, cluster, instruction_source, age, flag_name, flag_value";

/// What is brought from a table into another.
struct Move {
    detail: Detail,
    from: &'static str,
    /// When a row begins that is told by the hour.
    hour: &'static str,
    /// How much of it at once.
    piece_us: u64,
    into: &'static str,
    /// Columns that are not those of the other table, and what they are in it.
    columns: Vec<(&'static str, &'static str)>,
}

/// Fills the tables that a version made from those of the version before, if they are there.
pub(super) async fn refill(client: &Client, ddl: &Ddl, version: i64) -> Result<(), StoreError> {
    let mut moves = match version {
        TABLE_FOR_EACH => Vec::from(Detail::ALL.map(from_first)),
        ONE_TABLE => Vec::from(Detail::ALL.map(into_one)),
        _ => return Ok(()),
    };
    let there = "SELECT name FROM system.tables WHERE database = currentDatabase()";
    let there = client.query(there).fetch_all::<String>().await?;
    moves.retain(|one| there.iter().any(|name| name == one.from));
    let mut old: Vec<&str> = moves.iter().map(|one| one.from).collect();
    old.dedup();
    close(client, ddl, &old).await?;
    let folded = Folded::read(client).await?;
    for one in &moves {
        one.bring(client, folded, version).await?;
    }
    for statement in old.iter().flat_map(|table| ddl.dropped(table)) {
        if let Err(error) = client.query(&statement).execute().await {
            tracing::warn!(
                %error,
                statement,
                "a table that is not used any more could not be dropped: drop it by hand"
            );
        }
    }
    Ok(())
}

fn from_first(detail: Detail) -> Move {
    let (start, width, host_group) = match detail {
        Detail::Hosts => ("start_us", "width_us", "host_group"),
        Detail::Minutes => ("minute_us", "minute_width_us", "255"),
        Detail::Hours => ("hour_us", "hour_width_us", "255"),
    };
    Move {
        detail,
        from: FIRST,
        hour: "hour_us",
        piece_us: HOUR_US,
        into: table_of(detail),
        columns: vec![
            ("start_us", start),
            ("width_us", width),
            ("host_group", host_group),
        ],
    }
}

fn into_one(detail: Detail) -> Move {
    let name = match detail {
        Detail::Hosts => "'hosts'",
        Detail::Minutes => "'minutes'",
        Detail::Hours => "'hours'",
    };
    Move {
        detail,
        from: table_of(detail),
        hour: "start_us",
        piece_us: if detail == Detail::Hosts {
            HOUR_US
        } else {
            DAY_US
        },
        into: CELLS,
        columns: vec![
            ("start_us", "start_us"),
            ("width_us", "width_us"),
            ("host_group", "host_group"),
            ("detail", name),
        ],
    }
}

/// The table that held a detail alone.
fn table_of(detail: Detail) -> &'static str {
    match detail {
        Detail::Hosts => "host_cells",
        Detail::Minutes => "minute_cells",
        Detail::Hours => "hour_cells",
    }
}

/// Lets nobody write to old tables: a collector of an older version is refused from now on, and keeps what it was to
/// write. Of a group that is half-way it could not be told whether its cells are in.
async fn close(client: &Client, ddl: &Ddl, tables: &[&'static str]) -> Result<(), StoreError> {
    if tables.is_empty() {
        return Ok(());
    }
    let alter = async |table: &str, how: &str| {
        let alter = format!("ALTER TABLE {} {how}", ddl.held(table));
        client.query(&alter).execute().await
    };
    for table in tables {
        alter(table, "ADD CONSTRAINT IF NOT EXISTS closed CHECK 0").await?;
        if *table == FIRST {
            // Folding as it was done before costs more than all of this.
            ttl::forever(client, ddl, table).await?;
        }
    }
    let Some(collector) = claims::any_open(client).await? else {
        return Ok(());
    };
    for table in tables {
        alter(table, "DROP CONSTRAINT IF EXISTS closed").await?;
    }
    Err(StoreError::Unfinished { collector })
}

impl Move {
    async fn bring(&self, client: &Client, folded: Folded, version: i64) -> Result<(), StoreError> {
        let pieces = format!(
            "SELECT DISTINCT intDiv({}, {}) AS piece FROM {} ORDER BY piece",
            self.hour, self.piece_us, self.from
        );
        let mut pieces = client.query(&pieces).fetch_all::<u64>().await?;
        // A cell that begins in it begins before its end.
        let told_us = folded.stretch(self.detail).from_us;
        pieces.retain(|piece| (piece + 1) * self.piece_us > told_us);
        let all = pieces.len();
        for (at, piece) in (1..).zip(pieces) {
            self.copy(client, version, piece).await?;
            if at % 100 == 0 || at == all {
                tracing::info!(
                    from = self.from,
                    into = self.into,
                    "brought {at} of {all} pieces over"
                );
            }
        }
        Ok(())
    }

    /// Adds a piece to the other table, once.
    async fn copy(&self, client: &Client, version: i64, piece: u64) -> Result<(), StoreError> {
        let (names, values): (Vec<&str>, Vec<&str>) = self.columns.iter().copied().unzip();
        let sums = sum_columns::<ToldRow>().collect::<Vec<_>>().join(", ");
        let sql = format!(
            "INSERT INTO {} ({}, {REST}, {sums}) SELECT {}, {REST}, {sums} FROM {} WHERE {hour} >= {} AND {hour} < {}",
            self.into,
            names.join(", "),
            values.join(", "),
            self.from,
            piece * self.piece_us,
            (piece + 1) * self.piece_us,
            hour = self.hour,
        );
        let token = format!("{version} {} {piece}", table_of(self.detail));
        Ok(once(client.query(&sql), &token).execute().await?)
    }
}

/// As one block with that token.
fn once(query: Query, token: &str) -> Query {
    query
        .with_setting("insert_deduplication_token", token)
        .with_setting("max_threads", "1")
        // Rows of one key are added up before they are written.
        .with_setting("optimize_on_insert", "1")
}
