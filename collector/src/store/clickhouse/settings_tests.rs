//! Settings that are named for a server are known to it: a misspelt one may be passed over, or break a cluster's start alone.

use clickhouse::Client;

use super::connection::{self, BEHIND, PINNED, PINNED_IF_KNOWN, PINNED_ON_A_CLUSTER};
use super::ddl::Ddl;
use super::tests::Place;
use super::{ClickhouseStore, merges};
use crate::store::question;

/// Those of one statement.
const SAID_WITH_A_STATEMENT: [&str; 5] = [
    "insert_deduplication_token",
    "materialize_ttl_after_modify",
    "max_execution_time",
    "max_threads",
    "mutations_sync",
];

async fn is_known(client: &Client, list: &str, name: &str) -> bool {
    let known = format!("SELECT count() FROM system.{list} WHERE name = ? AND NOT is_obsolete");
    let known = client.query(&known).bind(name).fetch_one::<u64>().await;
    known.unwrap() == 1
}

#[tokio::test]
async fn every_setting_that_is_named_is_known() {
    let place = Place::new();
    let client = connection::client(&place.options).with_database("system");
    let pinned = PINNED.iter().chain(&PINNED_ON_A_CLUSTER);
    let pinned = pinned.chain(&PINNED_IF_KNOWN).chain([&BEHIND]);
    let pinned = pinned.map(|(name, _)| *name);
    for name in pinned.chain(SAID_WITH_A_STATEMENT) {
        assert!(is_known(&client, "settings", name).await, "{name}");
    }
    assert!(!is_known(&client, "settings", "insert_quorumm").await);
}

#[tokio::test]
async fn what_is_set_for_a_cluster_is_taken() {
    let place = Place::new();
    let mut options = place.options.clone();
    options.cluster = Some("somewhere".into());
    let client = connection::client(&options).with_database("system");
    let one = client.query("SELECT 1").fetch_one::<u8>().await;
    assert_eq!(one.unwrap(), 1);
    let misspelt = client.with_setting("insert_quorumm", "auto");
    assert!(misspelt.query("SELECT 1").fetch_one::<u8>().await.is_err());
}

#[tokio::test]
async fn every_setting_of_a_table_is_known() {
    let place = Place::new();
    let client = connection::client(&place.options).with_database("system");
    let ddl = Ddl {
        database: "appweight".into(),
        cluster: Some("somewhere".into()),
    };
    let mut named = 0;
    for migration in super::schema::MIGRATIONS {
        for statement in ddl.statements(migration) {
            let Some((_, settings)) = statement.split_once("SETTINGS ") else {
                continue;
            };
            for setting in settings.split(',') {
                let (name, value) = setting.split_once('=').unwrap();
                assert!(value.trim().parse::<u64>().is_ok(), "{setting}");
                let name = name.trim();
                assert!(
                    is_known(&client, "merge_tree_settings", name).await,
                    "{name}"
                );
                named += 1;
            }
        }
    }
    assert!(named > 50, "{named}");
}

#[tokio::test]
async fn what_groups_write_to_is_merged_less_eagerly() {
    let place = Place::new();
    let store = ClickhouseStore::open(&place.options, None).await.unwrap();
    let client = &store.client;
    assert!(is_known(client, "merge_tree_settings", merges::SETTING).await);
    for table in merges::TABLES {
        let set = "SELECT engine_full LIKE concat('%', ?, ' = 10%') FROM system.tables
            WHERE database = currentDatabase() AND name = ?";
        let set = client.query(set).bind(merges::SETTING).bind(table);
        assert!(set.fetch_one::<bool>().await.unwrap(), "{table}");
    }
}

#[tokio::test]
async fn what_nothing_depends_on_is_left_out_where_it_is_refused() {
    let place = Place::new();
    let client = connection::client(&place.options);
    let threads = async |setting| {
        let client = connection::if_allowed(&client, setting).await.unwrap();
        let threads = client.query("SELECT toUInt64(getSetting('max_threads'))");
        threads.fetch_one::<u64>().await.unwrap()
    };
    let own = threads(("max_threadss", "77")).await;
    assert_ne!(own, 77);
    assert_eq!(threads(("max_threads", "77")).await, 77);
    assert_eq!(threads(("max_threads", "many")).await, own);
}

#[tokio::test]
async fn what_nobody_waits_for_comes_behind() {
    let place = Place::new();
    let store = ClickhouseStore::open(&place.options, None).await.unwrap();
    let behind = async || {
        let nice = "SELECT toInt64(getSetting('os_thread_priority'))";
        let nice = store.asking().query(nice).fetch_one::<i64>();
        nice.await.unwrap()
    };
    assert_eq!(question::awaited(behind()).await, 0);
    assert_eq!(behind().await, 10);
}
