//! What could not be sent survives the end of the process, whatever ends it, and is counted once.

#[cfg(test)]
mod support;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use appweight_agent::{Agent, AgentBuilder};

use support::disk::SmallDisk;
use support::left_out::left_out;
use support::{NOWHERE, SOON, TestCollector, folder, wait_until};

/// Where the child of a test finds its spool.
const SPOOL: &str = "TEST_OF_SPOOL";

fn work(agent: &Agent) {
    for _ in 0..100 {
        agent.measure("task:work", || ());
    }
}

/// An agent with quick cells that reaches nobody.
fn cut_off(spool: &Path) -> AgentBuilder {
    Agent::builder()
        .service("tested")
        .collector(NOWHERE)
        .profile_one_in(0)
        .cell_width(Duration::from_millis(20))
        .spool(spool)
}

/// The batches below a spool.
fn batches(spool: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(spool)
        .into_iter()
        .flatten()
        .filter_map(|folder| fs::read_dir(folder.ok()?.path()).ok())
        .flatten()
        .flatten()
        .map(|file| file.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "batch"))
        .collect();
    found.sort();
    found
}

/// How many folders of processes there are.
fn folders(spool: &Path) -> usize {
    fs::read_dir(spool).map_or(0, Iterator::count)
}

#[test]
fn a_collector_that_comes_back_gets_everything_in_order() {
    let spool = folder();
    let down = Arc::new(AtomicBool::new(true));
    let collector = TestCollector::while_up(&down);
    let agent = collector
        .agent()
        .cell_width(Duration::from_millis(20))
        .spool(spool.path())
        .start();
    for batches in 1..4 {
        work(&agent);
        wait_until("spooled", || agent.status().spooled_batches >= batches);
    }
    assert!(agent.status().spooled_bytes >= 3 * 4_096);
    assert_eq!(agent.status().dropped, 0);
    down.store(false, Ordering::SeqCst);
    wait_until("drained", || agent.status().spooled_batches == 0);
    assert!(agent.shutdown(SOON));
    let sequences: Vec<u64> = collector
        .batches()
        .iter()
        .map(|batch| batch.sequence)
        .collect();
    assert_eq!(sequences, (0..sequences.len() as u64).collect::<Vec<_>>());
    assert_eq!(collector.counted(), 300);
    assert_eq!(folders(spool.path()), 0, "nothing stays behind");
}

#[test]
fn nothing_touches_the_disk_while_the_collector_answers() {
    let spool = folder();
    let collector = TestCollector::start();
    let agent = collector
        .agent()
        .cell_width(Duration::from_millis(20))
        .spool(spool.path())
        .start();
    work(&agent);
    wait_until("sent", || agent.status().sent > 0);
    assert_eq!(batches(spool.path()), [""; 0].map(PathBuf::from));
    assert_eq!(folders(spool.path()), 1);
    assert!(agent.shutdown(SOON));
}

#[test]
fn what_a_shutdown_cannot_send_is_sent_by_the_next_start() {
    let spool = folder();
    let agent = cut_off(spool.path()).start();
    work(&agent);
    let begun = Instant::now();
    assert!(agent.shutdown(Duration::from_secs(2)), "nothing is lost");
    assert!(begun.elapsed() < Duration::from_secs(4));
    assert_eq!(agent.status().dropped, 0);
    assert!(!batches(spool.path()).is_empty());

    let collector = TestCollector::start();
    let agent = collector.agent().spool(spool.path()).start();
    work(&agent);
    assert!(agent.shutdown(SOON));
    assert_eq!(collector.counted(), 200);
    assert_eq!(folders(spool.path()), 0);
}

#[test]
fn a_collector_that_hangs_at_the_shutdown_loses_nothing_either() {
    let spool = folder();
    let hanging = TestCollector::scripted(|_| (200, Duration::from_secs(60)));
    let agent = hanging
        .agent()
        .cell_width(Duration::from_millis(20))
        .spool(spool.path())
        .start();
    work(&agent);
    wait_until("being sent", || !hanging.puts().is_empty());
    work(&agent);
    let begun = Instant::now();
    assert!(agent.shutdown(Duration::from_secs(2)), "nothing is lost");
    assert!(begun.elapsed() < Duration::from_secs(4));
    let kept = folder();
    for (at, batch) in batches(spool.path()).iter().enumerate() {
        // As after the end of the process, which still holds the lock here.
        let folder = kept
            .path()
            .join(format!("00000000-0000-4000-8000-{at:012}"));
        fs::create_dir(&folder).unwrap();
        fs::copy(batch, folder.join(batch.file_name().unwrap())).unwrap();
    }
    let collector = TestCollector::start();
    let next = collector.agent().spool(kept.path()).start();
    wait_until("sent", || collector.counted() == 200);
    assert!(next.shutdown(SOON));
}

#[test]
fn a_spool_at_its_limit_gives_up_the_oldest() {
    let spool = folder();
    let agent = cut_off(spool.path()).spool_bytes(5 * 4_096).start();
    wait_until("given up", || {
        work(&agent);
        agent.status().dropped > 0
    });
    let status = agent.status();
    assert!(status.spooled_bytes <= 5 * 4_096, "{status:?}");
    let names = batches(spool.path());
    let first = names[0].file_name().unwrap().to_string_lossy().into_owned();
    assert!(!first.starts_with("00000000000000000000-"), "{first}");
    agent.shutdown(Duration::ZERO);
}

