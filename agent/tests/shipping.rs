//! Whatever the collector does costs records at most, and these are counted.

#[cfg(test)]
mod support;

use std::time::{Duration, Instant};

use appweight_agent::Agent;
use appweight_wire::Origin;

use support::{NOWHERE, Reply, SOON, TestCollector, wait_until};

const NOTHING: Duration = Duration::ZERO;

/// A hundred tasks; says how long they took.
fn work(agent: &Agent) -> Duration {
    let begun = Instant::now();
    for _ in 0..100 {
        agent.measure("task:work", || ());
    }
    begun.elapsed()
}

#[test]
fn a_retry_has_the_same_id_and_bytes_and_batches_stay_in_order() {
    let collector = TestCollector::scripted(|n| (if n < 2 { 500 } else { 200 }, NOTHING));
    let agent = collector
        .agent()
        .cell_width(Duration::from_millis(100))
        .start();
    work(&agent);
    wait_until("taken", || agent.status().sent > 0);
    assert!(agent.shutdown(SOON));
    let puts = collector.puts();
    assert!(puts.len() >= 3);
    assert_eq!(
        [puts[0].status, puts[1].status, puts[2].status],
        [500, 500, 200]
    );
    for retry in &puts[1..3] {
        assert_eq!((retry.id, &retry.body), (puts[0].id, &puts[0].body));
    }
    let batches = collector.batches();
    let sequences: Vec<u64> = batches.iter().map(|batch| batch.sequence).collect();
    assert_eq!(sequences, (0..sequences.len() as u64).collect::<Vec<_>>());
    let status = agent.status();
    assert_eq!((status.retries, status.dropped), (2, 0));
    assert_eq!(
        status.sent,
        batches.iter().map(|batch| batch.len() as u64).sum::<u64>()
    );
    assert_eq!(
        collector.cells().iter().map(|cell| cell.n).sum::<u64>(),
        100
    );
}

#[test]
fn batches_are_compressed() {
    let collector = TestCollector::start();
    let agent = collector.agent().start();
    work(&agent);
    assert!(agent.shutdown(SOON));
    let put = collector.puts().remove(0);
    let plain = zstd::stream::decode_all(put.body.as_slice()).unwrap();
    assert_eq!(put.body, zstd::bulk::compress(&plain, 1).unwrap());
    assert!(put.body.len() < plain.len());
    assert_eq!(agent.status().sent_bytes, put.body.len() as u64);
    let told = zstd::zstd_safe::get_frame_content_size(&put.body).unwrap();
    assert_eq!(
        told,
        Some(plain.len() as u64),
        "a collector can see its length"
    );
}

#[test]
fn the_bytes_that_processes_tell_are_those_of_the_bodies() {
    let collector = TestCollector::start();
    let width = Duration::from_millis(500);
    let agent = collector.agent().cell_width(width).record_one_in(0).start();
    // The last one is told right after a batch was sent, and long before the next.
    wait_until("some are sent", || {
        work(&agent);
        agent.status().sent_batches >= 3
    });
    assert!(agent.shutdown(SOON));
    let told: Vec<u64> = collector
        .processes()
        .iter()
        .map(|process| process.agent_bytes_sent)
        .collect();
    let mut sizes: Vec<u64> = collector
        .puts()
        .iter()
        .map(|put| put.body.len() as u64)
        .collect();
    assert_eq!(agent.status().sent_bytes, sizes.iter().sum::<u64>());
    // Nobody can tell the size of what it is itself in.
    let last = sizes.pop().unwrap();
    assert_eq!(
        told.iter().sum::<u64>(),
        sizes.iter().sum::<u64>(),
        "{told:?} of {sizes:?} and {last}"
    );
    assert!(
        told.iter().filter(|bytes| **bytes > 0).count() >= 2,
        "{told:?}"
    );
}

