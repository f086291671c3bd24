//! One way of asking and of inserting for all tables.

use std::time::Duration;

use clickhouse::query::Query;
use clickhouse::{Client, Row, RowOwned, RowRead, RowWrite};
use uuid::Uuid;

use super::{ClickhouseOptions, http};
use crate::store::StoreError;

/// How long ClickHouse may take for one insert.
const INSERT_LIMIT: Duration = Duration::from_secs(60);

/// How long it may take for an answer, s: it then stops by itself.
const ANSWER_LIMIT_S: u64 = 60;

/// On which what is stored depends.
pub(super) const PINNED: [(&str, &str); 8] = [
    // An insert is in when it is answered, and a block with a known token is left out.
    ("async_insert", "0"),
    ("insert_deduplicate", "1"),
    // Rows of one key are added up before they are sent.
    ("optimize_on_insert", "0"),
    // A group is written again as the same blocks: one for each partition.
    ("max_insert_threads", "1"),
    ("max_insert_block_size", "10000000"),
    ("min_insert_block_size_rows", "10000000"),
    ("min_insert_block_size_bytes", "4294967296"),
    // A spool that is drained late may bring many months.
    ("max_partitions_per_insert_block", "0"),
];

/// The same on a cluster: an insert is in when it is on most replicas, of all shards, and is read by whoever asks next.
pub(super) const PINNED_ON_A_CLUSTER: [(&str, &str); 4] = [
    ("insert_quorum", "auto"),
    ("insert_quorum_parallel", "0"),
    ("distributed_foreground_insert", "1"),
    ("select_sequential_consistency", "1"),
];

/// What newer servers heed before `insert_deduplicate`; older ones know no such settings.
pub(super) const PINNED_IF_KNOWN: [(&str, &str); 2] = [
    ("deduplicate_insert", "enable"),
    // By its token: which rows a question brings, and in which order, makes no difference.
    ("deduplicate_insert_select", "enable_even_for_bad_queries"),
];

/// How far the threads step back that work on what nobody waits for who looks at a page. As good as nothing of the CPU would be
/// left to them by 19. Servers without the right to say so (`CAP_SYS_NICE`) pass it over.
pub(super) const BEHIND: (&str, &str) = ("os_thread_priority", "10");

/// A client with every setting pinned that each server knows.
pub(super) fn client(options: &ClickhouseOptions) -> Client {
    let client = http::client(&options.url)
        .with_user(&options.user)
        .with_password(&options.password)
        .with_product_info("appweight", env!("CARGO_PKG_VERSION"))
        .with_setting("max_execution_time", ANSWER_LIMIT_S.to_string());
    let on_a_cluster = (options.cluster.iter()).flat_map(|_| PINNED_ON_A_CLUSTER);
    let pinned = PINNED.into_iter().chain(on_a_cluster);
    pinned.fold(client, |client, (name, value)| {
        client.with_setting(name, value)
    })
}

/// The client with those pinned too that this server knows.
pub(super) async fn pinned(mut client: Client) -> Result<Client, StoreError> {
    for (setting, value) in PINNED_IF_KNOWN {
        let known = "SELECT count() FROM system.settings WHERE name = ?";
        let known = client.query(known).bind(setting).fetch_one::<u64>().await?;
        if known > 0 {
            client = client.with_setting(setting, value);
        }
    }
    Ok(client)
}

/// The client with a setting that nothing depends on: without it where this server does not know it, or lets nobody set it.
pub(super) async fn if_allowed(
    client: &Client,
    (setting, value): (&str, &str),
) -> Result<Client, StoreError> {
    let with_it = client.clone().with_setting(setting, value);
    match with_it.query("SELECT 1").fetch_one::<u8>().await {
        Ok(_) => Ok(with_it),
        Err(clickhouse::error::Error::BadResponse(why)) => {
            tracing::debug!(setting, why, "left out: ClickHouse refuses it");
            Ok(client.clone())
        }
        Err(error) => Err(error.into()),
    }
}

/// For a question that reads little: to share it out among threads takes longer than to answer it.
pub(super) fn alone(query: Query) -> Query {
    query.with_setting("max_threads", "1")
}

/// Inserts rows as one block. With a token, the same block again changes nothing; without one, equal rows are no
/// reason to leave a block out.
pub(super) async fn insert<R>(
    client: &Client,
    table: &str,
    token: Option<&str>,
    rows: Vec<R>,
) -> Result<(), StoreError>
where
    R: for<'a> Row<Value<'a> = R> + RowWrite,
{
    insert_each::<R>(client, table, token, rows).await
}

/// The same of rows that borrow what is in them, and may be made one by one.
pub(super) async fn insert_each<'a, R>(
    client: &Client,
    table: &str,
    token: Option<&str>,
    rows: impl IntoIterator<Item = R::Value<'a>>,
) -> Result<(), StoreError>
where
    R: Row + RowWrite,
{
    let mut rows = rows.into_iter().peekable();
    if rows.peek().is_none() {
        return Ok(());
    }
    let mut insert = client
        .insert::<R>(table)
        .await?
        .with_timeouts(Some(INSERT_LIMIT), Some(INSERT_LIMIT));
    let token = token.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
    insert = insert.with_setting("insert_deduplication_token", token);
    for row in rows {
        insert.write(&row).await?;
    }
    Ok(insert.end().await?)
}

/// Reads an answer row by row, each of which is made into something before the next comes.
pub(super) async fn fetch_each<R, T>(
    asked: Query,
    mut make: impl FnMut(R) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError>
where
    R: RowOwned + RowRead,
{
    let mut rows = asked.fetch::<R>()?;
    let mut all = Vec::new();
    while let Some(row) = rows.next().await? {
        all.push(make(row)?);
    }
    Ok(all)
}

/// Asks whether a record is in, by whose it is, its start, when it arrived and its place among those that arrived then.
pub(super) fn count_at(
    client: &Client,
    table: &str,
    (service, deploy, host): (&str, &str, &str),
    (start_us, arrived_us, position): (u64, u64, u32),
) -> Query {
    let count = format!(
        "SELECT count() FROM {table}
        WHERE service = ? AND start_us = ? AND arrived_us = ? AND position = ? AND deploy = ? AND host = ?"
    );
    let of = client.query(&count).bind(service);
    let at = of.bind(start_us).bind(arrived_us).bind(position);
    at.bind(deploy).bind(host)
}

/// A name for a statement.
pub(super) fn named(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

/// Ids for the right side of an `IN`.
pub(super) fn ids(ids: impl IntoIterator<Item = Uuid>) -> String {
    let ids = ids.into_iter().map(|id| format!("'{id}'"));
    format!("({})", ids.collect::<Vec<_>>().join(", "))
}
