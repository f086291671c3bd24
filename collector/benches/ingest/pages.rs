//! What a page asks, of a store of thirty days with forty deploys a day, while batches come in.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

#[cfg(feature = "clickhouse")]
use appweight_collector::ClickhouseOptions;
use appweight_collector::CollectorOptions;
use uuid::Uuid;

use crate::disk;
use crate::sender::{Connection, Senders};
#[cfg(feature = "clickhouse")]
use crate::thirty_days::ThirtyDays;
use crate::traffic::{ENDPOINTS, MINUTE_US, Made, Traffic, batch, now_us, process};
use crate::whole_agent;
use crate::{say, start_with};

const DAYS: u64 = 30;
pub(crate) const DEPLOYS_A_DAY: u64 = 40;
pub(crate) const DAY_US: u64 = 1_440 * MINUTE_US;
/// As long as a deploy serves.
pub(crate) const SPAN_US: u64 = DAY_US / DEPLOYS_A_DAY;
/// The number that is the first one's id.
pub(crate) const FIRST_DEPLOY: u64 = 0x0100_0000;
const ROUNDS: usize = 40;
/// For how long one is asked that is answered slowly.
const LONGEST: Duration = Duration::from_secs(10);
/// How long the watch may take for all.
const JUDGING: Duration = Duration::from_secs(180);

/// Fills a store and asks.
pub(crate) async fn run(folder: &Path) {
    let path = folder.join("pages.db");
    let options = CollectorOptions {
        settle: Duration::from_millis(500),
        ..options(&path)
    };
    // A folder that is kept has one already, and when it was made.
    let made = folder.join("made");
    let until_us = match std::fs::read_to_string(&made) {
        Ok(until_us) => until_us.parse().expect("a number"),
        Err(_) => {
            let until_us = now_us() / MINUTE_US * MINUTE_US;
            make(&options, until_us - DAYS * DAY_US, until_us).await;
            std::fs::write(&made, until_us.to_string()).expect("a file");
            until_us
        }
    };
    let from_us = until_us - DAYS * DAY_US;

    let (collector, address, stop) = start_with(options).await;
    let deploy = |days: u64| id_at(from_us, until_us - days * DAY_US);
    let profiled = "%2Fendpoint%2F7%2F%7Bid%7D";
    let questions = [
        ("services", "/v1/services".to_owned()),
        (
            "the newest roll-outs",
            "/v1/deploys?service=photos&limit=100".to_owned(),
        ),
        (
            "a roll-out of yesterday",
            format!("/v1/deploys/{}?service=photos", deploy(1)),
        ),
        (
            "one of three weeks ago",
            format!("/v1/deploys/{}?service=photos", deploy(21)),
        ),
        ("the alert of a roll-out, if any", {
            let started_us = until_us - DAY_US - (until_us - DAY_US - from_us) % SPAN_US;
            let before_us = started_us + 1;
            format!("/v1/alerts?service=photos&from_us={started_us}&until_us={before_us}")
        }),
        ("weight, a day", "/v1/weight?service=photos".to_owned()),
        (
            "weight, two days by the hour",
            format!(
                "/v1/weight?service=photos&from_us={}&window_us=3600000000",
                until_us - 2 * DAY_US
            ),
        ),
        ("processes", "/v1/processes?service=photos".to_owned()),
        (
            "the costliest requests of a deploy",
            "/v1/requests?service=photos&deploy=8f2c1a9".to_owned(),
        ),
        (
            "costs of endpoints over thirty days",
            format!("/v1/drift?service=photos&from_us={from_us}"),
        ),
        ("flags", "/v1/flags?service=photos".to_owned()),
        (
            "what profiles there are of a deploy",
            format!(
                "/v1/profiles?service=photos&limit=10000&deploy={}",
                deploy(1)
            ),
        ),
        (
            "a profile",
            format!(
                "/v1/profile?service=photos&deploy={}&endpoint={profiled}",
                deploy(1)
            ),
        ),
        (
            "two profiles compared",
            format!(
                "/v1/profile/diff?service=photos&base={}&head={}&endpoint={profiled}",
                id_at(from_us, until_us - DAY_US - SPAN_US),
                deploy(1)
            ),
        ),
        (
            "two deploys compared, yesterday's",
            format!(
                "/v1/compare?service=photos&base={}&head={}",
                id_at(from_us, until_us - DAY_US - SPAN_US),
                deploy(1)
            ),
        ),
        (
            "two deploys compared, three weeks old",
            format!(
                "/v1/compare?service=photos&base={}&head={}",
                id_at(from_us, until_us - 21 * DAY_US - SPAN_US),
                deploy(21)
            ),
        ),
        ("all alerts", "/v1/alerts?service=photos".to_owned()),
    ];
    // At a rate that leaves room to answer: 20,000 records a second.
    let mut traffic = Traffic::new();
    (traffic.run, traffic.began_us) = (now_us(), now_us() / MINUTE_US * MINUTE_US - 20 * MINUTE_US);
    let batches: Vec<Made> = traffic
        .whole(1_200)
        .into_iter()
        .map(as_agents_send)
        .collect();
    let sending = tokio::task::spawn_blocking(move || {
        let mut connection = Connection::to(address);
        let began = Instant::now();
        for (at, made) in (0_u32..).zip(&batches) {
            let due = Duration::from_millis(50) * at;
            std::thread::sleep(due.saturating_sub(began.elapsed()));
            connection.put(made);
        }
    });
    for (what, path) in questions {
        let took = tokio::task::spawn_blocking(move || {
            let mut connection = Connection::to(address);
            let (began, mut took) = (Instant::now(), Vec::new());
            while took.len() < ROUNDS && began.elapsed() < LONGEST {
                took.push(connection.ask(&path));
            }
            took.sort_unstable();
            took
        });
        let took = took.await.expect("answers");
        say(&format!(
            "{what:<40} {:>7.1} ms (half), {:>7.1} ms (all){}",
            took[took.len() / 2].as_secs_f64() * 1e3,
            took[took.len() - 1].as_secs_f64() * 1e3,
            if sending.is_finished() {
                ", no ingest any more"
            } else {
                ""
            }
        ));
    }
    sending.await.expect("a sender");
    drop(stop);
    collector.close().await.expect("it closes");
}