#[test]
fn a_full_disk_costs_the_oldest_batches_and_no_request() {
    let Some(disk) = SmallDisk::new() else {
        left_out("no disk can be mounted here");
        return;
    };
    let down = Arc::new(AtomicBool::new(true));
    let collector = TestCollector::while_up(&down);
    let agent = collector
        .agent()
        .cell_width(Duration::from_millis(20))
        .spool(disk.path())
        .start();
    wait_until("given up", || {
        work(&agent);
        agent.status().dropped > 0
    });
    let status = agent.status();
    assert!(status.spooled_batches > 3, "{status:?}");
    assert!(status.spooled_bytes <= 48 << 10, "{status:?}");
    down.store(false, Ordering::SeqCst);
    wait_until("drained", || agent.status().spooled_batches == 0);
    assert!(agent.shutdown(SOON));
    let status = agent.status();
    let taken: u64 = collector
        .batches()
        .iter()
        .map(|batch| batch.len() as u64)
        .sum();
    assert_eq!(status.sent, taken);
    assert!(collector.counted() < status.tasks);
}

#[test]
fn a_torn_file_is_set_aside_and_counted() {
    let spool = folder();
    let agent = cut_off(spool.path()).start();
    for batches in 1..4 {
        work(&agent);
        wait_until("spooled", || agent.status().spooled_batches >= batches);
    }
    assert!(agent.shutdown(Duration::from_secs(1)));
    let names = batches(spool.path());
    let whole = fs::read(&names[1]).unwrap();
    fs::write(&names[1], &whole[..whole.len() / 2]).unwrap();

    let collector = TestCollector::start();
    let agent = collector.agent().spool(spool.path()).start();
    wait_until("drained", || collector.puts().len() >= names.len() - 1);
    assert!(agent.shutdown(SOON));
    let status = agent.status();
    assert_eq!(status.spool_unreadable, 1);
    assert!(status.dropped > 0);
    let aside: Vec<_> = fs::read_dir(spool.path().join("set-aside"))
        .unwrap()
        .collect();
    assert_eq!(aside.len(), 1);
    assert!(collector.counted() >= 200 && collector.counted() < 400);
}

#[test]
fn a_folder_that_cannot_be_used_costs_no_more_than_the_spool() {
    let folder = support::folder();
    let occupied = folder.path().join("a file");
    fs::write(&occupied, "").unwrap();
    let collector = TestCollector::scripted(|n| (if n == 0 { 503 } else { 200 }, Duration::ZERO));
    let agent = collector.agent().spool(&occupied).start();
    work(&agent);
    assert!(agent.shutdown(SOON));
    assert_eq!(collector.counted(), 100);
}

#[test]
fn two_agents_of_one_process_share_a_folder() {
    let spool = folder();
    let first = cut_off(spool.path()).start();
    work(&first);
    wait_until("spooled", || first.status().spooled_batches > 0);
    let collector = TestCollector::start();
    let second = collector.agent().spool(spool.path()).start();
    work(&second);
    assert!(second.shutdown(SOON));
    assert_eq!(
        collector.counted(),
        100,
        "the first one lives and keeps its own"
    );
    assert!(first.status().spooled_batches > 0);
    assert!(first.shutdown(Duration::from_secs(1)));
}

#[test]
fn whatever_was_spooled_survives_kill_9_and_arrives_once() {
    if let Some(spool) = env::var_os(SPOOL) {
        // The child: works until it is killed.
        let agent = cut_off(Path::new(&spool)).start();
        loop {
            work(&agent);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    let spool = folder();
    for crashes in 1..4 {
        let mut child = Command::new(env::current_exe().unwrap())
            .args([
                "--exact",
                "whatever_was_spooled_survives_kill_9_and_arrives_once",
            ])
            .env(SPOOL, spool.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        wait_until("spooled", || batches(spool.path()).len() >= 5 * crashes);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // Half written when the power went.
    let last = batches(spool.path()).pop().unwrap();
    fs::write(
        last.with_file_name("00000000000000099999-7-70.batch.new"),
        "AWsp",
    )
    .unwrap();
    let left = batches(spool.path());
    let collector = TestCollector::start();
    let agent = collector
        .agent()
        .cell_width(Duration::from_millis(20))
        .spool(spool.path())
        .start();
    let own = agent.status();
    wait_until("drained", || collector.puts().len() >= left.len());
    assert!(agent.shutdown(SOON));
    let status = agent.status();
    assert_eq!((status.dropped, status.spool_unreadable), (0, 0), "{own:?}");
    let mut ids: Vec<_> = collector.puts().iter().map(|put| put.id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), collector.puts().len(), "each came once");
    let mut by_source = std::collections::BTreeMap::<_, Vec<u64>>::new();
    for batch in collector.batches() {
        by_source
            .entry(batch.source)
            .or_default()
            .push(batch.sequence);
    }
    assert_eq!(by_source.len(), 4, "three that crashed and the last");
    for sequences in by_source.values() {
        // In order and without a gap; the first of all is what was spooled first.
        let expected: Vec<u64> = (0..sequences.len() as u64).collect();
        assert_eq!(*sequences, expected);
    }
    assert_eq!(folders(spool.path()), 0);
}
