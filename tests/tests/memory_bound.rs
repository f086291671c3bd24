//! However many clients send at once, and however large: the collector stays under 200 MB, and keeps what it acknowledged.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use appweight_tests::{ByHand, Collector, an_hour_ago, put_encoded};
use uuid::Uuid;

/// All memory that it may ever have occupied, KiB: 200 MB.
const MOST_KIB: u64 = 200_000_000 / 1_024;
/// Clients, each with one batch and next to no patience. All of them at once would take more than the room that there is.
const CLIENTS: usize = 16;
const PATIENCE: Duration = Duration::from_millis(20);
/// Records of each batch, which is more than 1 MB before it is compressed: large bodies are decoded in another way.
const RECORDS: u64 = 12_000;
/// Posts of a body as long as a batch may be.
const POSTS: usize = 32;
const LONGEST: usize = 8 << 20;

/// The most memory that it has occupied so far, KiB.
fn peak_kib(collector: &Collector) -> u64 {
    let path = format!("/proc/{}/status", collector.process());
    let status = std::fs::read_to_string(path).expect("procfs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kib.expect("a number")
}

/// The ids of the batches in a store.
fn stored(path: &Path) -> BTreeSet<Uuid> {
    let database = rusqlite::Connection::open(path).expect("a store");
    let mut ids = database.prepare("SELECT uuid FROM batches").expect("SQL");
    let ids = ids.query_map([], |row| row.get::<_, Vec<u8>>(0));
    ids.expect("rows")
        .map(|id| Uuid::from_slice(&id.expect("a row")).expect("an id"))
        .collect()
}

/// A batch of these records: its id, where it is put, and its body.
fn batch(collector: &Collector, client: usize, records: &str) -> (Uuid, String, Vec<u8>) {
    let mut client = ByHand::new(&collector.url, "photos", "a", &format!("web-{client}"));
    let batch = client.batch(&[]);
    let whole = format!("\"requests\":{records}");
    let body = batch.to_string().replace("\"requests\":[]", &whole);
    let body = zstd::bulk::compress(body.as_bytes(), 1).expect("it is compressed");
    (client.id(0), client.url(&batch), body)
}

#[test]
fn large_batches_of_many_clients_take_the_room_that_there_is_and_none_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut collector = Collector::start_in(folder.path());
    let records: Vec<_> = (0..RECORDS)
        .map(|at| ByHand::request(an_hour_ago() + at, "/feed", 1_000 + at * 7_919 % 1_000_003))
        .collect();
    let records = serde_json::Value::from(records).to_string();
    assert!(records.len() > 1 << 20);
    let batches: Vec<_> = (0..CLIENTS)
        .map(|at| batch(&collector, at, &records))
        .collect();
    let refused = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for (_, url, body) in &batches {
            let refused = &refused;
            scope.spawn(move || {
                loop {
                    let answer = put_encoded(url, "application/json", "zstd", body);
                    let answer = answer.expect("it answers");
                    match answer.status {
                        201 => break,
                        429 => refused.fetch_add(1, Ordering::Relaxed),
                        _ => panic!("{answer:?}"),
                    };
                    std::thread::sleep(PATIENCE);
                }
            });
        }
    });
    assert!(refused.into_inner() > 0, "there was room for all of them");
    let peak = peak_kib(&collector);
    assert!(peak < MOST_KIB, "{peak} KiB");
    // As by a power cut: nothing is tidied up.
    collector.kill();
    let acknowledged = batches.into_iter().map(|(id, ..)| id).collect();
    assert_eq!(stored(&collector.database()), acknowledged);
}

/// Sends all of a body but its end, or as much of it as is taken.
fn send_nearly_all(url: &str, path: &str) -> TcpStream {
    let address = url.trim_start_matches("http://");
    let mut connection = TcpStream::connect(address).expect("it listens");
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {LONGEST}\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).expect("it reads");
    let part = [b' '; 64 * 1_024];
    for _ in 0..LONGEST / part.len() - 1 {
        if connection.write_all(&part).is_err() {
            break;
        }
    }
    connection
}

#[test]
fn what_is_posted_is_not_held_however_long_it_is() {
    let collector = Collector::start();
    for path in ["/v1/deploys", "/v1/alerts"] {
        let posts: Vec<TcpStream> = std::thread::scope(|scope| {
            let posts: Vec<_> = (0..POSTS)
                .map(|_| scope.spawn(|| send_nearly_all(&collector.url, path)))
                .collect();
            let posts = posts.into_iter().map(|post| post.join());
            posts.map(|post| post.expect("it is sent")).collect()
        });
        let peak = peak_kib(&collector);
        assert!(peak < MOST_KIB, "{path}: {peak} KiB");
        for mut post in posts {
            let mut status = [0; 12];
            post.set_read_timeout(Some(Duration::from_secs(60)))
                .expect("an option of TCP");
            // Whoever has sent more than is read may find that the connection is gone, with the answer.
            if post.read_exact(&mut status).is_ok() {
                assert_eq!(&status, b"HTTP/1.1 413", "{path}");
            }
        }
    }
}