#[test]
fn every_batch_tells_whose_it_is() {
    let collector = TestCollector::start();
    let agent = collector
        .agent()
        .service("photos")
        .deploy("8f2c1a9")
        .host("web-1")
        .cluster("blue")
        .region("eu-north")
        .cell_width(Duration::from_millis(50))
        .start();
    wait_until("some are sent", || {
        work(&agent);
        agent.status().sent_batches >= 2
    });
    assert!(agent.shutdown(SOON));
    let expected = Origin {
        service: "photos".into(),
        deploy: "8f2c1a9".into(),
        host: "web-1".into(),
        cluster: "blue".into(),
        region: "eu-north".into(),
    };
    for batch in collector.batches() {
        assert_eq!(batch.origin, expected);
    }
}

#[test]
fn a_refused_batch_is_dropped_counted_and_not_repeated() {
    let collector = TestCollector::scripted(|_| (413, NOTHING));
    let agent = collector.agent().start();
    work(&agent);
    assert!(!agent.shutdown(SOON));
    let status = agent.status();
    // 100 records, their cell and the process record.
    assert_eq!(
        (
            collector.puts().len(),
            status.dropped,
            status.sent,
            status.retries
        ),
        (1, 102, 0, 0)
    );
}

#[test]
fn too_many_requests_is_tried_again() {
    let collector = TestCollector::scripted(|n| (if n == 0 { 429 } else { 200 }, NOTHING));
    let agent = collector.agent().start();
    work(&agent);
    assert!(agent.shutdown(SOON));
    assert_eq!((agent.status().dropped, agent.status().sent), (0, 102));
}

#[test]
fn the_collector_is_not_asked_before_the_time_that_it_names() {
    let collector = TestCollector::scripted(|n| Reply {
        status: if n == 0 { 503 } else { 200 },
        delay: NOTHING,
        headers: "Retry-After: 1\r\n",
    });
    let agent = collector
        .agent()
        .cell_width(Duration::from_millis(20))
        .start();
    work(&agent);
    wait_until("refused", || collector.puts().len() == 1);
    let begun = Instant::now();
    wait_until("asked again", || collector.puts().len() > 1);
    // The first pause without it would be a quarter of a second at most.
    assert!(begun.elapsed() > Duration::from_millis(900));
    assert!(agent.shutdown(SOON));
    assert_eq!(collector.counted(), 100);
}

#[test]
fn the_token_is_sent_and_told_nobody_else() {
    let collector = TestCollector::start();
    let builder = collector.agent().token("hush-hush");
    assert!(!format!("{builder:?}").contains("hush"));
    let agent = builder.start();
    work(&agent);
    assert!(agent.shutdown(SOON));
    assert_eq!(collector.puts()[0].authorization, "Bearer hush-hush");
    assert!(!format!("{agent:?}{:?}", agent.status()).contains("hush"));

    let collector = TestCollector::start();
    let agent = collector.agent().start();
    work(&agent);
    assert!(agent.shutdown(SOON));
    assert_eq!(collector.puts()[0].authorization, "");
    let broken = collector.agent().token("two words").start();
    assert!(!broken.status().enabled);
}

#[test]
fn a_token_that_is_not_taken_loses_nothing() {
    for status in [401, 403] {
        let collector =
            TestCollector::scripted(move |n| (if n == 0 { status } else { 200 }, NOTHING));
        let agent = collector
            .agent()
            .cell_width(Duration::from_millis(20))
            .start();
        work(&agent);
        wait_until("not taken", || agent.status().retries == 1);
        work(&agent);
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(collector.puts().len(), 1, "it is not hammered");
        // The shutdown is the last chance.
        assert!(agent.shutdown(SOON));
        assert_eq!(agent.status().dropped, 0);
        assert_eq!(collector.counted(), 200);
    }
}

