//! How eagerly ClickHouse merges what groups bring.
//!
//! A group is a part in each of these tables, several in a second. By its own measure ClickHouse merges six such parts at
//! once, and what comes of it four times more: most of what it does while batches come in.

use clickhouse::Client;

use super::ddl::Ddl;
use super::fold::CELLS;
use crate::store::StoreError;

/// The tables that each group writes to.
pub(super) const TABLES: [&str; 8] = [
    CELLS,
    "requests",
    "costliest",
    "processes",
    "profiles",
    "profile_nodes",
    "batches",
    "groups",
];

/// How many times as large as the largest of them several parts are to be together. ClickHouse's own is 5: ten leaves some
/// ten parts to be read where there were five, and half of the merges.
pub(super) const SETTING: &str = "merge_selector_base";
const BASE: u8 = 10;

/// Sets it where it is not set, if this server knows it.
pub(super) async fn set(client: &Client, ddl: &Ddl) -> Result<(), StoreError> {
    let known = "SELECT count() FROM system.merge_tree_settings WHERE name = ?";
    let known = client.query(known).bind(SETTING).fetch_one::<u64>().await?;
    if known == 0 {
        return Ok(());
    }
    let without = "SELECT name FROM system.tables WHERE database = currentDatabase() AND position(engine_full, ?) = 0";
    let without = client.query(without).bind(format!("{SETTING} = {BASE}"));
    let without = without.fetch_all::<String>().await?;
    for table in TABLES {
        if without.contains(&ddl.local(table)) {
            client.query(&statement(ddl, table)).execute().await?;
        }
    }
    Ok(())
}

pub(super) fn statement(ddl: &Ddl, table: &str) -> String {
    let everywhere = ddl.everywhere(table);
    format!("ALTER TABLE {everywhere} MODIFY SETTING {SETTING} = {BASE}")
}
