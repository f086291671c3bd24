//! Whatever happens to the agent, a service under load answers every request, and each is counted once.

#[cfg(test)]
mod support;

use std::io::Read;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use appweight_agent::{Agent, AgentBuilder};

use support::disk::SmallDisk;
use support::left_out::left_out;
use support::load::{Answers, Load, routes};
use support::{NOWHERE, SOON, TestCollector, folder, wait_until};

/// All that the agent can do, often.
fn busy(builder: AgentBuilder) -> AgentBuilder {
    builder
        .service("tested")
        .cell_width(Duration::from_millis(20))
        .record_one_in(10)
        .profile_one_in(20)
        .sample_stacks(200)
        .warm_up(Duration::ZERO)
}

fn load(agent: &Agent) -> Load {
    Load::on(routes().layer(agent.layer()))
}

fn root(_: u64) -> String {
    "/".to_owned()
}

/// All were answered, and all that were answered are counted.
#[track_caller]
fn assert_none_is_missing(answers: Answers, agent: &Agent) {
    assert_eq!(answers.wrong, 0, "{answers:?}");
    assert!(answers.right > 100, "{answers:?}");
    wait_until("all are counted", || {
        agent.status().requests >= answers.right
    });
    assert_eq!(agent.status().requests, answers.right);
}

/// What was counted has arrived, or is told as given up.
#[track_caller]
fn assert_none_is_lost(collector: &TestCollector, agent: &Agent) {
    let status = agent.status();
    assert_eq!(
        collector.counted() + status.dropped_requests,
        status.requests,
        "{status:?}"
    );
}

#[test]
fn a_collector_that_cannot_be_reached() {
    let agent = busy(Agent::builder().collector(NOWHERE).queue_bytes(64 << 10)).start();
    let answers = load(&agent).during(root, || {
        wait_until("batches were given up", || agent.status().dropped > 0);
    });
    assert_none_is_missing(answers, &agent);
    assert!(
        !agent.shutdown(Duration::from_millis(100)),
        "nothing was sent"
    );
    let status = agent.status();
    assert_eq!(status.dropped_requests, status.requests, "{status:?}");
}

#[test]
fn a_collector_that_takes_the_connection_and_never_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (asked, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    thread::spawn({
        let (asked, seen) = (Arc::clone(&asked), Arc::clone(&seen));
        move || {
            for stream in listener.incoming().flatten() {
                let (asked, seen) = (Arc::clone(&asked), Arc::clone(&seen));
                asked.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || {
                    let mut stream = stream;
                    let mut some = [0; 4_096];
                    while let Ok(n @ 1..) = stream.read(&mut some) {
                        seen.fetch_add(n, Ordering::SeqCst);
                    }
                });
            }
        }
    });
    let agent = busy(Agent::builder().collector(address)).start();
    let answers = load(&agent).during(root, || {
        wait_until("a batch is on its way", || seen.load(Ordering::SeqCst) > 0);
        thread::sleep(Duration::from_millis(300));
    });
    assert_none_is_missing(answers, &agent);
    assert!(asked.load(Ordering::SeqCst) > 0);
    assert!(
        !agent.shutdown(Duration::from_millis(200)),
        "nobody took it"
    );
}

#[test]
fn a_collector_that_refuses_fails_and_comes_back() {
    let is_well = Arc::new(AtomicBool::new(false));
    let collector = TestCollector::scripted({
        let is_well = Arc::clone(&is_well);
        move |put| match is_well.load(Ordering::SeqCst) {
            true => (200, Duration::ZERO),
            false => ([500, 429, 200][put % 3], Duration::from_millis(3)),
        }
    });
    let agent = busy(collector.agent()).start();
    let answers = load(&agent).during(root, || {
        wait_until("one was taken", || agent.status().sent_batches > 0);
        is_well.store(true, Ordering::SeqCst);
    });
    assert_none_is_missing(answers, &agent);
    assert!(agent.status().retries > 0);
    assert!(agent.shutdown(SOON));
    assert_none_is_lost(&collector, &agent);
    assert_eq!(agent.status().dropped, 0);
}

