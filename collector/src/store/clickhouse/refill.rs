//! The cells of a database of before version 7, which held them in one table, brought into those of each detail.
//!
//! It may be cut off anywhere, and two collectors may do it at once: each hour goes into each table under a token of its
//! own, so that it is in once, and the old table is dropped when all are.

use clickhouse::Client;
use clickhouse::query::Query;

use super::cell_rows::{ToldRow, sum_columns};
use super::claims;
use super::ddl::Ddl;
use super::fold::{Detail, Folded, HOUR_US};
use super::ttl;
use crate::store::StoreError;

/// The version that has the tables of each detail.
pub(super) const VERSION: i64 = 7;

/// The table of before.
const OLD: &str = "cells";

/// What else tells a cell from others in both.
const REST: &str =
    "service, deploy, kind, endpoint, cluster, instruction_source, age, flag_name, flag_value";

/// Fills the tables from the old one, if that is there.
pub(super) async fn refill(client: &Client, ddl: &Ddl) -> Result<(), StoreError> {
    let there = "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = ?";
    let there = client.query(there).bind(OLD).fetch_one::<u64>().await?;
    if there == 0 {
        return Ok(());
    }
    close(client, ddl).await?;
    // Folding as it was done before costs more than all of this.
    ttl::forever(client, ddl, OLD).await?;
    let folded = Folded::read(client).await?;
    let hours =
        format!("SELECT DISTINCT intDiv(hour_us, {HOUR_US}) AS hour FROM {OLD} ORDER BY hour");
    let hours = client.query(&hours).fetch_all::<u64>().await?;
    if !hours.is_empty() {
        tracing::info!(
            hours = hours.len(),
            "bringing cells into tables of each detail"
        );
    }
    for (at, hour) in hours.into_iter().enumerate() {
        for detail in Detail::ALL {
            // A cell that begins in this hour begins before its end.
            if (hour + 1) * HOUR_US > folded.stretch(detail).from_us {
                copy_hour(client, detail, hour).await?;
            }
        }
        if (at + 1).is_multiple_of(100) {
            tracing::info!(hours = at + 1, "brought so far");
        }
    }
    for statement in ddl.dropped(OLD) {
        if let Err(error) = client.query(&statement).execute().await {
            tracing::warn!(
                %error,
                "the table {OLD} is not used any more, and could not be dropped: drop it by hand"
            );
        }
    }
    Ok(())
}

/// Lets nobody write to the old table: a collector of an older version is refused from now on, and keeps what it was to
/// write. Of a group that is half-way it could not be told whether its cells are in.
async fn close(client: &Client, ddl: &Ddl) -> Result<(), StoreError> {
    let held = ddl.held(OLD);
    let close = format!("ALTER TABLE {held} ADD CONSTRAINT IF NOT EXISTS closed CHECK 0");
    client.query(&close).execute().await?;
    let Some(collector) = claims::any_open(client).await? else {
        return Ok(());
    };
    let open = format!("ALTER TABLE {held} DROP CONSTRAINT IF EXISTS closed");
    client.query(&open).execute().await?;
    Err(StoreError::Unfinished { collector })
}

/// Adds the cells of an hour to the table of that detail, once.
async fn copy_hour(client: &Client, detail: Detail, hour: u64) -> Result<(), StoreError> {
    let table = detail.table();
    let (start, width, host_group) = match detail {
        Detail::Hosts => ("start_us", "width_us", "host_group"),
        Detail::Minutes => ("minute_us", "minute_width_us", "255"),
        Detail::Hours => ("hour_us", "hour_width_us", "255"),
    };
    let sums = sum_columns::<ToldRow>().collect::<Vec<_>>().join(", ");
    let sql = format!(
        "INSERT INTO {table} (start_us, width_us, host_group, {REST}, {sums})
        SELECT {start}, {width}, {host_group}, {REST}, {sums} FROM {OLD} WHERE hour_us >= {} AND hour_us < {}",
        hour * HOUR_US,
        (hour + 1) * HOUR_US
    );
    let copied = once(client.query(&sql), &format!("{VERSION} {table} {hour}"));
    Ok(copied.execute().await?)
}

/// As one block with that token.
fn once(query: Query, token: &str) -> Query {
    query
        .with_setting("insert_deduplication_token", token)
        .with_setting("max_threads", "1")
        // Rows of one key are added up before they are written.
        .with_setting("optimize_on_insert", "1")
}
