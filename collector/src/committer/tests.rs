use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use http::{Request, StatusCode, header};

use super::*;
use crate::store::{CellQuery, TimeRange};
use crate::testing::{Bench, NOON, SECOND, batch, cell, request};

fn new(sequence: u64) -> NewBatch {
    let mut batch = batch(1, sequence, "a");
    batch.cells = vec![cell(NOON + sequence * SECOND, &[5])];
    NewBatch {
        uuid: batch.id(),
        digest: [1; 32],
        received_us: NOON,
        clock_ahead_us: None,
        packed: None,
        batch,
    }
}

fn start(bench: &Bench, room: usize, body_limit: usize) -> (Committer, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new());
    let store = Arc::new(bench.store.clone());
    let committer = Committer::start(store, Arc::clone(&metrics), room, body_limit);
    (committer, metrics)
}

async fn kept(bench: &Bench) -> usize {
    let query = CellQuery {
        service: "photo".into(),
        deploys: Vec::new(),
        time: TimeRange::ALL,
    };
    bench.store.cells(query).await.unwrap().len()
}

#[tokio::test]
async fn what_waits_together_is_committed_together_and_each_is_answered() {
    let bench = Bench::new();
    let (committer, metrics) = start(&bench, 1 << 20, 1_024);
    // One runtime thread: all of them wait before the first commit begins.
    let puts = (0..20).map(|at| {
        let seat = committer.seat(100).unwrap();
        // The last two are the same as the first, once with its bytes and once with others.
        let mut batch = new(if at < 18 { at } else { 0 });
        if at == 19 {
            batch.digest = [2; 32];
        }
        committer.put(batch, seat)
    });
    let mut outcomes = Vec::new();
    let mut puts: Vec<_> = puts.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        for put in &mut puts {
            assert!(put.as_mut().poll(context).is_pending());
        }
        std::task::Poll::Ready(())
    })
    .await;
    for put in puts {
        outcomes.push(put.await.unwrap());
    }
    assert!(
        outcomes[..18]
            .iter()
            .all(|&outcome| outcome == PutOutcome::Stored)
    );
    assert_eq!(
        outcomes[18..],
        [PutOutcome::Duplicate, PutOutcome::Conflict]
    );
    assert_eq!(kept(&bench).await, 18);
    let text = metrics.render(crate::store::DiskUse::default(), 0, 0);
    assert!(text.contains("commit_batches_count 1\n"), "{text}");
    assert!(text.contains("commit_batches_sum 20.0\n"), "{text}");
    assert!(text.contains("queue_batches 0\n"), "{text}");
}

#[tokio::test]
async fn records_take_the_room_that_they_occupy_however_few_bytes_they_came_in() {
    let bench = Bench::new();
    let (committer, _metrics) = start(&bench, 1_000 * UNIT, 10 * UNIT);
    let of = |records| {
        let mut batch = batch(1, 0, "a");
        batch.requests = vec![request(NOON, 5); records];
        batch
    };
    let mut seat = committer.seat(UNIT).unwrap();
    seat.fit(10 * UNIT).unwrap();
    seat.hold(&of(1)).unwrap();
    assert_eq!(committer.room_bytes().1, 960 * UNIT);
    let least = 1_000 * size_of::<appweight_wire::RequestRecord>();
    seat.hold(&of(1_000)).unwrap();
    let free = committer.room_bytes().1;
    assert!(free <= 1_000 * UNIT - least, "{free} bytes are free");
    let mut other = committer.seat(UNIT).unwrap();
    assert_eq!(other.hold(&of(2_000)), Err(Full));
    drop((seat, other));
    // So do the flags of one.
    let mut flags = of(1);
    let flag = appweight_wire::Flag {
        name: "f".into(),
        value: "v".into(),
    };
    flags.requests[0].flags = vec![flag; 1_000];
    let mut seat = committer.seat(UNIT).unwrap();
    seat.hold(&flags).unwrap();
    let least = 1_000 * size_of::<appweight_wire::Flag>();
    let free = committer.room_bytes().1;
    assert!(free <= 1_000 * UNIT - least, "{free} bytes are free");
    drop(seat);
    // What is larger than all the room is let in alone.
    let mut alone = committer.seat(UNIT).unwrap();
    alone.hold(&of(10_000)).unwrap();
    assert_eq!(committer.room_bytes().1, 0);
}

#[tokio::test]
async fn room_is_handed_out_and_comes_back() {
    let bench = Bench::new();
    let (committer, _) = start(&bench, 100 * UNIT, UNIT);
    let mut seat = committer.seat(60 * UNIT).unwrap();
    assert!(committer.seat(60 * UNIT).is_err());
    // It turned out smaller: what is left over is free again.
    seat.fit(10 * UNIT).unwrap();
    let mut other = committer.seat(60 * UNIT).unwrap();
    assert_eq!(other.fit(30 * UNIT), Err(Full));
    drop(seat);
    committer.put(new(0), other).await.unwrap();
    committer.seat(100 * UNIT).unwrap();
}

#[tokio::test]
async fn what_waits_is_committed_before_the_end() {
    let bench = Bench::new();
    let (committer, _) = start(&bench, 1 << 20, 1_024);
    let committer = Arc::new(committer);
    let answered = Arc::new(AtomicUsize::new(0));
    let puts: Vec<_> = (0..5)
        .map(|at| {
            let (committer, answered) = (Arc::clone(&committer), Arc::clone(&answered));
            tokio::spawn(async move {
                let seat = committer.seat(100).unwrap();
                let outcome = committer.put(new(at), seat).await.unwrap();
                answered.fetch_add(1, Ordering::SeqCst);
                outcome
            })
        })
        .collect();
    tokio::task::yield_now().await;
    committer.drain().await;
    assert_eq!(kept(&bench).await, 5);
    for put in puts {
        assert_eq!(put.await.unwrap(), PutOutcome::Stored);
    }
    let late = committer.put(new(9), committer.seat(100).unwrap()).await;
    assert!(matches!(late, Err(NotKept::Failed(StoreError::Cut(_)))));
}

#[tokio::test]
async fn a_client_that_finds_no_room_is_asked_to_come_again() {
    let bench = Bench::with(|options| options.queue_bytes = 0);
    // As others would whose batches wait: there is room for the largest body, 64 KiB, and no more.
    let app = bench.collector.app();
    let held = app.committer.seat(5 * 64 * 1024).unwrap();
    let mut batch = batch(1, 0, "a");
    batch.cells = vec![cell(NOON, &[5])];
    let answer = bench.put_batch(&batch).await;
    answer.assert_problem(429, None);
    let seconds: u64 = answer.headers[header::RETRY_AFTER]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=5).contains(&seconds));
    assert_eq!(kept(&bench).await, 0);
    drop(held);
    assert_eq!(bench.put_batch(&batch).await.status, StatusCode::CREATED);
    assert_eq!(kept(&bench).await, 1);
    let metrics = bench
        .send(Request::get("/metrics").body(Body::empty()).unwrap())
        .await;
    let text = metrics.body.as_str().unwrap().to_owned();
    assert!(
        text.contains("batches_total{outcome=\"busy\"} 1\n"),
        "{text}"
    );
}