/// With cells of a flag and one request in a thousand profiled, and to be sent.
fn as_agents_send(made: Made) -> Made {
    let mut batch = made.batch;
    let flags = whole_agent::of_flag(&batch.cells);
    batch.cells.extend(flags);
    let start_us = batch.processes[0].start_us;
    batch.profiles = whole_agent::profiles(1, batch.sequence, start_us);
    Made::of(batch).without_records()
}

/// Of a store that is to be kept: that file, or always the same database.
fn options(path: &Path) -> CollectorOptions {
    let options = crate::options(path);
    #[cfg(feature = "clickhouse")]
    return CollectorOptions {
        clickhouse: options.clickhouse.map(|at| ClickhouseOptions {
            database: "appweight_bench_pages".into(),
            ..at
        }),
        ..options
    };
    #[cfg(not(feature = "clickhouse"))]
    options
}

async fn make(options: &CollectorOptions, from_us: u64, until_us: u64) {
    #[cfg(feature = "clickhouse")]
    if let Some(at) = &options.clickhouse {
        let thirty_days = ThirtyDays::new(at, from_us, until_us);
        let began = Instant::now();
        // It makes the tables.
        let (collector, _, stop) = start_with(options.clone()).await;
        drop(stop);
        collector.close().await.expect("it closes");
        // The next one is to open its journal.
        drop(collector);
        thirty_days.last_deploys().await;
        fill(options, from_us, until_us, true).await;
        let counted = thirty_days.fill().await;
        say(&format!(
            "{counted} requests' cells in {:.0} s",
            began.elapsed().as_secs_f64()
        ));
        let (collector, address, stop) = start_with(options.clone()).await;
        judge_all(address).await;
        drop(stop);
        collector.close().await.expect("it closes");
        // The next one is to open its journal.
        drop(collector);
        thirty_days.judged_before().await;
        return;
    }
    let size = || std::fs::metadata(&options.database).map_or(0, |file| file.len() >> 20);
    fill(options, from_us, until_us, false).await;
    say(&format!("{} MiB", size()));
    disk::tell(&options.database);
    let (collector, address, stop) = start_with(options.clone()).await;
    judge_all(address).await;
    drop(stop);
    collector.close().await.expect("it closes");
    drop(collector);
    judged_before(&options.database);
    say(&format!("{} MiB with the reports", size()));
}

