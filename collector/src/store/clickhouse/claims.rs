//! Which group brought a batch, and what became of that group.
//!
//! A collector claims the batches of a group before it writes anything of it, and looks whether one of them came before or
//! another has claimed it: of two that claim the same batch at least the one that looks later sees the other. Whoever sees
//! another's claim withdraws its own group and starts again without that batch.

use std::collections::{HashMap, HashSet};

use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::connection::{ids, insert};
use super::journal::Group;
use crate::store::copy::KnownBatch;
use crate::store::{StoreError, TimeRange};

/// Batches that are asked for in one statement: their ids are its text.
const AT_ONCE: usize = 2_000;

#[derive(Row, Serialize, Deserialize)]
struct BatchRow {
    #[serde(with = "clickhouse::serde::uuid")]
    uuid: Uuid,
    digest: [u8; 32],
    #[serde(with = "clickhouse::serde::uuid")]
    group_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    collector: Uuid,
    received_us: u64,
}

#[derive(Row, Serialize, Deserialize)]
struct GroupRow {
    #[serde(with = "clickhouse::serde::uuid")]
    group_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    collector: Uuid,
    state: i8,
    made_us: u64,
}

const WRITTEN: i8 = 1;
const WITHDRAWN: i8 = 2;

/// What is known of a batch that came before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// It is in.
    Written {
        /// The SHA-256 of its body.
        digest: [u8; 32],
    },
    /// A collector claims it and has not said that it is in.
    Open {
        /// Which.
        collector: Uuid,
        /// With which group.
        group: Uuid,
    },
}

/// What is known of batches, but for what the group `but` claims. What is in goes before what is only claimed; of the
/// group `untold` it is known to be in, whatever is said.
pub(super) async fn look(
    client: &Client,
    uuids: &[Uuid],
    but: Option<Uuid>,
    untold: Option<Uuid>,
) -> Result<HashMap<Uuid, Claim>, StoreError> {
    let mut rows = Vec::new();
    for some in uuids.chunks(AT_ONCE) {
        let sql = format!(
            "SELECT ?fields FROM batches WHERE uuid IN {}",
            ids(some.iter().copied())
        );
        rows.extend(client.query(&sql).fetch_all::<BatchRow>().await?);
    }
    rows.retain(|row| Some(row.group_id) != but);
    let groups: HashSet<Uuid> = rows.iter().map(|row| row.group_id).collect();
    let states = states(client, groups.into_iter().collect()).await?;
    let mut claims = HashMap::new();
    for row in rows {
        let is_in = untold == Some(row.group_id);
        match states.get(&row.group_id) {
            Some(&WITHDRAWN) if !is_in => {}
            None if !is_in => {
                let (collector, group) = (row.collector, row.group_id);
                claims
                    .entry(row.uuid)
                    .or_insert(Claim::Open { collector, group });
            }
            _ => {
                let digest = row.digest;
                claims.insert(row.uuid, Claim::Written { digest });
            }
        }
    }
    Ok(claims)
}

async fn states(client: &Client, groups: Vec<Uuid>) -> Result<HashMap<Uuid, i8>, StoreError> {
    let mut states = HashMap::new();
    for some in groups.chunks(AT_ONCE) {
        let sql = format!(
            "SELECT ?fields FROM groups WHERE group_id IN {}",
            ids(some.iter().copied())
        );
        let rows = client.query(&sql).fetch_all::<GroupRow>().await?;
        states.extend(rows.into_iter().map(|row| (row.group_id, row.state)));
    }
    Ok(states)
}

/// Whether it has been said what became of a group.
pub(super) async fn is_settled(client: &Client, group: Uuid) -> Result<bool, StoreError> {
    Ok(!states(client, vec![group]).await?.is_empty())
}

/// A collector that claims batches and has not said what became of them.
pub(super) async fn any_open(client: &Client) -> Result<Option<Uuid>, StoreError> {
    #[derive(Row, Deserialize)]
    struct Found {
        #[serde(with = "clickhouse::serde::uuid")]
        collector: Uuid,
    }
    let sql =
        "SELECT ?fields FROM batches WHERE group_id NOT IN (SELECT group_id FROM groups) LIMIT 1";
    let found = client.query(sql).fetch_optional::<Found>().await?;
    Ok(found.map(|found| found.collector))
}

