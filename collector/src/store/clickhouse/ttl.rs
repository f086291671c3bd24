//! Records, which ClickHouse forgets by itself when it merges.

use std::time::Duration;

use clickhouse::Client;

use super::ddl::Ddl;
use crate::store::StoreError;

/// They go so much later than they are forgotten.
const LATER: Duration = Duration::from_secs(3_600);

/// Sets how long they are kept. What is stored is not rewritten for it, but when it is merged the next time.
pub(super) async fn set(client: &Client, ddl: &Ddl, kept: Duration) -> Result<(), StoreError> {
    for table in ["requests", "costliest", "processes"] {
        modify(client, &statement(ddl, table, kept)).await?;
    }
    Ok(())
}

/// Lets a table keep what it has, as long as ClickHouse's times go.
pub(super) async fn forever(client: &Client, ddl: &Ddl, table: &str) -> Result<(), StoreError> {
    modify(client, &statement(ddl, table, Duration::MAX)).await
}

async fn modify(client: &Client, statement: &str) -> Result<(), StoreError> {
    let set = (client.query(statement)).with_setting("materialize_ttl_after_modify", "0");
    Ok(set.execute().await?)
}

/// When that long is over since, and a little longer; the last moment that ClickHouse's times have if that is after it.
pub(super) fn statement(ddl: &Ddl, table: &str, kept: Duration) -> String {
    let seconds = kept
        .saturating_add(LATER)
        .as_secs()
        .min(u64::from(u32::MAX));
    format!(
        "ALTER TABLE {} MODIFY TTL toDateTime(least(intDiv(start_us, 1000000) + {seconds}, {})) DELETE",
        ddl.held(table),
        u32::MAX
    )
}
