//! A collector that crashes, is slow or is not there costs a service nothing but the records, and
//! a crash costs nothing that was acknowledged.

use std::io::Read;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use appweight_tests::{ByHand, Collector, Measured, Service, eventually, get};
use serde_json::json;

/// The begin of this second: older records are not kept long.
fn now_us() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("it is after 1970");
    now.as_secs() * 1_000_000
}

#[test]
fn what_was_acknowledged_outlives_a_kill() {
    let mut collector = Collector::start();
    let mut client = ByHand::new(&collector.url, "photos", "a", "web-1");
    let mut last = json!(null);
    let start_us = now_us();
    for round in 0..3 {
        for at in 0..5 {
            last = client.batch(&[
                ByHand::request(start_us + at, "/feed", 700_000 + at),
                ByHand::request(start_us + at, "/save", 300_000),
            ]);
            assert_eq!(client.send(&last).unwrap().status, 201);
        }
        collector.kill();
        collector.restart();
        // As a client does whose answer was lost on the way: committed, then timed out.
        let again = client.send(&last).unwrap();
        assert_eq!(
            (again.status, again.json()),
            (200, json!({"duplicate": true}))
        );
        let so_far = 5 * (round + 1);
        collector.expect_requests("photos", "a", &[("/feed", so_far), ("/save", so_far)]);
    }
    let recorded = collector.get("/v1/requests?service=photos&deploy=a").json();
    assert_eq!(recorded.as_array().map(Vec::len), Some(30));
    let other = json!({"duplicate": true});
    assert_eq!(client.send(&last).unwrap().json(), other);
}

