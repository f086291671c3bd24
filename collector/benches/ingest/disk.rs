use std::path::Path;

#[cfg(feature = "clickhouse")]
use appweight_collector::ClickhouseOptions;
use rusqlite::Connection;

use crate::say;

/// Tells what request records and cells take on the disk, each with its indexes.
pub(crate) fn tell(path: &Path) {
    let database = Connection::open(path).expect("a store");
    let number = |sql: &str| {
        let found = database.query_row(sql, [], |row| row.get::<_, i64>(0));
        u64::try_from(found.expect("a number")).expect("it counts")
    };
    for (what, table, count) in [
        ("request record", "request_blocks", "sum(records)"),
        ("cell", "cells", "count(*)"),
        ("process record", "processes", "count(*)"),
    ] {
        let rows = number(&format!("SELECT coalesce({count}, 0) FROM {table}"));
        let bytes = number(&format!(
            "SELECT coalesce(sum(pgsize), 0) FROM dbstat WHERE aggregate = 1 AND name IN
                (SELECT name FROM sqlite_schema WHERE tbl_name = '{table}')"
        ));
        line(what, rows, bytes);
    }
}

/// The same of ClickHouse, merged to the end. Cells are there in each detail for seven days: each is told apart.
#[cfg(feature = "clickhouse")]
pub(crate) async fn tell_of_clickhouse(at: &ClickhouseOptions) {
    let client = clickhouse::Client::default();
    let client = client.with_url(&at.url).with_user(&at.user);
    let client = client
        .with_password(&at.password)
        .with_database(&at.database);
    let run = async |sql: String| {
        let done = client.query(&sql).execute().await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    };
    let tell = async |what: &str, table: &str| {
        run(format!("OPTIMIZE TABLE {table} FINAL")).await;
        let sizes = client.query(
            "SELECT sum(rows), sum(bytes_on_disk) FROM system.parts
            WHERE database = currentDatabase() AND table = ? AND active",
        );
        let (rows, bytes) = sizes.bind(table).fetch_one().await.expect("sizes");
        line(what, rows, bytes);
    };
    for detail in ["hosts", "minutes", "hours"] {
        let table = format!("only_{detail}");
        run(format!("CREATE TABLE {table} AS cells_by_detail")).await;
        run(format!(
            "INSERT INTO {table} SELECT * FROM cells_by_detail WHERE detail = '{detail}'"
        ))
        .await;
        tell(&format!("cell by {detail}"), &table).await;
        run(format!("DROP TABLE {table}")).await;
    }
    tell("request record", "requests").await;
    tell("costliest request record", "costliest").await;
    tell("process record", "processes").await;
}

fn line(what: &str, rows: u64, bytes: u64) {
    say(&format!(
        "{rows} of a {what}: {bytes} bytes, {:.1} each with indexes",
        bytes as f64 / rows.max(1) as f64
    ));
}
