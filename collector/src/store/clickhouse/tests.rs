use std::path::Path;
use std::time::Duration;

use appweight_wire::{PackedRequests, pack_requests};
use uuid::Uuid;

use super::connection::named;
use super::fold::CELLS;
use super::journal::Group;
use super::*;
use crate::store::{RequestOrder, SqliteStore, suite};
use crate::testing::{NOON, SECOND, batch, cell, left_out, process, profile, request};

/// A database of its own on the server of the tests, and a journal. Both go with it.
pub(super) struct Place {
    pub(super) options: ClickhouseOptions,
    folder: tempfile::TempDir,
}

impl Place {
    pub(super) fn new() -> Self {
        let url = std::env::var("CLICKHOUSE_URL").expect(
            "CLICKHOUSE_URL names no server: run `cargo xtask test`, which starts ClickHouse's engine",
        );
        Self::at(&url)
    }

    fn at(url: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = url.replacen("http://", "clickhouse://", 1);
        let options = ClickhouseOptions {
            database: format!("appweight_test_{}", Uuid::new_v4().simple()),
            journal: folder.path().join("journal"),
            ..address.parse().unwrap()
        };
        Self { options, folder }
    }

    /// The same database for another collector.
    pub(super) fn another_journal(&self, name: &str) -> ClickhouseOptions {
        ClickhouseOptions {
            journal: self.folder.path().join(name),
            ..self.options.clone()
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let options = self.options.clone();
        // A test that failed tells more than a database that stayed.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let drop = format!("DROP DATABASE IF EXISTS {}", named(&options.database));
            let client = connection::client(&options);
            runtime.map(|runtime| runtime.block_on(client.query(&drop).execute()))
        });
        let _ = dropped.join();
    }
}

async fn open() -> (ClickhouseStore, Place) {
    let place = Place::new();
    (
        ClickhouseStore::open(&place.options, None).await.unwrap(),
        place,
    )
}

suite::store_suite!(open().await);

#[tokio::test]
async fn one_of_two_collectors_has_the_watch() {
    let (first, place) = open().await;
    let second = ClickhouseStore::open(&place.another_journal("second"), None).await;
    suite::one_of_two_has_the_watch(first, second.unwrap()).await;
}

#[test]
fn any_order_with_duplicates_gives_the_same_cells() {
    suite::hold(6, suite::deliveries(), async |(batches, order)| {
        let ((plain, _a), (shuffled, _b)) = (open().await, open().await);
        suite::delivered_in_any_order(&plain, &shuffled, &batches, &order).await;
    });
}

#[test]
fn sums_outlive_folding() {
    suite::hold(6, suite::events(), async |events| {
        let (store, _place) = open().await;
        suite::sums_outlive_folding(&store, &events).await;
    });
}

#[test]
fn both_stores_answer_the_same() {
    let drawn = (suite::deeds(), suite::questions());
    suite::hold(8, drawn, async |(deeds, questions)| {
        let (clickhouse, _place) = open().await;
        let folder = tempfile::tempdir().unwrap();
        let sqlite = SqliteStore::open(&folder.path().join("test.db")).unwrap();
        suite::both_answer_the_same(&sqlite, &clickhouse, &deeds, &questions).await;
    });
}

/// A batch with something of everything, all of it the sequence number's.
pub(super) fn full(source: u128, sequence: u64) -> NewBatch {
    let mut batch = batch(source, sequence, "a");
    let value = 1_000 + sequence;
    batch.cells = vec![
        cell(NOON, &[value]),
        cell(NOON + sequence * SECOND, &[value]),
    ];
    batch.requests = vec![request(NOON, value)];
    batch.processes = vec![process(NOON + sequence * SECOND, 3)];
    batch.profiles = vec![profile(NOON, &[("feed", value as i64)])];
    // Some come packed, and some do not.
    let packed = sequence
        .is_multiple_of(2)
        .then(|| PackedRequests::check(pack_requests(&batch.requests)).unwrap());
    NewBatch {
        packed,
        ..suite::new(batch)
    }
}