/// Gives the roll-outs that the watch did not judge in time the longest report that it wrote of another.
fn judged_before(database: &Path) {
    let file = rusqlite::Connection::open(database).expect("a file");
    let judged = file.execute(
        "INSERT INTO reports (deploy_row, judged_us, report)
        SELECT deploys.deploy_row, longest.judged_us, longest.report
        FROM deploys, (SELECT judged_us, report FROM reports ORDER BY length(report) DESC LIMIT 1) longest
        WHERE deploys.deploy_row NOT IN (SELECT deploy_row FROM reports)",
        [],
    );
    judged.expect("reports");
}

/// The deploy that served then.
fn id_at(from_us: u64, time_us: u64) -> String {
    format!("{:07x}", FIRST_DEPLOY + (time_us - from_us) / SPAN_US)
}

/// One of each group.
fn hosts() -> Vec<u64> {
    let mut of_group = BTreeMap::new();
    for host in 0..200 {
        of_group
            .entry(appweight_wire::host_group(&format!("web-{host}")))
            .or_insert(host);
    }
    of_group.into_values().collect()
}

/// Sends what a service's agents did: all of it, or the process records alone, which there are of two days.
async fn fill(options: &CollectorOptions, from_us: u64, until_us: u64, processes_alone: bool) {
    let quiet = CollectorOptions {
        watch: false,
        ..options.clone()
    };
    // An empty store is folded at once up to where it is to be.
    let (collector, address, stop) = start_with(quiet).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut senders = Senders::connect(address);
    let hosts = hosts();
    let began = Instant::now();
    let (mut traffic, mut cells) = (Traffic::new(), 0);
    let mut minute_us = if processes_alone {
        until_us - 2 * DAY_US
    } else {
        from_us
    };
    while minute_us < until_us {
        let mut batches = Vec::new();
        // Some minutes of each host in a batch.
        let minutes = if processes_alone { 180 } else { 9 };
        let next_us = until_us.min(minute_us + minutes * MINUTE_US);
        let folded = minute_us + 7 * DAY_US + 60 * MINUTE_US < until_us;
        for &host in if folded { &hosts[..1] } else { &hosts } {
            let mut by_deploy: Vec<(String, Vec<_>)> = Vec::new();
            for at_us in (minute_us..next_us).step_by(MINUTE_US as usize) {
                let id = id_at(from_us, at_us);
                if by_deploy.last().is_none_or(|(last, _)| *last != id) {
                    by_deploy.push((id, Vec::new()));
                }
                let requests = if folded { 200 } else { 25 };
                let of_flag = at_us + 2 * 60 * MINUTE_US >= until_us;
                if !processes_alone || of_flag {
                    let new = traffic.cells(at_us, requests);
                    let all = &mut by_deploy.last_mut().expect("one").1;
                    if of_flag {
                        all.extend(whole_agent::of_flag(&new));
                    }
                    if !processes_alone {
                        all.extend(new);
                    }
                }
            }
            for (at, (id, of_deploy)) in (0_u64..).zip(by_deploy) {
                cells += of_deploy.len();
                let sequence = (minute_us - from_us) / MINUTE_US * 10 + at;
                let mut batch = batch(host, sequence, &id, minute_us, of_deploy);
                batch.source = Uuid::new_v5(&batch.source, b"fill");
                if minute_us + 2 * DAY_US > until_us {
                    let minutes = (minute_us..next_us).step_by(MINUTE_US as usize);
                    let of_it = minutes.filter(|&at_us| id_at(from_us, at_us) == id);
                    batch.processes = of_it.map(|at_us| process(at_us, sequence)).collect();
                    batch.profiles = whole_agent::profiles(ENDPOINTS, sequence, minute_us);
                }
                batches.push(Made::of(batch));
            }
        }
        senders.send(batches).await;
        minute_us = next_us;
    }
    say(&format!(
        "{cells} cells in {:.0} s",
        began.elapsed().as_secs_f64()
    ));
    drop(senders);
    drop(stop);
    collector.close().await.expect("it closes");
}

/// Waits until the watch has judged all.
async fn judge_all(address: std::net::SocketAddr) {
    let began = Instant::now();
    let mut senders = Senders::connect(address);
    let (mut before, mut still) = (0, 0);
    // The reports of all others are copies of one.
    while still < 5 && (began.elapsed() < JUDGING || before == 0) {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let judged = senders.counted("verdicts_total");
        // The first takes long: merges go on of what was filled in.
        still = if judged == before && judged > 0 {
            still + 1
        } else {
            0
        };
        before = judged;
    }
    say(&format!(
        "{before} roll-outs judged in {:.0} s",
        began.elapsed().as_secs_f64()
    ));
}