#[test]
fn a_batch_that_was_cut_off_by_the_kill_is_whole_or_not_there() {
    let mut collector = Collector::start();
    let mut client = ByHand::new(&collector.url, "photos", "a", "web-1");
    let sent = Arc::new(AtomicU64::new(0));
    let start_us = now_us();
    let requests: Vec<_> = (0..200)
        .map(|at| ByHand::request(start_us + at, "/feed", 500_000 + at))
        .collect();
    let batches: Vec<_> = (0..50).map(|_| client.batch(&requests)).collect();
    let sender = std::thread::spawn({
        let (sent, client, batches) = (Arc::clone(&sent), client.clone(), batches.clone());
        move || {
            for batch in &batches {
                if client.send(batch).is_err() {
                    return;
                }
                sent.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    eventually("some batches are in", || {
        let sent = sent.load(Ordering::SeqCst);
        (sent >= 5).then_some(()).ok_or(format!("only {sent}"))
    });
    collector.kill();
    sender.join().unwrap();
    let acknowledged = sent.load(Ordering::SeqCst);
    collector.restart();
    // One more may have been committed without its answer.
    let stored = collector.counted("photos", "a").unwrap()["/feed"].requests;
    assert_eq!(stored % 200, 0, "never a part of a batch");
    let whole = stored / 200;
    assert!(
        whole == acknowledged || whole == acknowledged + 1,
        "{whole} stored, {acknowledged} acknowledged"
    );
    for batch in &batches {
        let status = client.send(batch).unwrap().status;
        assert!(matches!(status, 200 | 201), "{status}");
    }
    collector.expect_requests("photos", "a", &[("/feed", 50 * 200)]);
}

/// Requests without a pause, in a thread of their own. Every one must be answered with 200.
struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<Duration>,
}

impl Load {
    fn on(service: &Service) -> Self {
        let (stop, sent) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let url = format!("{}/hello/Kim", service.url);
        let thread = std::thread::spawn({
            let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
            move || {
                let mut slowest = Duration::ZERO;
                while !stop.load(Ordering::SeqCst) {
                    let began = Instant::now();
                    assert_eq!(get(&url).expect("the service answers").status, 200);
                    slowest = slowest.max(began.elapsed());
                    sent.fetch_add(1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(1));
                }
                slowest
            }
        });
        Self { stop, sent, thread }
    }

    /// Waits for that many more answers.
    fn more(&self, requests: u64) {
        let until = self.sent.load(Ordering::SeqCst) + requests;
        eventually("requests are answered", || {
            assert!(!self.thread.is_finished(), "a request failed");
            let sent = self.sent.load(Ordering::SeqCst);
            (sent >= until).then_some(()).ok_or(format!("{sent}"))
        });
    }

    /// How many were answered.
    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        let slowest = self.thread.join().expect("every request answered 200");
        // The collector's time-outs are 2 s and 10 s: whoever waited for one would show.
        assert!(
            slowest < Duration::from_millis(1_900),
            "one took {slowest:?}"
        );
        self.sent.load(Ordering::SeqCst)
    }
}

#[test]
fn a_crash_in_the_middle_loses_no_request_and_no_record() {
    let mut collector = Collector::start();
    let service = Service::start(Measured::by(&collector.url, "a", "web-1"), 1);
    let load = Load::on(&service);
    eventually("the first cells are in", || {
        collector.counted("small", "a").map(|_| ())
    });
    collector.kill();
    load.more(200);
    eventually("the agent has noticed", || {
        let retries = service.agent.status().retries;
        (retries > 0).then_some(()).ok_or(retries.to_string())
    });
    collector.restart();
    let sent_before = service.agent.status().sent_batches;
    eventually("the agent sends again", || {
        let status = service.agent.status();
        (status.sent_batches > sent_before + 1)
            .then_some(())
            .ok_or(format!("{status:?}"))
    });
    let answered = load.stop();
    assert_eq!(service.agent.status().dropped, 0);
    assert!(service.stop(Duration::from_secs(20)));
    collector.expect_requests("small", "a", &[("/hello/{name}", answered)]);
}

#[test]
fn what_is_lost_while_nobody_listens_is_counted() {
    let mut collector = Collector::start();
    collector.kill();
    // Room for a few batches, each a cell and a process record.
    let measured = Measured::by(&collector.url, "a", "web-1")
        .with(|agent| agent.queue_bytes(4_000).record_one_in(0));
    let service = Service::start(measured, 1);
    let load = Load::on(&service);
    eventually("records are given up", || {
        let status = service.agent.status();
        (status.dropped > 0)
            .then_some(())
            .ok_or(format!("{status:?}"))
    });
    load.more(100);
    collector.restart();
    // The records that are lost are told as soon as somebody listens.
    eventually("the loss is told", || {
        let processes = collector.get("/v1/processes?service=small");
        let told = processes.json()[0]["dropped_total"].as_u64();
        (told > Some(0)).then_some(()).ok_or(processes.text)
    });
    let answered = load.stop();
    let agent = service.agent.clone();
    assert!(
        service.stop(Duration::from_secs(20)),
        "nothing more is lost"
    );
    let status = agent.status();
    assert_eq!(status.requests, answered, "{status:?}");
    let counted = collector.counted("small", "a").unwrap()["/hello/{name}"].requests;
    assert!(0 < counted && counted < answered, "{counted} of {answered}");
}

#[test]
fn a_collector_that_never_answers_holds_nobody_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let received = Arc::new(AtomicU64::new(0));
    std::thread::spawn({
        let received = Arc::clone(&received);
        move || {
            // Reads a little and keeps every connection open.
            let mut open = Vec::new();
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                let read = connection.read(&mut [0; 16]).unwrap_or(0);
                received.fetch_add(read as u64, Ordering::SeqCst);
                open.push(connection);
            }
        }
    });
    let service = Service::start(Measured::by(&url, "a", "web-1"), 1);
    let load = Load::on(&service);
    eventually("the agent tries", || {
        let received = received.load(Ordering::SeqCst);
        (received > 0).then_some(()).ok_or("not yet".to_owned())
    });
    load.more(500);
    let answered = load.stop();
    let agent = service.agent.clone();
    let began = Instant::now();
    assert!(!service.stop(Duration::from_millis(200)));
    assert!(began.elapsed() < Duration::from_secs(2));
    let status = agent.status();
    assert_eq!((status.sent, status.requests), (0, answered));
    // All but the batch that hangs on its way.
    assert!(status.dropped > 0, "{status:?}");
}
