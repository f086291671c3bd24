//! The tables, brought up to date by version.

use clickhouse::{Client, Row};
use serde::Deserialize;

use super::connection::insert;
use super::ddl::Ddl;
use super::refill;
use crate::store::StoreError;

/// Each brings the schema from the version before to its own, which is its place in this list.
pub(super) const MIGRATIONS: [&str; 12] = [
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_alerts.sql"),
    include_str!("migrations/0003_copies.sql"),
    include_str!("migrations/0004_timer_costs.sql"),
    include_str!("migrations/0005_days.sql"),
    include_str!("migrations/0006_cells_by_deploy.sql"),
    include_str!("migrations/0007_cells_by_detail.sql"),
    include_str!("migrations/0008_watch.sql"),
    include_str!("migrations/0009_costliest.sql"),
    include_str!("migrations/0010_process_sums.sql"),
    include_str!("migrations/0011_clusters_of_processes.sql"),
    include_str!("migrations/0012_cells_in_one_table.sql"),
];

/// Blocks of which a table remembers that they are in. A group that a dead collector left behind is written
/// again only while so few have come since that its own are among them.
pub(super) const REMEMBERED_BLOCKS: u64 = 100_000;

/// Brings the database to the newest schema. A migration that is cut off is done again from its start: each of its
/// statements can be run twice. Returns the version that was found, 0 for none.
pub(super) async fn migrate(client: &Client, ddl: &Ddl) -> Result<i64, StoreError> {
    let versions = "CREATE TABLE IF NOT EXISTS schema_versions {on_cluster} (version UInt32, applied_us UInt64)
        ENGINE = {replicated}MergeTree ORDER BY version SETTINGS {settings}";
    for statement in ddl.statements(versions) {
        client.query(&statement).execute().await?;
    }
    let found = version(client).await?;
    let known = MIGRATIONS.len() as i64;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for (before, migration) in (0_i64..).zip(MIGRATIONS) {
        if before < found {
            continue;
        }
        for statement in ddl.statements(migration) {
            // What rewrites rows goes on behind: it may wait for merges, longer than any answer may take.
            let changed = client.query(&statement).with_setting("mutations_sync", "0");
            changed.execute().await?;
        }
        refill::refill(client, ddl, before + 1).await?;
        let row = VersionRow {
            version: u32::try_from(before + 1).unwrap_or(u32::MAX),
            applied_us: crate::Clock::system().now_us(),
        };
        insert(client, "schema_versions", None, vec![row]).await?;
    }
    Ok(found)
}

#[derive(Row, serde::Serialize, Deserialize)]
struct VersionRow {
    version: u32,
    applied_us: u64,
}

async fn version(client: &Client) -> Result<i64, StoreError> {
    let newest = client.query("SELECT max(version) FROM schema_versions");
    Ok(i64::from(newest.fetch_one::<u32>().await?))
}
