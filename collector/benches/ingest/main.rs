//! Ingest over HTTP on loopback, acknowledged after the commit, from eight senders: how many records a second, how
//! long a sender waits, while the watch judges and while it does not, and as the store grows. Beside it the same
//! rows written by rusqlite alone, in the same run.
//!
//! `cargo bench -p appweight-collector --bench ingest -- 1024` grows the store to 1,024 MiB.

mod floor;
mod sender;
mod traffic;

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use appweight_collector::{Collector, CollectorOptions};
use tokio::sync::oneshot;

use floor::Floor;
use sender::{Senders, cpu_time};
use traffic::{RECORDS, Traffic};

/// Batches of a measurement, all senders together.
const BATCHES: usize = 320;
/// Where the store ends if nothing is said.
const MIB: u64 = 256;

/// What sending some batches took.
struct Measured {
    records: usize,
    elapsed: Duration,
    cpu: Duration,
    /// How long each batch waited for its answer, rising.
    waits: Vec<Duration>,
}

impl Measured {
    fn line(&self) -> String {
        let records = self.records as f64;
        let wait = |share: f64| {
            let at = (self.waits.len() as f64 * share) as usize;
            self.waits[at.min(self.waits.len() - 1)].as_secs_f64() * 1e3
        };
        format!(
            "{:>9.0} records/s, {:>6.2} us of CPU a record, answered after {:>6.1} ms (half), {:>6.1} ms (99 %), {:>6.1} ms (all)",
            records / self.elapsed.as_secs_f64(),
            self.cpu.as_secs_f64() * 1e6 / records,
            wait(0.5),
            wait(0.99),
            wait(1.0),
        )
    }
}

fn main() {
    let mib = std::env::args()
        .find_map(|word| word.parse().ok())
        .unwrap_or(MIB);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run(mib));
}

async fn run(mib: u64) {
    let mut traffic = Traffic::new();
    let folder = tempfile::tempdir().expect("a folder");

    let batches = traffic.batches(BATCHES);
    let cells: usize = batches.iter().map(|batch| batch.cells).sum();
    let sent: usize = batches.iter().map(|batch| batch.body.len()).sum();
    say(&format!(
        "{BATCHES} batches of {RECORDS} request records, {} cells and a process record, {} bytes each as they are sent",
        cells / BATCHES,
        sent / BATCHES
    ));
    let floor = Floor::open(&folder.path().join("floor.db"));
    let measured = floor.write(&batches);
    say(&format!("floor, rusqlite alone:  {}", measured.line()));

    for watch in [false, true] {
        let path = folder.path().join(format!("watch-{watch}.db"));
        let (collector, address, stop) = start(&path, watch).await;
        let mut senders = Senders::connect(address);
        // Connections, caches and the first pages of the file.
        let _ = senders.send(traffic.batches(64)).await;
        let judging = watch.then(|| tokio::spawn(sender::keep_judging(address, traffic.began_us)));
        let measured = senders.send(traffic.batches(3 * BATCHES)).await;
        say(&format!(
            "{}{}",
            if watch {
                "while the watch judges: "
            } else {
                "without the watch:      "
            },
            measured.line()
        ));
        if let Some(judging) = judging {
            judging.abort();
            say(&format!(
                "                        {} verdicts meanwhile",
                senders.verdicts()
            ));
        }
        drop(senders);
        drop(stop);
        collector.close().await.expect("it closes");
    }
    grow(&mut traffic, &folder.path().join("grown.db"), mib).await;
}

/// Fills an empty store, and tells of each time that it has doubled.
async fn grow(traffic: &mut Traffic, path: &Path, mib: u64) {
    let (collector, address, stop) = start(path, true).await;
    let mut senders = Senders::connect(address);
    let size = || std::fs::metadata(path).map_or(0, |file| file.len());
    let (mut next, mut records) = (0, 0);
    loop {
        let began = size() >> 20;
        let measured = senders.send(traffic.batches(BATCHES)).await;
        records += measured.records;
        if began >= next {
            say(&format!(
                "store of {began:>5} MiB:      {}",
                measured.line()
            ));
            next = 2 * began.max(32);
        }
        if began >= mib {
            break;
        }
    }
    drop(senders);
    drop(stop);
    collector.close().await.expect("it closes");
    say(&format!(
        "{records} records in {} MiB: {} bytes each, with their cells and all indexes",
        size() >> 20,
        size() / records as u64
    ));
}

/// A collector on loopback, until the sender is dropped.
async fn start(path: &Path, watch: bool) -> (Collector, SocketAddr, oneshot::Sender<()>) {
    let options = CollectorOptions {
        database: path.to_owned(),
        settle: Duration::from_millis(500),
        watch,
        ..CollectorOptions::default()
    };
    let collector = Collector::open(options).await.expect("a store");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = oneshot::channel::<()>();
    let (router, watching) = (collector.router(), collector.clone());
    tokio::spawn(async move {
        let watch = watching.watch(std::future::pending());
        tokio::select! {
            served = axum::serve(listener, router) => served.expect("it serves"),
            () = watch => {}
            _ = stopped => {}
        }
    });
    (collector, address, stop)
}

fn measure(records: usize, work: impl FnOnce() -> Vec<Duration>) -> Measured {
    let (began, cpu) = (Instant::now(), cpu_time());
    let mut waits = work();
    let measured = (began.elapsed(), cpu_time() - cpu);
    waits.sort_unstable();
    Measured {
        records,
        elapsed: measured.0,
        cpu: measured.1,
        waits,
    }
}

fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
