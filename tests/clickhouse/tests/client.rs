//! The official client on the engine: what a store in ClickHouse stands on, and what no document promises.
//!
//! Run by `cargo xtask test`, which starts the engine, or with `CLICKHOUSE_URL` on a server.
#![cfg(feature = "engine")]

use clickhouse::types::UInt256;
use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};

/// A client of a database of its own.
async fn client(name: &str) -> Client {
    let url = std::env::var("CLICKHOUSE_URL")
        .expect("CLICKHOUSE_URL names no server: run `cargo xtask test`");
    let client = Client::default()
        .with_url(url)
        .with_setting("async_insert", "0");
    let database = format!("appweight_test_{name}_{}", std::process::id());
    for sql in ["DROP DATABASE IF EXISTS", "CREATE DATABASE"] {
        let sql = format!("{sql} {database}");
        client
            .query(&sql)
            .execute()
            .await
            .expect("ClickHouse does it");
    }
    client.with_database(database)
}

/// One row of each type that a store needs.
#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize)]
struct Sums {
    name: String,
    kind: i8,
    n: u128,
    squares: UInt256,
    least: u64,
    own: i128,
    absent: Option<u64>,
    histogram: Vec<(u16, u128)>,
    #[serde(with = "serde_bytes")]
    record: Vec<u8>,
}

const TABLE: &str = "CREATE TABLE sums (
        name LowCardinality(String),
        kind Enum8('request' = 0, 'task' = 1),
        n SimpleAggregateFunction(sum, UInt128) CODEC(ZSTD(1)),
        squares SimpleAggregateFunction(sum, UInt256) CODEC(ZSTD(1)),
        least SimpleAggregateFunction(min, UInt64),
        own SimpleAggregateFunction(sum, Int128),
        absent SimpleAggregateFunction(any, Nullable(UInt64)),
        histogram SimpleAggregateFunction(sumMap, Map(UInt16, UInt128)),
        record SimpleAggregateFunction(any, String)
    ) ENGINE = AggregatingMergeTree ORDER BY (name, kind)
    SETTINGS non_replicated_deduplication_window = 100, fsync_after_insert = 1, fsync_part_directory = 1";

/// Texts and bytes that would be cut or misread if anything were quoted or split by lines.
fn row(at: u64) -> Sums {
    Sums {
        name: format!("größe '\\ ?\t\n\n日本 {at}"),
        kind: 1,
        n: u128::from(u64::MAX),
        squares: UInt256::from(u64::MAX),
        least: at,
        own: -5,
        absent: at.is_multiple_of(2).then_some(at),
        histogram: vec![(3, u128::from(u64::MAX)), (490, 1)],
        record: vec![0, 0xff, b'\n', b'\n', b'\'', at as u8],
    }
}

async fn insert(client: &Client, token: &str, rows: &[Sums]) {
    let insert = client
        .insert::<Sums>("sums")
        .await
        .expect("ClickHouse does it");
    let mut insert = insert.with_setting("insert_deduplication_token", token);
    for row in rows {
        insert.write(row).await.expect("ClickHouse does it");
    }
    insert.end().await.expect("ClickHouse does it");
}

async fn all(client: &Client) -> Vec<Sums> {
    let sql = "SELECT ?fields FROM sums ORDER BY least";
    client
        .query(sql)
        .fetch_all()
        .await
        .expect("ClickHouse does it")
}

#[tokio::test]
async fn rows_come_back_as_they_went() {
    let client = client("rows").await;
    client.query(TABLE).execute().await.unwrap();
    let rows: Vec<Sums> = (0..10_000).map(row).collect();
    insert(&client, "a", &rows).await;
    assert_eq!(all(&client).await, rows);
    let sql = "SELECT count() FROM sums WHERE name = ?";
    let found = client.query(sql).bind(&rows[7].name);
    assert_eq!(found.fetch_one::<u64>().await.unwrap(), 1);
}

#[tokio::test]
async fn a_block_with_a_known_token_is_left_out_and_sums_never_wrap_round() {
    let client = client("tokens").await;
    client.query(TABLE).execute().await.unwrap();
    for token in ["a", "b", "a", "b"] {
        insert(&client, token, &[row(2)]).await;
    }
    // Another block under a known token is left out too: the token alone tells.
    insert(&client, "a", &[row(4)]).await;
    let merge = "OPTIMIZE TABLE sums FINAL";
    client.query(merge).execute().await.unwrap();
    let twice = 2 * u128::from(u64::MAX);
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&twice.to_le_bytes());
    let sum = Sums {
        n: twice,
        squares: UInt256::from_le_bytes(bytes),
        own: -10,
        histogram: vec![(3, twice), (490, 2)],
        ..row(2)
    };
    assert_eq!(all(&client).await, [sum]);
}

#[tokio::test]
async fn old_rows_are_added_up_by_the_start_of_their_key() {
    let client = client("ttl").await;
    let table = "CREATE TABLE cells (
            hour UInt64, minute UInt64, start UInt64, host UInt8, n SimpleAggregateFunction(sum, UInt128)
        ) ENGINE = AggregatingMergeTree ORDER BY (hour, minute, start, host)
        TTL toDateTime(least(start + 604800, 4294967295)) GROUP BY hour, minute
            SET start = any(minute), host = any(host), n = sum(n),
        toDateTime(least(start + 2592000, 4294967295)) GROUP BY hour
            SET minute = any(hour), start = any(hour), host = any(host), n = sum(n),
        toDateTime(least(start + 5184000, 4294967295)) DELETE";
    client.query(table).execute().await.unwrap();
    // Sixty seconds of two hosts around the turn of a minute: of yesterday, and 10, 40 and 100 days ago.
    let fill = "INSERT INTO cells SELECT start - start % 3600, start - start % 60, start, number % 2, 1 FROM (
            SELECT number, intDiv(toUnixTimestamp(now()) - 86400 * [1, 10, 40, 100][1 + intDiv(number, 120)], 3600) * 3600
                + 1830 + intDiv(number % 120, 2) AS start
            FROM numbers(480)
        )";
    client.query(fill).execute().await.unwrap();
    let merge = "OPTIMIZE TABLE cells FINAL";
    client.query(merge).execute().await.unwrap();
    let rows = "SELECT count(), sum(n) FROM cells GROUP BY hour ORDER BY hour";
    let rows = client.query(rows).fetch_all::<(u64, u128)>();
    assert_eq!(rows.await.unwrap(), [(1, 120), (2, 120), (120, 120)]);
}

#[tokio::test]
async fn what_is_refused_is_told_with_its_number() {
    let client = client("refused").await;
    for (sql, number) in [
        ("SELECT intDiv(1, 0)", "Code: 153."),
        ("SELECT * FROM nowhere", "Code: 60."),
        ("SELECT 1; SELECT 2", "Code: 62."),
        ("1", "Code: 62."),
    ] {
        let refused = client.query(sql).execute().await.unwrap_err().to_string();
        assert!(refused.contains(number), "{sql}: {refused}");
    }
}
