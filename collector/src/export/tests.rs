use std::collections::BTreeMap;

use appweight::drift::{Cost, Day, EndpointDay, Peak};
use appweight_wire::Kind;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

use crate::testing::{Bench, NOON, SECOND, batch, cell, process, request};

fn day(start_us: u64) -> Day {
    Day {
        service: "photo".into(),
        start_us,
        peak: Some(Peak {
            start_us,
            active_users: 3,
            requests: 7,
            cpu_ns: 900,
            instructions: None,
            minutes: 1_440,
        }),
        endpoints: vec![EndpointDay {
            kind: Kind::Request,
            endpoint: "/feed".into(),
            requests: 7,
            cpu_ns: Some(Cost {
                requests: 7,
                total: 35,
            }),
            instructions: None,
        }],
    }
}

/// The rows of a file, each by the names of its columns.
fn rows(path: &std::path::Path) -> Vec<BTreeMap<String, Field>> {
    let reader = SerializedFileReader::new(std::fs::File::open(path).unwrap()).unwrap();
    let rows = reader.get_row_iter(None).unwrap();
    rows.map(|row| row.unwrap().into_columns().into_iter().collect())
        .collect()
}

#[tokio::test]
async fn every_row_is_written_once_with_what_is_absent_left_out() {
    let bench = Bench::new();
    // Over the edges of hours, and at the very end of what is known.
    for (source, deploy, hour) in [(1, "a", 0), (2, "b", 2)] {
        let start_us = NOON + hour * 3_600 * SECOND;
        let mut batch = batch(source, 0, deploy);
        batch.origin.cluster = "east".into();
        batch.cells = vec![cell(start_us, &[5, 6, 7]), cell(start_us + SECOND, &[9])];
        batch.processes = vec![process(start_us, 3)];
        batch.requests = vec![request(start_us, 5), request(start_us + SECOND, 9)];
        batch.requests[1].status = Some(503);
        assert_eq!(bench.put_batch(&batch).await.status.as_u16(), 201);
    }
    let store = &bench.collector.app().store;
    store.put_day(day(NOON)).await.unwrap();
    let folder = bench.folder.path().join("new").join("folder");
    let exported = bench.collector.export(&folder, 0, u64::MAX).await.unwrap();
    let counts = (
        exported.deploys,
        exported.cells,
        exported.requests,
        exported.processes,
    );
    assert_eq!(counts, (2, 4, 4, 2));
    let of = |name: &str| rows(&folder.join(name).with_extension("parquet"));

    let cells = of("cells");
    assert_eq!(cells.len(), 4);
    assert_eq!(cells[0]["n"], Field::ULong(3));
    assert_eq!(cells[0]["cpu_ns_sum"], Field::ULong(18));
    assert_eq!(cells[0]["cpu_ns_sum_squares"], Field::Double(110.0));
    assert_eq!(cells[0]["instructions_n"], Field::Null);
    let micros = i64::try_from(NOON).unwrap();
    assert_eq!(cells[0]["start"], Field::TimestampMicros(micros));
    assert_eq!(cells[3]["deploy"], Field::Str("b".into()));

    let mut requests = of("requests");
    requests.sort_by_key(|row| row["start"].to_string());
    assert_eq!(requests[0]["status"], Field::Null);
    assert_eq!(requests[1]["status"], Field::ULong(503));
    assert_eq!(requests[3]["cpu_ns"], Field::ULong(9));
    let deploys = of("deploys");
    assert_eq!(deploys[0]["deploy"], Field::Str("b".into()));
    assert_eq!(deploys[0]["replaced"], Field::Str("a".into()));
    let processes = of("processes");
    assert_eq!(processes[1]["cpu_ns"], Field::ULong(500_000_000));
    assert_eq!(processes[1]["cluster"], Field::Str("east".into()));

    assert_eq!((exported.days, exported.endpoint_days), (1, 1));
    assert_eq!(of("days")[0]["cpu_ns"], Field::ULong(900));
    assert_eq!(of("endpoint_days")[0]["cpu_ns"], Field::ULong(35));
    assert_eq!(of("endpoint_days")[0]["instructions"], Field::Null);

    // Of a later time alone, in the place of what was there.
    let later = NOON + 3_600 * SECOND;
    let exported = bench
        .collector
        .export(&folder, later, u64::MAX)
        .await
        .unwrap();
    assert_eq!((exported.deploys, exported.cells), (1, 2));
    assert_eq!(of("cells").len(), 2);
    let names: Vec<_> = std::fs::read_dir(&folder).unwrap().collect();
    assert_eq!(names.len(), 6, "nothing is left beside them: {names:?}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_is_named() {
    let bench = Bench::new();
    let file = bench.folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = bench
        .collector
        .export(&file.join("below"), 0, u64::MAX)
        .await;
    assert!(error.unwrap_err().to_string().contains("below"));
}

#[test]
fn more_rows_than_a_group_holds_are_all_written() {
    use super::table::{Kind, OPTIONAL, REQUIRED, Table, Value};

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    let columns = [
        ("a".to_owned(), Kind::Count, REQUIRED),
        ("b".to_owned(), Kind::Text, OPTIONAL),
    ];
    let mut table = Table::create(&path, "t", &columns).unwrap();
    for number in 0..250_000_u64 {
        let text = if number % 3 == 0 {
            Value::Absent
        } else {
            Value::Text("x")
        };
        table.row(&[Value::Count(number), text]).unwrap();
    }
    assert!(
        table.row(&[Value::Absent, Value::Absent]).is_err(),
        "it may not be absent"
    );
    assert!(
        table.row(&[Value::Count(1)]).is_err(),
        "a column is missing"
    );
    assert_eq!(table.finish().unwrap(), 250_000);
    let rows = rows(&path);
    assert_eq!(rows.len(), 250_000);
    for (number, row) in (0_u64..).zip(rows) {
        assert_eq!(row["a"], Field::ULong(number));
        assert_eq!(row["b"] == Field::Null, number % 3 == 0);
    }
}

#[tokio::test]
async fn a_clock_of_another_century_holds_nobody_up() {
    const CENTURY: u64 = 100 * 366 * 86_400 * SECOND;
    let bench = Bench::new();
    for (source, ahead_us) in [(1, 0), (2, CENTURY)] {
        let mut batch = batch(source, 0, "a");
        batch.cells = vec![cell(NOON + ahead_us, &[5])];
        batch.processes = vec![process(NOON + ahead_us, 3)];
        batch.requests = vec![request(NOON + ahead_us, 5)];
        assert_eq!(bench.put_batch(&batch).await.status.as_u16(), 201);
    }
    bench.at(NOON + SECOND);
    let folder = bench.folder.path().join("new");
    let exported = bench.collector.export(&folder, 0, u64::MAX);
    let exported = tokio::time::timeout(std::time::Duration::from_secs(20), exported).await;
    let exported = exported.expect("it goes through every hour").unwrap();
    assert_eq!(
        (exported.cells, exported.requests, exported.processes),
        (2, 2, 2)
    );
}