/// What a store says of everything: equal exactly if everything was counted once.
pub(super) async fn account(store: &ClickhouseStore) -> String {
    // Each order is a table's.
    let requests = [(RequestOrder::Cost, 1_000), (RequestOrder::Time, 100_000)];
    let requests = requests.map(|(order, limit)| async move {
        let query = RequestQuery {
            service: "photo".into(),
            endpoint: None,
            deploy: None,
            time: TimeRange::ALL,
            order,
            skip: 0,
            limit,
        };
        store.requests(query).await.unwrap()
    });
    let [costliest, newest] = requests;
    let requests = [costliest.await, newest.await];
    let processes = store
        .process_points(ProcessQuery::all("photo", TimeRange::ALL))
        .await
        .unwrap();
    let cells = suite::all_cells(store).await;
    let profiles = suite::all_profiles(store).await;
    format!("{requests:?} {} {cells:?} {profiles:?}", processes.len())
}

/// Sends a group to a collector that may end in the middle. Whether it did.
fn cut_off(options: &ClickhouseOptions, group: Vec<NewBatch>, patience: Duration) -> bool {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let answered = runtime.block_on(async {
        let store = reopen(options).await;
        tokio::time::timeout(patience, store.put_batches(group)).await
    });
    // All that is being done ends where it is.
    runtime.shutdown_background();
    for outcome in answered.iter().flatten() {
        assert!(outcome.is_ok(), "{outcome:?}");
    }
    answered.is_err()
}

#[test]
fn a_collector_that_is_cut_off_anywhere_counts_everything_once() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ((whole, _a), cut) = (runtime.block_on(open()), Place::new());
    let batches: Vec<NewBatch> = (0..40).map(|at| full(at % 3, at as u64)).collect();
    let mut random = fastrand::Rng::with_seed(7);
    let mut times = 0;
    for some in batches.chunks(4) {
        for outcome in runtime.block_on(whole.put_batches(some.to_vec())) {
            assert_eq!(outcome.unwrap(), PutOutcome::Stored);
        }
        // Each group is sent until it is acknowledged.
        let mut longest = 40;
        while cut_off(
            &cut.options,
            some.to_vec(),
            Duration::from_millis(random.u64(1..longest)),
        ) {
            (times, longest) = (times + 1, longest * 5 / 4);
        }
    }
    assert!(times > 5, "cut off only {times} times");
    let store = runtime.block_on(reopen(&cut.options));
    assert_eq!(
        runtime.block_on(account(&store)),
        runtime.block_on(account(&whole))
    );
}

/// Opens it again: what was cut off may still hold the journal while it writes a file.
pub(super) async fn reopen(options: &ClickhouseOptions) -> ClickhouseStore {
    loop {
        match ClickhouseStore::open(options, None).await {
            Err(StoreError::JournalInUse(_)) => tokio::time::sleep(Duration::from_millis(1)).await,
            opened => return opened.unwrap(),
        }
    }
}

/// ClickHouse's engine in a process of its own, so that a test can kill it. None where the tests run on a server.
struct Own {
    front: std::process::Child,
    port: u16,
}

