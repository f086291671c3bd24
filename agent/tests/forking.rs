//! A process that forks, with the agent started before: parent and children together count each
//! request once. Each test starts itself anew as the process that forks.
#![expect(unsafe_code, reason = "fork and waitpid are C calls")]

#[cfg(test)]
mod support;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use appweight_agent::{Agent, AgentBuilder};
use uuid::Uuid;

use support::{NOWHERE, SOON, TestCollector, wait_until};

/// Tells a test that it is the process that forks: where to send.
const COLLECTOR: &str = "TEST_OF_FORK_COLLECTOR";
/// A folder of the test.
const FOLDER: &str = "TEST_OF_FORK_FOLDER";

fn agent(collector: &str) -> AgentBuilder {
    Agent::builder()
        .service("tested")
        .collector(collector)
        .cell_width(Duration::from_millis(20))
}

fn work(agent: &Agent, tasks: u64) {
    for _ in 0..tasks {
        agent.measure("task:work", || ());
    }
}

/// The test once more, in a process of its own.
fn start_again(test: &str, collector: &str, folder: &Path) -> Child {
    Command::new(env::current_exe().expect("this program"))
        .args(["--exact", test, "--nocapture"])
        .env(COLLECTOR, collector)
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts")
}

fn fork() -> Option<i32> {
    // SAFETY: the child calls nothing but the agent, whose promise is tested here, and what is safe
    // with the C library's own locks, which it frees in the child.
    match unsafe { libc::fork() } {
        0 => None,
        child => {
            assert!(child > 0, "{}", std::io::Error::last_os_error());
            Some(child)
        }
    }
}

/// Does the work of a child, and ends it.
fn end_with(work: impl FnOnce()) -> ! {
    let failed = catch_unwind(AssertUnwindSafe(work)).is_err();
    // SAFETY: ends the process. The test's own end belongs to its parent.
    unsafe { libc::_exit(i32::from(failed)) }
}

fn assert_ends_well(child: i32) {
    let mut status = 0;
    // SAFETY: `status` is valid for the call.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!((waited, status), (child, 0), "a child failed");
}

/// Requests by task, each batch once.
fn counted(collector: &TestCollector) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for cell in collector.cells() {
        *counts.entry(cell.key.endpoint).or_default() += cell.n;
    }
    counts
}

#[test]
fn parent_and_children_together_count_each_request_once() {
    if let Ok(collector) = env::var(COLLECTOR) {
        return fork_and_work(&collector);
    }
    let collector = TestCollector::start();
    let folder = support::folder();
    let mut process = start_again(
        "parent_and_children_together_count_each_request_once",
        &collector.address(),
        folder.path(),
    );
    assert!(process.wait().unwrap().success());
    let expected = [("task:forks", 1), ("task:work", 1_000 + 200 + 30 + 4)];
    assert_eq!(
        counted(&collector),
        expected.map(|(name, n)| (name.to_owned(), n)).into()
    );
    let mut sequences = BTreeMap::<Uuid, Vec<u64>>::new();
    let mut hosts = BTreeMap::<String, Uuid>::new();
    for batch in collector.batches() {
        sequences
            .entry(batch.source)
            .or_default()
            .push(batch.sequence);
        hosts.insert(batch.origin.host, batch.source);
    }
    assert_eq!(sequences.len(), 3, "parent, child and grandchild");
    assert_eq!(hosts.len(), 3, "{hosts:?}");
    for sequences in sequences.values() {
        assert_eq!(*sequences, (0..sequences.len() as u64).collect::<Vec<_>>());
    }
    // The parent's own records alone tell of its requests.
    let mut totals: Vec<u64> = collector
        .batches()
        .into_iter()
        .map(|batch| batch.cells.iter().map(|cell| cell.n).sum())
        .collect();
    totals.sort_unstable();
    assert!(totals.iter().sum::<u64>() == 1_235);
}

fn fork_and_work(collector: &str) {
    let agent = agent(collector).start();
    work(&agent, 1_000);
    // A request that is being served while the process forks is the parent's.
    let child = agent.measure("task:forks", fork);
    let Some(child) = child else {
        end_with(|| {
            let status = agent.status();
            assert!(status.enabled);
            assert_eq!((status.tasks, status.cells), (0, 0), "nothing is inherited");
            work(&agent, 30);
            let Some(grandchild) = fork() else {
                end_with(|| {
                    thread::scope(|scope| {
                        for _ in 0..4 {
                            scope.spawn(|| work(&agent, 1));
                        }
                    });
                    assert!(agent.shutdown(SOON));
                    assert_eq!(agent.status().tasks, 4);
                });
            };
            assert_ends_well(grandchild);
            assert!(agent.shutdown(SOON));
            assert_eq!(agent.status().tasks, 30);
            work(&agent, 1);
            assert_eq!(agent.status().tasks, 30, "it is over");
        })
    };
    work(&agent, 200);
    // One that has nothing to count disturbs nobody, whether it ends its agent or not.
    let Some(idle) = fork() else {
        end_with(|| {
            assert!(agent.shutdown(SOON));
            work(&agent, 7);
            assert!(!agent.status().enabled);
            drop(agent);
        })
    };
    assert_ends_well(child);
    assert_ends_well(idle);
    assert!(agent.shutdown(SOON));
    assert_eq!(agent.status().tasks, 1_201);
    assert_eq!(agent.status().dropped, 0);
}