#[test]
fn a_full_disk_under_the_spool() {
    let Some(disk) = SmallDisk::new() else {
        left_out("no disk can be mounted here");
        return;
    };
    let down = Arc::new(AtomicBool::new(true));
    let collector = TestCollector::while_up(&down);
    let agent = busy(collector.agent()).spool(disk.path()).start();
    let answers = load(&agent).during(root, || {
        wait_until("given up", || agent.status().dropped > 0);
        down.store(false, Ordering::SeqCst);
        wait_until("drained", || agent.status().spooled_batches == 0);
    });
    assert_none_is_missing(answers, &agent);
    assert!(agent.shutdown(SOON));
    assert_none_is_lost(&collector, &agent);
}

#[test]
fn a_spool_that_cannot_be_written() {
    let folder = folder();
    let no_folder = folder.path().join("file");
    std::fs::write(&no_folder, "not a folder").unwrap();
    let agent = busy(Agent::builder().collector(NOWHERE).queue_bytes(64 << 10))
        .spool(&no_folder)
        .start();
    let answers = load(&agent).during(root, || {
        wait_until("given up", || agent.status().dropped > 0);
    });
    assert_none_is_missing(answers, &agent);
    assert_eq!(agent.status().spooled_batches, 0);
    drop(agent);
    assert_eq!(std::fs::read_to_string(no_folder).unwrap(), "not a folder");
}

#[test]
fn ten_thousand_names_of_endpoints() {
    const NAMES: u64 = 10_000;
    let collector = TestCollector::start();
    let agent = busy(collector.agent())
        .cell_width(Duration::from_secs(60))
        .endpoint(|head| Some(head.uri.path().to_owned()))
        .start();
    let name = |n| format!("/name/{}", n % NAMES);
    let answers = load(&agent).during(name, || {
        wait_until("each was asked for", || agent.status().requests >= NAMES);
    });
    assert_none_is_missing(answers, &agent);
    assert!(
        agent.status().other_endpoint > NAMES / 2,
        "a thousand have names"
    );
    assert!(agent.shutdown(SOON));
    assert_none_is_lost(&collector, &agent);
}

#[test]
fn handlers_that_panic() {
    let collector = TestCollector::start();
    let agent = busy(collector.agent()).start();
    let some_panic = |n: u64| if n.is_multiple_of(3) { "/panic" } else { "/" }.to_owned();
    let answers = load(&agent).during(some_panic, || {
        thread::sleep(Duration::from_millis(200));
    });
    assert_none_is_missing(answers, &agent);
    assert!(agent.shutdown(SOON));
    assert_none_is_lost(&collector, &agent);
    let mut records = collector.requests();
    records.retain(|record| record.endpoint == "/panic");
    assert!(!records.is_empty());
    assert!(
        records
            .iter()
            .all(|record| record.error && record.status == Some(500))
    );
}

#[test]
fn two_agents_in_one_process() {
    let (first, second) = (TestCollector::start(), TestCollector::start());
    let (outer, inner) = (busy(first.agent()).start(), busy(second.agent()).start());
    let load = Load::on(routes().layer(inner.layer()).layer(outer.layer()));
    let answers = load.during(root, || thread::sleep(Duration::from_millis(200)));
    for (agent, collector) in [(&outer, &first), (&inner, &second)] {
        assert_none_is_missing(answers, agent);
        assert!(agent.shutdown(SOON));
        assert_none_is_lost(collector, agent);
    }
}

#[test]
fn an_agent_that_ends_while_its_layer_serves_and_others_that_start() {
    let collector = TestCollector::start();
    let agent = busy(collector.agent()).start();
    let load = load(&agent);
    let mut after = 0;
    let answers = load.during(root, || {
        assert!(agent.shutdown(SOON));
        after = agent.status().requests;
        for nth in 0..20 {
            let other = busy(collector.agent()).start();
            for _ in 0..10 {
                other.measure("task:between", || ());
            }
            // Not all are told that they end.
            if nth % 2 == 0 {
                assert!(other.shutdown(SOON));
            }
        }
    });
    assert_eq!(answers.wrong, 0, "{answers:?}");
    assert!(answers.right > after, "it served on: {answers:?}");
    assert_eq!(agent.status().requests, after, "but is measured no more");
    wait_until("all have sent", || collector.counted() == after + 20 * 10);
}