/// Every batch that is in.
pub(super) const WRITTEN_BATCHES: &str = "SELECT uuid, digest, received_us FROM batches
    WHERE group_id IN (SELECT group_id FROM groups WHERE state = 'written')";

/// Those that came in that time.
pub(super) async fn every_batch(
    client: &Client,
    time: TimeRange,
) -> Result<Vec<KnownBatch>, StoreError> {
    #[derive(Row, Deserialize)]
    struct Found {
        #[serde(with = "clickhouse::serde::uuid")]
        uuid: Uuid,
        digest: [u8; 32],
        received_us: u64,
    }
    let sql = format!(
        "SELECT ?fields FROM ({WRITTEN_BATCHES}) WHERE received_us >= ? AND received_us < ?"
    );
    let found = (client.query(&sql).bind(time.from_us)).bind(time.until_us);
    let found = found.fetch_all::<Found>().await?;
    let batches = found.into_iter().map(|found| KnownBatch {
        uuid: found.uuid,
        digest: found.digest,
        received_us: found.received_us,
    });
    Ok(batches.collect())
}

/// Says that batches are in which another store knew.
pub(super) async fn copied(
    client: &Client,
    token: Option<&str>,
    group_id: Uuid,
    batches: &[KnownBatch],
) -> Result<(), StoreError> {
    let rows = batches.iter().map(|known| BatchRow {
        uuid: known.uuid,
        digest: known.digest,
        group_id,
        collector: Uuid::nil(),
        received_us: known.received_us,
    });
    let newest = batches.iter().map(|known| known.received_us).max();
    let row = GroupRow {
        group_id,
        collector: Uuid::nil(),
        state: WRITTEN,
        // It is forgotten when its last batch is.
        made_us: newest.unwrap_or(0),
    };
    let rows = rows.collect();
    insert(client, "batches", token, rows).await?;
    insert(client, "groups", token, vec![row]).await
}

/// Claims the batches of a group.
pub(super) async fn claim(
    client: &Client,
    collector: Uuid,
    group: &Group,
) -> Result<(), StoreError> {
    let rows = group.batches.iter().map(|new| BatchRow {
        uuid: new.uuid,
        digest: new.digest,
        group_id: group.id,
        collector,
        received_us: new.received_us,
    });
    let rows = rows.collect();
    insert(client, "batches", Some(&group.id.to_string()), rows).await
}

/// Says that all of a group is in.
pub(super) async fn written(
    client: &Client,
    collector: Uuid,
    group_id: Uuid,
    made_us: u64,
) -> Result<(), StoreError> {
    let row = GroupRow {
        group_id,
        collector,
        state: WRITTEN,
        made_us,
    };
    // Said twice it is the same; with a token it might be taken for said when it was not.
    insert(client, "groups", None, vec![row]).await
}

/// Says that nothing of these groups is in, nor ever will be.
pub(super) async fn withdraw(
    client: &Client,
    collector: Uuid,
    groups: &[Uuid],
    now_us: u64,
) -> Result<(), StoreError> {
    let rows = groups.iter().map(|&group_id| GroupRow {
        group_id,
        collector,
        state: WITHDRAWN,
        made_us: now_us,
    });
    insert(client, "groups", None, rows.collect()).await
}

/// The groups that a collector has claimed batches for, and of which it has said nothing since.
pub(super) async fn open_groups(client: &Client, collector: Uuid) -> Result<Vec<Uuid>, StoreError> {
    #[derive(Row, Deserialize)]
    struct Found {
        #[serde(with = "clickhouse::serde::uuid")]
        group_id: Uuid,
    }
    let sql = "SELECT DISTINCT group_id FROM batches
        WHERE collector = ? AND group_id NOT IN (SELECT group_id FROM groups WHERE collector = ?)";
    let collector = collector.to_string();
    let groups = client.query(sql).bind(&collector).bind(&collector);
    let found = groups.fetch_all::<Found>().await?;
    Ok(found.into_iter().map(|found| found.group_id).collect())
}

/// How many groups were written by anybody since one was made.
pub(super) async fn written_since(client: &Client, made_us: u64) -> Result<u64, StoreError> {
    let sql = "SELECT count() FROM groups WHERE made_us > ? AND state = 'written'";
    Ok(client.query(sql).bind(made_us).fetch_one::<u64>().await?)
}
