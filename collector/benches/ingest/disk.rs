use std::path::Path;

use rusqlite::Connection;

use crate::say;

/// Tells what request records and cells take on the disk, each with its indexes.
pub(crate) fn tell(path: &Path) {
    let database = Connection::open(path).expect("a store");
    let number = |sql: &str| {
        let found = database.query_row(sql, [], |row| row.get::<_, i64>(0));
        found.expect("a number")
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
        say(&format!(
            "{rows} of a {what}: {:.1} bytes each with indexes",
            bytes as f64 / rows.max(1) as f64
        ));
    }
}
