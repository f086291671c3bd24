//! The collector under load, over HTTP on loopback, acknowledged after the commit, from eight senders or as many as said. What is measured
//! is chosen by a word behind `cargo bench -p appweight-collector --bench ingest --`:
//!
//! - nothing, or `senders 64`: how many records a second and how long a sender waits, while the watch judges and while it does not;
//!   beside it the same rows written by rusqlite alone;
//! - `grow 2048`: the same as the store grows to so many MiB;
//! - `folding`: the same while the retention folds and forgets;
//! - `fleet`, or `fleet 64`: the cells of a fleet of 1,000 hosts, minute by minute;
//! - `overload`: a thousand senders without patience, and what the collector occupies then;
//! - `pages`: what pages ask of a store of thirty days; `pages FOLDER` keeps the store there, to ask again.
//!
//! With the cargo feature `clickhouse`, and `CLICKHOUSE_URL` set, `folding`, `fleet`, `pages` and nothing are about a database of its own there.

mod disk;
mod floor;
mod overload;
mod pages;
mod sender;
#[cfg(feature = "clickhouse")]
mod thirty_days;
mod traffic;
mod whole_agent;

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use appweight_collector::{Collector, CollectorOptions};
use tokio::sync::oneshot;

use floor::Floor;
use pages::DAY_US;
use sender::{SENDERS, Senders, cpu_time};
use traffic::{RECORDS, Traffic};

/// Batches of a measurement, all senders together.
const BATCHES: usize = 960;
/// Where the store ends if nothing is said.
const MIB: u64 = 256;

/// What sending some batches took.
#[derive(Default)]
struct Measured {
    records: usize,
    elapsed: Duration,
    cpu: Duration,
    /// How long each batch waited for its answer, rising.
    waits: Vec<Duration>,
}

impl Measured {
    /// Adds what was sent later.
    fn add(&mut self, later: Self) {
        self.records += later.records;
        self.elapsed += later.elapsed;
        self.cpu += later.cpu;
        self.waits.extend(later.waits);
        self.waits.sort_unstable();
    }

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
    let words: Vec<String> = std::env::args().skip(1).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let word = words.iter().find(|word| !word.starts_with('-'));
    let senders = || {
        words
            .iter()
            .find_map(|word| word.parse().ok())
            .unwrap_or(SENDERS)
    };
    match word.map_or("", String::as_str) {
        "grow" => {
            let mib = words.iter().find_map(|word| word.parse().ok());
            runtime.block_on(grow(&folder.join("grown.db"), mib.unwrap_or(MIB)));
        }
        "folding" => runtime.block_on(folding(&folder.join("folding.db"))),
        "fleet" => runtime.block_on(fleet(&folder.join("fleet.db"), senders())),
        "overload" => overload::run(folder),
        "pages" => {
            let kept = words.iter().skip_while(|word| *word != "pages").nth(1);
            let kept = kept.filter(|word| !word.starts_with('-')).map(Path::new);
            runtime.block_on(pages::run(kept.unwrap_or(folder)));
        }
        // By `overload`, in a process of its own.
        "serve" => {
            let path = words.last().expect("a path");
            runtime.block_on(async {
                let (_collector, address, _stop) = start(Path::new(path), false).await;
                say(&address.to_string());
                std::future::pending::<()>().await;
            });
        }
        _ => runtime.block_on(ingest(folder, senders())),
    }
}

async fn ingest(folder: &Path, senders: usize) {
    let mut traffic = Traffic::new();
    let batches = traffic.whole(BATCHES);
    let cells: usize = batches.iter().map(|made| made.batch.cells.len()).sum();
    let sent: usize = batches.iter().map(|made| made.body.len()).sum();
    say(&format!(
        "{BATCHES} batches of {RECORDS} request records, {} cells and a process record, {} bytes each as they are sent",
        cells / BATCHES,
        sent / BATCHES
    ));
    let floors = [("made.db", true), ("floor.db", false)];
    for (name, made) in floors.into_iter().filter(|_| !on_clickhouse()) {
        let floor = Floor::open(&folder.join(name));
        let (what, measured) = if made {
            ("rusqlite, of made blocks", floor.write(&batches))
        } else {
            ("rusqlite, makes blocks", floor.make_and_write(&batches))
        };
        say(&format!("{what:<24}{}", measured.line()));
    }
    drop(batches);

    for watch in [false, true] {
        let path = folder.join(format!("watch-{watch}.db"));
        let (collector, address, stop) = start(&path, watch).await;
        let mut senders = Senders::so_many(senders, address);
        // Connections, caches and the first pages of the file.
        let _ = senders.send(traffic.batches(64)).await;
        let judging = watch.then(|| tokio::spawn(sender::keep_judging(address, traffic.began_us)));
        let times = if on_clickhouse() { 2 } else { 6 };
        let measured = senders.send(traffic.batches(times * BATCHES)).await;
        let what = if watch {
            "while the watch judges"
        } else {
            "without the watch"
        };
        say(&format!("{what:<24}{}", measured.line()));
        if let Some(judging) = judging {
            judging.abort();
            let verdicts = senders.counted("verdicts_total");
            say(&format!("{:<24}{verdicts} verdicts meanwhile", ""));
        }
        drop(senders);
        drop(stop);
        collector.close().await.expect("it closes");
        #[cfg(feature = "clickhouse")]
        if let Some(at) = options(&path).clickhouse.filter(|_| !watch) {
            disk::tell_of_clickhouse(&at).await;
        }
    }
}

