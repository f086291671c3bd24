//! What a collector has to withstand, whichever store it has.

use std::time::{Duration, Instant};

use crate::by_hand::ByHand;
use crate::clients::Clients;
use crate::collector::Collector;
use crate::expect::{expect_all_once, expect_ledgers};
use crate::ledger::{Ledger, failed_with, print_ledgers};
use crate::today::an_hour_ago;
use crate::wait::eventually;

/// Batches that failed until it is clear that all do.
const FAILED: u64 = 8;
/// How long a collector that is asked to end may take.
const ENDS_WITHIN: Duration = Duration::from_secs(20);

/// Clients meet a disk that is full, and then has room again.
///
/// # Panics
/// If something is lost, counted twice, or not told.
#[expect(
    clippy::print_stdout,
    reason = "how much was acknowledged is for whoever reads the output"
)]
pub fn survives_a_full_disk(
    collector: &Collector,
    what: &str,
    mut fill: impl FnMut(),
    give_room: impl FnOnce(),
) {
    let clients = Clients::start(&collector.url, 4);
    clients.more(3);
    eventually("the disk is full", || {
        // Again and again: what is removed there meanwhile makes room for what comes next.
        fill();
        let failed = collector.metric(r#"appweight_collector_batches_total{outcome="failed"} "#);
        (failed > FAILED).then_some(()).ok_or(failed.to_string())
    });
    // What is there can still be read, and what fails is told as such.
    assert_eq!(collector.get("/v1/services").status, 200);
    let mut client = ByHand::new(&collector.url, "other", "a", "web-9");
    let refused = eventually("a batch is refused", || {
        let batch = client.batch(&[ByHand::request(an_hour_ago(), "/full", 1)]);
        let answer = client.send(&batch)?;
        (answer.status == 503)
            .then_some(answer.clone())
            .ok_or(answer.text)
    });
    assert_eq!(refused.content_type, "application/problem+json");
    let before = clients.acknowledged();
    give_room();
    clients.more(3);
    let ledgers = clients.stop();
    print_ledgers(what, &ledgers);
    println!("{what}: {before:?} batches were acknowledged when there was room again");
    assert!(failed_with(&ledgers, 503), "nobody noticed");
    let known: usize = ledgers.iter().map(Ledger::len).sum();
    assert!(known > before.iter().sum::<u64>() as usize);
    expect_ledgers(collector, &ledgers);
}

/// A collector is asked to end under load, some times over: what waits is stored and answered first.
///
/// # Panics
/// If something is lost or counted twice, if a client is not told what was stored, or if it does not end well and soon.
pub fn drains_when_asked_to_end(collector: &mut Collector, times: u32) {
    let clients = Clients::start(&collector.url, 8);
    for _ in 0..times {
        clients.more(2);
        let began = Instant::now();
        let ended = collector.stop();
        assert!(ended.success(), "{ended}");
        let took = began.elapsed();
        assert!(took < ENDS_WITHIN, "it took {took:?}");
        collector.restart();
    }
    clients.more(2);
    let ledgers = clients.stop();
    print_ledgers("asked to end", &ledgers);
    assert!(failed_with(&ledgers, 0), "it was never away");
    for ledger in &ledgers {
        assert_eq!(ledger.stored_unheard, 0, "stored, and not answered");
    }
    expect_all_once(collector, &ledgers);
}