#[test]
fn a_shutdown_does_not_wait_for_what_will_not_come() {
    let collector = TestCollector::scripted(|_| (401, NOTHING));
    let agent = collector.agent().start();
    work(&agent);
    let begun = Instant::now();
    assert!(!agent.shutdown(Duration::from_secs(30)));
    assert!(begun.elapsed() < SOON);
    assert_eq!(agent.status().dropped, 102);
}

#[test]
fn an_agent_that_ends_and_starts_again_is_another_source() {
    let collector = TestCollector::start();
    for _ in 0..2 {
        let agent = collector.agent().start();
        work(&agent);
        drop(agent);
    }
    let sources: Vec<_> = collector
        .batches()
        .iter()
        .map(|batch| (batch.source, batch.sequence))
        .collect();
    assert_eq!(sources.len(), 2);
    assert_ne!(sources[0].0, sources[1].0);
    assert_eq!(collector.counted(), 200);
}

#[test]
fn a_collector_that_is_down_costs_records_only() {
    let agent = Agent::builder()
        .service("tested")
        .collector(NOWHERE)
        .profile_one_in(0)
        .record_one_in(1)
        .start();
    assert!(work(&agent) < Duration::from_secs(1));
    let begun = Instant::now();
    assert!(!agent.shutdown(Duration::from_millis(300)));
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    wait_until("counted", || agent.status().dropped == 102);
    assert!(agent.status().retries > 0);
}

#[test]
fn a_slow_collector_delays_neither_requests_nor_the_end() {
    let collector = TestCollector::scripted(|_| (200, Duration::from_secs(60)));
    let agent = collector
        .agent()
        .cell_width(Duration::from_millis(50))
        .start();
    work(&agent);
    wait_until("being sent", || !collector.puts().is_empty());
    assert!(work(&agent) < Duration::from_secs(1));
    let begun = Instant::now();
    assert!(!agent.shutdown(Duration::from_millis(300)));
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_full_queue_gives_up_the_oldest_and_counts_it() {
    // Slow while the queue fills.
    let collector = TestCollector::scripted(|n| {
        let pause = if n < 3 { 300 } else { 0 };
        (if n == 0 { 500 } else { 200 }, Duration::from_millis(pause))
    });
    let agent = collector
        .agent()
        .cell_width(Duration::from_millis(20))
        .queue_bytes(8_000)
        .start();
    let begun = Instant::now();
    while agent.status().dropped == 0 {
        assert!(begun.elapsed() < Duration::from_secs(10));
        work(&agent);
        assert!(agent.status().queued_bytes <= 8_000);
        std::thread::sleep(Duration::from_millis(5));
    }
    // What is sealed last needs room: in a queue that is still full it would push out one more.
    wait_until("room", || agent.status().queued_bytes < 4_000);
    assert!(agent.shutdown(SOON));
    let status = agent.status();
    let sent: u64 = collector
        .batches()
        .iter()
        .map(|batch| batch.len() as u64)
        .sum();
    assert_eq!(status.sent, sent);
    assert!(status.dropped > 0);
    // The process records tell what had been given up until then.
    assert!(collector.processes().last().unwrap().dropped_total > 0);
}

#[test]
fn dropping_the_last_handle_sends_what_is_there() {
    let collector = TestCollector::start();
    let agent = collector.agent().start();
    work(&agent);
    let layer = agent.layer();
    drop(agent);
    assert_eq!(collector.puts().len(), 0, "a layer is a handle too");
    drop(layer);
    assert_eq!(
        collector.cells().iter().map(|cell| cell.n).sum::<u64>(),
        100
    );
}

#[test]
fn nothing_piles_up_after_the_shutdown() {
    let collector = TestCollector::start();
    let agent = collector.agent().start();
    assert!(agent.shutdown(SOON));
    work(&agent);
    let status = agent.status();
    assert_eq!((status.cells, status.tasks, status.enabled), (0, 0, false));
    assert!(
        agent.shutdown(NOTHING),
        "a second shutdown finds nothing to do"
    );
}
