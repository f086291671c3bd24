//! Who judges roll-outs: a lease, by versions, as alerts are.

use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ddl::Ddl;
use super::missing::insert_first;
use crate::store::StoreError;

/// Rows of renewals that are kept, and after how many of them older ones are deleted.
const KEPT: u64 = 1_000;

#[derive(Debug, Clone, Copy, Row, Serialize, Deserialize)]
struct LeaseRow {
    version: u64,
    #[serde(with = "clickhouse::serde::uuid")]
    holder: Uuid,
    until_us: u64,
}

/// Takes or renews the lease. `false` if another holds it.
pub(super) async fn hold(
    client: &Client,
    ddl: &Ddl,
    holder: Uuid,
    (now_us, until_us): (u64, u64),
) -> Result<bool, StoreError> {
    let newest = newest(client).await?;
    if newest.is_some_and(|row| row.holder != holder && row.until_us > now_us) {
        return Ok(false);
    }
    let version = newest.map_or(1, |row| row.version + 1);
    let row = LeaseRow {
        version,
        holder,
        until_us,
    };
    // The same for all who write that version: the first of them is in.
    let token = format!("watch {version}");
    let whose = "SELECT toString(holder) FROM watch_lease WHERE version = ?";
    let whose = client.query(whose).bind(version);
    let first = insert_first(client, "watch_lease", &token, &[row], whose).await?;
    if version.is_multiple_of(KEPT) {
        let sql = format!("DELETE FROM {} WHERE version < ?", ddl.held("watch_lease"));
        let old = client.query(&sql).bind(version - KEPT);
        old.execute().await?;
    }
    Ok(first == holder.to_string())
}

/// Ends it now, if this one holds it.
pub(super) async fn let_go(
    client: &Client,
    ddl: &Ddl,
    holder: Uuid,
    now_us: u64,
) -> Result<(), StoreError> {
    let newest = newest(client).await?;
    if newest.is_some_and(|row| row.holder == holder && row.until_us > now_us) {
        hold(client, ddl, holder, (now_us, now_us)).await?;
    }
    Ok(())
}

async fn newest(client: &Client) -> Result<Option<LeaseRow>, StoreError> {
    let newest = client.query("SELECT ?fields FROM watch_lease ORDER BY version DESC LIMIT 1");
    Ok(newest.fetch_optional::<LeaseRow>().await?)
}
