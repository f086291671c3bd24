//! Far more than the collector can take: what it occupies, and whether all that it acknowledged is there.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection as Database;
use uuid::Uuid;

use crate::say;
use crate::sender::Connection;
use crate::traffic::Traffic;

/// Senders, each with one batch at a time and no patience: what finds no room is sent again at once.
const SENDERS: usize = 1_000;
const BATCHES: usize = 4_000;

/// Measures a collector in a process of its own.
pub(crate) fn run(folder: &Path) {
    let path = folder.join("overload.db");
    let mut traffic = Traffic::new();
    let batches: Vec<(Uuid, Vec<u8>)> = (0..BATCHES)
        .flat_map(|_| traffic.batches(1))
        .map(|made| (made.batch.id(), made.body))
        .collect();
    let (mut child, address) = start(&path);
    let empty = peak_mib(&child);
    let (offered, taken) = (AtomicU64::new(0), AtomicU64::new(0));
    let began = Instant::now();
    let acknowledged: BTreeSet<Uuid> = std::thread::scope(|scope| {
        let parts = batches.chunks(BATCHES / SENDERS);
        let senders: Vec<_> = parts
            .map(|part| {
                let (offered, taken) = (&offered, &taken);
                let send = move || {
                    let mut connection = Connection::to(address);
                    let mut known = Vec::new();
                    for (id, body) in part {
                        loop {
                            offered.fetch_add(1, Ordering::Relaxed);
                            match connection.offer(*id, body) {
                                (201, _) => break,
                                (429, _) => {}
                                (status, said) => panic!("{status}: {said}"),
                            }
                        }
                        taken.fetch_add(1, Ordering::Relaxed);
                        known.push(*id);
                    }
                    known
                };
                let thread = std::thread::Builder::new().stack_size(256 * 1024);
                thread.spawn_scoped(scope, send).expect("a thread")
            })
            .collect();
        let all = senders.into_iter().map(|sender| sender.join());
        all.flat_map(|known| known.expect("a sender")).collect()
    });
    let took = began.elapsed();
    let peak = peak_mib(&child);
    // As by a power cut: nothing is tidied up.
    child.kill().expect("it ends");
    child.wait().expect("it ended");
    let stored = stored(&path);
    let (offered, taken) = (offered.into_inner(), taken.into_inner());
    say(&format!(
        "{SENDERS} senders: {offered} batches offered, {taken} taken ({:.1} times), in {:.1} s ({:.0} records/s)",
        offered as f64 / taken as f64,
        took.as_secs_f64(),
        taken as f64 * 1e3 / took.as_secs_f64(),
    ));
    say(&format!(
        "peak memory {peak} MiB ({empty} MiB before the first batch)"
    ));
    say(&format!(
        "acknowledged and not stored: {}; stored and not acknowledged: {}",
        acknowledged.difference(&stored).count(),
        stored.difference(&acknowledged).count(),
    ));
}

fn start(path: &Path) -> (Child, SocketAddr) {
    let program = std::env::current_exe().expect("this program");
    let mut child = Command::new(program)
        .args(["serve".as_ref(), path.as_os_str()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut line = String::new();
    let said = child.stdout.take().expect("it is piped");
    BufReader::new(said)
        .read_line(&mut line)
        .expect("it says where");
    std::thread::sleep(Duration::from_millis(100));
    (child, line.trim().parse().expect("an address"))
}

/// The most memory that the process occupied.
fn peak_mib(child: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("procfs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.expect("a number") / 1024
}

/// The ids of the batches in a store.
fn stored(path: &Path) -> BTreeSet<Uuid> {
    let database = Database::open(path).expect("a store");
    let mut statement = database
        .prepare("SELECT uuid FROM batches")
        .expect("a table");
    let ids = statement.query_map([], |row| row.get::<_, Vec<u8>>(0));
    ids.expect("rows")
        .map(|id| Uuid::from_slice(&id.expect("a row")).expect("an id"))
        .collect()
}