impl Own {
    fn start(data: &Path, port: u16) -> Option<Self> {
        use std::io::BufRead;
        let library = std::env::var_os("APPWEIGHT_TEST_CHDB")?;
        let front = std::env::var_os("APPWEIGHT_TEST_CLICKHOUSE_FRONT")?;
        let mut front = std::process::Command::new(front)
            .arg("--library")
            .arg(library)
            .arg("--data")
            .arg(data)
            .args(["--listen", &format!("127.0.0.1:{port}"), "--with-parent"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let stdout = front.stdout.take().unwrap();
        std::io::BufReader::new(stdout)
            .read_line(&mut said)
            .unwrap();
        let port = said.trim().rsplit(':').next().unwrap().parse().unwrap();
        Some(Self { front, port })
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.front.kill().unwrap();
        self.front.wait().unwrap();
    }
}

#[tokio::test]
async fn an_engine_that_is_killed_anywhere_counts_everything_once() {
    let data = tempfile::tempdir().unwrap();
    let Some(mut own) = Own::start(data.path(), 0) else {
        assert!(std::env::var_os("CLICKHOUSE_URL").is_some());
        left_out("somebody's server is not to be killed");
        return;
    };
    let port = own.port;
    let (whole, _a) = open().await;
    let cut = Place::at(&format!("http://127.0.0.1:{port}"));
    let store = ClickhouseStore::open(&cut.options, None).await.unwrap();
    let batches: Vec<NewBatch> = (0..24).map(|at| full(at % 3, at as u64)).collect();
    let mut random = fastrand::Rng::with_seed(11);
    let mut failed = 0;
    for some in batches.chunks(3) {
        for outcome in whole.put_batches(some.to_vec()).await {
            assert_eq!(outcome.unwrap(), PutOutcome::Stored);
        }
        let (patience, writing) = (Duration::from_millis(random.u64(1..80)), store.clone());
        let group = some.to_vec();
        let put = tokio::spawn(async move { writing.put_batches(group).await });
        tokio::time::sleep(patience).await;
        drop(own);
        let outcomes = put.await.unwrap();
        failed += outcomes.iter().filter(|outcome| outcome.is_err()).count();
        own = Own::start(data.path(), port).unwrap();
        // Whoever was not answered sends it again, to the same collector.
        for outcome in store.put_batches(some.to_vec()).await {
            outcome.unwrap();
        }
    }
    assert!(failed > 3, "only {failed} batches were cut off");
    assert_eq!(account(&store).await, account(&whole).await);
}

#[tokio::test]
async fn two_collectors_that_are_sent_the_same_count_it_once() {
    let ((whole, _a), place) = (open().await, Place::new());
    let one = ClickhouseStore::open(&place.options, None).await.unwrap();
    let other = ClickhouseStore::open(&place.another_journal("other"), None)
        .await
        .unwrap();
    let batches: Vec<NewBatch> = (0..30).map(|at| full(at % 3, at as u64)).collect();
    let mut random = fastrand::Rng::with_seed(3);
    let (mut yielded, mut stored) = (0, 0);
    for some in batches.chunks(3) {
        for outcome in whole.put_batches(some.to_vec()).await {
            assert_eq!(outcome.unwrap(), PutOutcome::Stored);
        }
        let mut waiting = true;
        while waiting {
            waiting = false;
            let late = async |store: &ClickhouseStore, micros| {
                tokio::time::sleep(Duration::from_micros(micros)).await;
                store.put_batches(some.to_vec()).await
            };
            let (first, second) = (random.u64(0..3_000), random.u64(0..3_000));
            let (first, second) = tokio::join!(late(&one, first), late(&other, second));
            for outcome in first.into_iter().chain(second) {
                match outcome {
                    Ok(PutOutcome::Stored) => stored += 1,
                    Ok(outcome) => assert_eq!(outcome, PutOutcome::Duplicate),
                    Err(StoreError::Elsewhere { .. }) => {
                        (waiting, yielded) = (true, yielded + 1);
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }
    assert_eq!(stored, batches.len());
    assert!(yielded > 0, "they never met");
    assert_eq!(account(&one).await, account(&whole).await);
}

#[tokio::test]
async fn a_claim_that_comes_when_its_process_is_dead_holds_no_batch_up() {
    let (store, _place) = open().await;
    let own = store.writer.lock().await.journal.collector;
    let group = Group {
        id: Uuid::new_v4(),
        made_us: NOON,
        batches: vec![full(1, 0)],
        marked: true,
    };
    claims::claim(&store.client, own, &group).await.unwrap();
    let put = store.put_batch(full(1, 0)).await;
    assert_eq!(put.unwrap(), PutOutcome::Stored);
    let again = store.put_batch(full(1, 0)).await;
    assert_eq!(again.unwrap(), PutOutcome::Duplicate);
}

#[tokio::test]
async fn two_processes_cannot_have_one_journal() {
    let (_store, place) = open().await;
    let second = ClickhouseStore::open(&place.options, None).await;
    assert!(matches!(second.err(), Some(StoreError::JournalInUse(_))));
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let (store, place) = open().await;
    let newer = "INSERT INTO schema_versions VALUES (99, 0)";
    store.client.query(newer).execute().await.unwrap();
    let opened = ClickhouseStore::open(&place.another_journal("other"), None).await;
    assert!(matches!(
        opened.err(),
        Some(StoreError::Newer {
            found: 99,
            known: Tables::KNOWN
        })
    ));
}

#[tokio::test]
async fn what_is_said_to_a_cluster_can_be_parsed() {
    let (store, _place) = open().await;
    let ddl = Ddl {
        database: "it's".into(),
        cluster: Some("a `cluster`".into()),
    };
    let migrations = schema::MIGRATIONS.iter();
    let mut all: Vec<String> = migrations.flat_map(|one| ddl.statements(one)).collect();
    all.push(ddl.make_database());
    all.push(ttl::statement(
        &ddl,
        "requests",
        Duration::from_secs(86_400),
    ));
    all.extend(ddl.dropped("cells"));
    for change in [
        "DELETE IN PARTITION ID '20261130' WHERE n = 0",
        "ADD CONSTRAINT IF NOT EXISTS closed CHECK 0",
        "DROP CONSTRAINT IF EXISTS closed",
    ] {
        all.push(format!("ALTER TABLE {} {change}", ddl.held("cells")));
    }
    all.push(format!("DELETE FROM {} WHERE n = 0", ddl.held("cells")));
    all.push(forget::drop_day(&ddl, "requests", "20261130"));
    all.extend(merges::TABLES.map(|table| merges::statement(&ddl, table)));
    for statement in all {
        assert!(
            statement.starts_with("INSERT") || statement.contains("ON CLUSTER `a \\`cluster\\``"),
            "{statement}"
        );
        let parsed = store.client.query(&format!("EXPLAIN AST {statement}"));
        let parsed = parsed.fetch_all::<String>().await;
        assert!(!parsed.unwrap().is_empty(), "{statement}");
    }
    let broken = store.client.query("EXPLAIN AST CREATE TABLE a ON CLUSTER");
    assert!(broken.fetch_all::<String>().await.is_err());
}

#[tokio::test]
async fn what_is_told_in_less_detail_is_dropped_and_answers_stay() {
    const DAY: u64 = 86_400 * SECOND;
    let (store, _place) = open().await;
    // In the middle of a day, so that the days below are whole ones since.
    let now_us = NOON / DAY * DAY + 100 * DAY + 12 * 3_600 * SECOND;
    let horizons = Horizons {
        hosts_us: now_us - 7 * DAY,
        minutes_us: now_us - 30 * DAY,
        ..Horizons::NONE
    };
    for (sequence, days) in [1, 10, 40].into_iter().enumerate() {
        // Two hosts in each of sixty seconds around the turn of a minute, from the middle of an hour on.
        let start_us = now_us - days * DAY + 1_830 * SECOND;
        for host in [1, 2] {
            let mut batch = batch(host, sequence as u64, "a");
            batch.cells = (0..60)
                .map(|at| cell(start_us + at * SECOND, &[at + 1]))
                .collect();
            store.put_batch(suite::new(batch)).await.unwrap();
        }
    }
    let rows = async |detail| {
        let pending = "SELECT count() FROM system.mutations WHERE database = currentDatabase() AND NOT is_done";
        while (store.client.query(pending).fetch_one::<u64>().await).unwrap() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // How many rows that is before they are merged is up to ClickHouse.
        let merge = format!("OPTIMIZE TABLE {CELLS} FINAL");
        store.client.query(&merge).execute().await.unwrap();
        let rows =
            format!("SELECT count(), sum(n) FROM {CELLS} WHERE detail = ? AND service != ''");
        let rows = store.client.query(&rows).bind(detail);
        rows.fetch_one::<(u64, u128)>().await.unwrap()
    };
    assert_eq!(rows("hosts").await, (360, 360));
    assert_eq!(rows("minutes").await, (6, 360));
    assert_eq!(rows("hours").await, (3, 360));
    suite::forget(&store, horizons).await;
    let told = suite::all_cells(&store).await;
    assert_eq!(told.len(), 120 + 2 + 1);
    assert_eq!(
        rows("hosts").await.1,
        360,
        "a question may still be on its way that asks for them"
    );
    suite::forget(&store, horizons).await;
    assert_eq!(suite::all_cells(&store).await, told);
    assert_eq!(rows("hosts").await, (120, 120));
    assert_eq!(rows("minutes").await, (4, 240));
    assert_eq!(rows("hours").await, (3, 360));
    // A late one is told as those of its time, and what of it is not told goes with the next step.
    let mut late = batch(3, 0, "a");
    late.cells = vec![cell(told[0].cell.key.start_us + 7 * SECOND, &[5])];
    store.put_batch(suite::new(late)).await.unwrap();
    let told = suite::all_cells(&store).await;
    assert_eq!((told.len(), told[0].cell.n), (123, 121));
    suite::forget(&store, horizons).await;
    assert_eq!(rows("hosts").await, (120, 120));
    assert_eq!(suite::all_cells(&store).await, told);
}