/// Measures before the retention has anything to do; from when all of it is too old at once until it is folded and
/// forgotten, or no more batches are left; and the same the next time, when ClickHouse drops the days that were folded.
async fn folding(path: &Path) {
    let mut traffic = Traffic::new();
    traffic.began_us -= 2 * DAY_US;
    let database = options(path);
    for (what, hours) in [("nothing", 96), ("all", 1), ("what came since", 1)] {
        let before = traffic.batches(if hours == 1 { 0 } else { 6 * BATCHES });
        let mut batches = traffic.batches(if hours == 1 { 2 * BATCHES } else { BATCHES });
        let (collector, address, stop) = start_with(CollectorOptions {
            watch: false,
            keep_records: Duration::from_secs(hours * 3_600),
            keep_hosts: Duration::from_secs(hours * 3_600),
            ..database.clone()
        })
        .await;
        let mut senders = Senders::connect(address);
        if hours > 1 {
            let _ = senders.send(before).await;
        }
        let mut measured = Measured::default();
        while !batches.is_empty()
            && (hours > 1 || senders.counted("retention_done_timestamp_seconds") == 0)
        {
            let rest = batches.split_off(batches.len().min(BATCHES / 8));
            measured.add(senders.send(std::mem::replace(&mut batches, rest)).await);
        }
        let forgotten = senders.counted("forgotten_total");
        say(&format!(
            "{what:<15} is too old, {forgotten:>8} rows folded or forgotten in {:>4.1} s: {}",
            measured.elapsed.as_secs_f64(),
            measured.line()
        ));
        drop(senders);
        drop(stop);
        collector.close().await.expect("it closes");
        drop(collector);
        // Its connections let the journal go when they see that nobody is there any more.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Takes in the cells of a fleet, minute by minute.
async fn fleet(path: &Path, senders: usize) {
    const HOSTS: u64 = 1_000;
    let mut traffic = Traffic::new();
    let (collector, address, stop) = start(path, false).await;
    let mut senders = Senders::so_many(senders, address);
    for minute in 0..5 {
        let batches = traffic.fleet(HOSTS, minute);
        let cells: usize = batches.iter().map(|made| made.batch.cells.len()).sum();
        let measured = senders.send(batches).await;
        say(&format!(
            "{cells} cells of {HOSTS} hosts: {:.2} s, {:.2} s of CPU",
            measured.elapsed.as_secs_f64(),
            measured.cpu.as_secs_f64()
        ));
    }
    drop(senders);
    drop(stop);
    collector.close().await.expect("it closes");
}

/// Fills an empty store, and tells of each time that it has doubled.
async fn grow(path: &Path, mib: u64) {
    let mut traffic = Traffic::new();
    let (collector, address, stop) = start(path, true).await;
    let mut senders = Senders::connect(address);
    let size = || std::fs::metadata(path).map_or(0, |file| file.len());
    let (mut next, mut records) = (0, 0);
    loop {
        let began = size() >> 20;
        let measured = senders.send(traffic.batches(BATCHES / 3)).await;
        records += measured.records;
        if began >= next.min(mib) {
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
    disk::tell(path);
}

/// A collector on loopback, until the sender is dropped.
async fn start(path: &Path, watch: bool) -> (Collector, SocketAddr, oneshot::Sender<()>) {
    start_with(CollectorOptions {
        settle: Duration::from_millis(500),
        watch,
        ..options(path)
    })
    .await
}

/// Whether it is about ClickHouse.
fn on_clickhouse() -> bool {
    cfg!(feature = "clickhouse") && std::env::var_os("CLICKHOUSE_URL").is_some()
}

/// Of a collector on a store of its own: that file, or a database of that name.
fn options(path: &Path) -> CollectorOptions {
    let options = CollectorOptions {
        database: path.to_owned(),
        ..CollectorOptions::default()
    };
    #[cfg(feature = "clickhouse")]
    if let Ok(url) = std::env::var("CLICKHOUSE_URL") {
        let address = url.replacen("http://", "clickhouse://", 1);
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let at: appweight_collector::ClickhouseOptions = address.parse().expect("an address");
        return CollectorOptions {
            clickhouse: Some(appweight_collector::ClickhouseOptions {
                database: format!("appweight_bench_{name}_{}", std::process::id()),
                journal: path.with_extension("journal"),
                ..at
            }),
            ..options
        };
    }
    options
}

async fn start_with(options: CollectorOptions) -> (Collector, SocketAddr, oneshot::Sender<()>) {
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