#[test]
fn agents_that_start_after_the_fork_are_sources_of_their_own() {
    const CHILDREN: u64 = 3;
    if let Ok(collector) = env::var(COLLECTOR) {
        let spool = format!("{}/spool", env::var(FOLDER).unwrap());
        // What a server of prepared processes has done before: a thread's CPU time was read, and nothing counted.
        assert!(appweight_agent::thread_cpu_ns().is_some());
        let start = || agent(&collector).spool(&spool).start();
        let mut children = Vec::new();
        for nth in 1..=CHILDREN {
            match fork() {
                Some(child) => children.push(child),
                None => end_with(|| {
                    let agent = start();
                    work(&agent, 10 * nth);
                    assert!(agent.shutdown(SOON));
                    assert_eq!(agent.status().tasks, 10 * nth);
                }),
            }
        }
        let agent = start();
        work(&agent, 1);
        children.into_iter().for_each(assert_ends_well);
        assert!(agent.shutdown(SOON));
        assert_eq!(agent.status().tasks, 1);
        return;
    }
    let collector = TestCollector::start();
    let folder = support::folder();
    let mut process = start_again(
        "agents_that_start_after_the_fork_are_sources_of_their_own",
        &collector.address(),
        folder.path(),
    );
    assert!(process.wait().unwrap().success());
    let mut by_source: BTreeMap<Uuid, u64> = BTreeMap::new();
    for batch in collector.batches() {
        let counted: u64 = batch.cells.iter().map(|cell| cell.n).sum();
        *by_source.entry(batch.source).or_default() += counted;
    }
    let mut counted: Vec<u64> = by_source.into_values().collect();
    counted.sort_unstable();
    assert_eq!(counted, [1, 10, 20, 30]);
    assert_eq!(
        fs::read_dir(folder.path().join("spool")).map_or(0, Iterator::count),
        0
    );
}

#[test]
fn forking_in_the_middle_of_everything_neither_hangs_nor_counts_twice() {
    const CHILDREN: u64 = 20;
    if let Ok(collector) = env::var(COLLECTOR) {
        let agent = agent(&collector)
            .cell_width(Duration::from_millis(10))
            .start();
        let busy = agent.clone();
        let thread = thread::spawn(move || {
            for _ in 0..400 {
                work(&busy, 100);
                thread::sleep(Duration::from_millis(1));
            }
        });
        for _ in 0..CHILDREN {
            let Some(child) = fork() else {
                end_with(|| {
                    work(&agent, 10);
                    assert!(agent.shutdown(SOON));
                })
            };
            work(&agent, 1);
            assert_ends_well(child);
        }
        thread.join().unwrap();
        assert!(agent.shutdown(SOON));
        return;
    }
    let collector = TestCollector::start();
    let folder = support::folder();
    let mut process = start_again(
        "forking_in_the_middle_of_everything_neither_hangs_nor_counts_twice",
        &collector.address(),
        folder.path(),
    );
    assert!(process.wait().unwrap().success());
    assert_eq!(collector.counted(), 40_000 + CHILDREN * 11);
}

#[test]
fn a_child_has_a_spool_of_its_own_and_does_not_hold_its_parents() {
    if let Ok(collector) = env::var(COLLECTOR) {
        let folder = env::var(FOLDER).unwrap();
        let agent = agent(&collector).spool(format!("{folder}/spool")).start();
        work(&agent, 100);
        wait_until("spooled", || agent.status().spooled_batches > 0);
        if fork().is_none() {
            end_with(|| {
                work(&agent, 10);
                wait_until("spooled", || agent.status().spooled_batches > 0);
                let pid = std::process::id().to_string();
                fs::write(format!("{folder}/child.new"), pid).unwrap();
                fs::rename(format!("{folder}/child.new"), format!("{folder}/child")).unwrap();
                thread::sleep(Duration::from_secs(60));
            });
        }
        thread::sleep(Duration::from_secs(60));
        return;
    }
    let folder = support::folder();
    let spool = folder.path().join("spool");
    let mut parent = start_again(
        "a_child_has_a_spool_of_its_own_and_does_not_hold_its_parents",
        NOWHERE,
        folder.path(),
    );
    wait_until("forked", || folder.path().join("child").exists());
    parent.kill().unwrap();
    parent.wait().unwrap();

    let collector = TestCollector::start();
    let take_over = || {
        let agent = agent(&collector.address()).spool(&spool).start();
        assert!(agent.shutdown(SOON));
        collector.counted()
    };
    assert_eq!(take_over(), 100, "the parent's, while the child lives");
    let child: i32 = fs::read_to_string(folder.path().join("child"))
        .unwrap()
        .parse()
        .unwrap();
    // SAFETY: sends a signal to the child that this test has started.
    assert_eq!(unsafe { libc::kill(child, libc::SIGKILL) }, 0);
    wait_until("all is sent", || take_over() == 110);
    assert_eq!(fs::read_dir(&spool).unwrap().count(), 0);
}
