//! An export is what others read: DuckDB and pandas count what the collector counts.

use std::process::Command;
use std::time::Duration;

use appweight_tests::{Collector, Measured, Service, get, left_out, python, run};

/// What both find in the files, one line each.
const LOOK: &str = r#"
import sys
import duckdb
import pandas

folder = sys.argv[1]
counted = duckdb.sql(f"""
    SELECT endpoint, sum(n), sum(cpu_ns_sum) FROM '{folder}/cells.parquet'
    WHERE deploy = 'a' GROUP BY endpoint ORDER BY endpoint
""").fetchall()
cells = pandas.read_parquet(f"{folder}/cells.parquet", engine="fastparquet")
summed = cells[cells.deploy == "a"].groupby("endpoint")[["n", "cpu_ns_sum"]].sum()
assert [(name, int(n), int(cpu)) for name, n, cpu in counted] == [
    (name, int(row.n), int(row.cpu_ns_sum)) for name, row in summed.iterrows()
], (counted, summed)
requests = pandas.read_parquet(f"{folder}/requests.parquet", engine="fastparquet")
late = duckdb.sql(f"SELECT count(*) FROM '{folder}/requests.parquet' WHERE start > now() - INTERVAL 1 HOUR")
assert late.fetchall() == [(len(requests),)], "times are not read as times"
deploys = duckdb.sql(f"SELECT deploy, ended IS NULL FROM '{folder}/deploys.parquet'").fetchall()
processes = duckdb.sql(f"SELECT count(DISTINCT source) FROM '{folder}/processes.parquet'").fetchall()
print([(name, int(n)) for name, n, _ in counted], len(requests), deploys, processes)
"#;

#[test]
fn duckdb_and_pandas_read_what_is_exported() {
    let Some(bin) = python("parquet") else {
        return;
    };
    let collector = Collector::start();
    let service = Service::start(Measured::by(&collector.url, "a", "web-1"), 1);
    for _ in 0..30 {
        assert_eq!(get(&format!("{}/work", service.url)).unwrap().status, 200);
    }
    for _ in 0..20 {
        let hello = get(&format!("{}/hello/Kim", service.url));
        assert_eq!(hello.unwrap().status, 200);
    }
    assert!(service.stop(Duration::from_secs(20)), "all was taken");

    // The collector goes on serving meanwhile.
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().display().to_string();
    let database = collector.database().display().to_string();
    let words = [
        "collector",
        "export",
        "--database",
        &database,
        "--into",
        &into,
    ];
    let exported = run(&words);
    if exported.stderr.contains("without Parquet") && std::env::var_os("CI").is_none() {
        left_out("appweight is built without Parquet here; `cargo xtask test` builds it with it");
        return;
    }
    assert_eq!(exported.code, 0, "{exported:?}");
    assert!(
        exported.stdout.contains("requests.parquet: 50 rows"),
        "{exported:?}"
    );
    assert_eq!(collector.get("/healthz").status, 200);

    let looked = Command::new(bin.join("python"))
        .args(["-c", LOOK, &into])
        .output()
        .expect("it can be started");
    let said = String::from_utf8_lossy(&looked.stdout);
    let why = String::from_utf8_lossy(&looked.stderr);
    assert!(looked.status.success(), "{why}");
    let expected = "[('/hello/{name}', 20), ('/work', 30)] 50 [('a', True)] [(1,)]\n";
    assert_eq!(said, expected, "{why}");
}

#[test]
fn nothing_is_made_of_a_store_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let [database, into] = ["none.db", "out"].map(|name| folder.path().join(name));
    let [database_word, into_word] = [&database, &into].map(|path| path.display().to_string());
    let words = [
        "collector",
        "export",
        "--database",
        &database_word,
        "--into",
        &into_word,
    ];
    let ended = run(&words);
    assert_eq!(ended.code, 2, "{ended:?}");
    let known = ended.stderr.contains("none.db") || ended.stderr.contains("without Parquet");
    assert!(known, "{ended:?}");
    assert!(!database.exists() && !into.exists());
}
