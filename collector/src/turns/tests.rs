use std::pin::pin;
use std::time::Duration;

use http::header;
use serde_json::json;
use tokio::sync::oneshot;

use super::*;
use crate::off_the_runtime::off_the_runtime;
use crate::testing::{Bench, NOON, batch, cell};

/// As many questions would whose answers take their time.
fn all_places(line: &Line) -> OwnedSemaphorePermit {
    let places = Arc::clone(&line.places);
    let free = u32::try_from(places.available_permits()).unwrap();
    places.try_acquire_many_owned(free).unwrap()
}

/// Whether that is not done after all that could be has been.
async fn waits(work: &mut (impl Future + Unpin)) -> bool {
    tokio::time::timeout(Duration::from_millis(100), work)
        .await
        .is_err()
}

async fn within_seconds<T>(done: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(Duration::from_secs(60), done).await;
    done.expect("it is done within seconds")
}

const LARGE: [&str; 4] = [
    "/v1/flags",
    "/v1/compare?base=a&head=a",
    "/v1/profile?deploy=a",
    "/v1/profile/diff?base=a&head=a",
];
const SMALL: [&str; 9] = [
    "/v1/services",
    "/v1/deploys",
    "/v1/deploys/a",
    "/v1/weight",
    "/v1/drift",
    "/v1/profiles?deploy=a",
    "/v1/processes",
    "/v1/requests",
    "/v1/alerts",
];

#[tokio::test]
async fn questions_wait_their_turn_and_nothing_else_waits_for_them() {
    let bench = Bench::new();
    let mut sent = batch(1, 0, "a");
    sent.cells = vec![cell(NOON, &[5])];
    assert_eq!(bench.put_batch(&sent).await.status, 201);
    let turns = &bench.collector.app().turns;
    for (line, in_line, others) in [
        (&turns.large, &LARGE[..], &SMALL[..]),
        (&turns.small, &SMALL, &LARGE),
    ] {
        let held = all_places(line);
        for question in others {
            let answer = within_seconds(bench.get(question)).await;
            assert!(matches!(answer.status.as_u16(), 200..429), "{question}");
        }
        for question in ["/healthz", "/metrics", "/v1/openapi.json"] {
            assert_eq!(within_seconds(bench.get(question)).await.status, 200);
        }
        sent.sequence += 1;
        assert_eq!(within_seconds(bench.put_batch(&sent)).await.status, 201);
        let deploy = json!({"service": "photo", "id": "b"});
        assert!(bench.post_deploy(deploy).await.status.is_success());
        within_seconds(bench.collector.watch_once()).await.unwrap();
        let mut asked: Vec<_> = in_line.iter().map(|uri| Box::pin(bench.get(uri))).collect();
        for (question, answer) in in_line.iter().zip(&mut asked) {
            assert!(waits(answer).await, "{question}");
        }
        drop(held);
        for answer in asked {
            let status = within_seconds(answer).await.status.as_u16();
            assert!(matches!(status, 200..429), "{status}");
        }
    }
}

#[tokio::test]
async fn a_line_that_is_too_long_takes_nobody_and_who_leaves_it_makes_room() {
    let bench = Bench::new();
    let line = &bench.collector.app().turns.large;
    let held = all_places(line);
    let mut first = Box::pin(bench.get("/v1/flags"));
    assert!(waits(&mut first).await);
    let full = line.full();
    let refused = bench.get("/v1/flags").await;
    refused.assert_problem(429, None);
    assert_eq!(refused.headers[header::RETRY_AFTER], "5");
    drop(first);
    let mut next = Box::pin(bench.get("/v1/flags"));
    assert!(waits(&mut next).await);
    drop((held, full));
    // There is no service yet.
    assert_eq!(within_seconds(next).await.status, 404);
}

#[tokio::test]
async fn no_more_are_answered_at_once_than_there_are_places() {
    let line = Line::new(2);
    let (free, mut answers) = (Semaphore::new(0), Vec::new());
    for _ in 0..5 {
        let answered = line.answer(async { free.acquire().await.unwrap().forget() });
        answers.push(Box::pin(answered));
    }
    for answer in &mut answers {
        assert!(waits(answer).await);
    }
    assert_eq!(line.places.available_permits(), 0);
    // Two of those that are answered and one that waits go away.
    answers.drain(..3);
    assert_eq!(line.places.available_permits(), 0, "the next have theirs");
    free.add_permits(2);
    for answer in answers {
        within_seconds(answer).await.unwrap();
    }
    assert_eq!(line.places.available_permits(), 2);
    assert_eq!(line.room.available_permits(), 2 + 2 * WAITING);
}

#[tokio::test]
async fn work_that_goes_on_keeps_its_place_when_its_client_has_gone_away() {
    let line = Line::new(1);
    let (begun, begins) = oneshot::channel();
    let (go_on, wait) = std::sync::mpsc::channel::<()>();
    {
        let read = off_the_runtime(move || {
            let _ = begun.send(());
            let _ = wait.recv();
        });
        let mut answer = pin!(line.answer(read));
        tokio::select! {
            _ = &mut answer => panic!("it is not done"),
            begun = begins => begun.unwrap(),
        }
    }
    assert_eq!(line.places.available_permits(), 0);
    let mut next = Box::pin(line.answer(async {}));
    assert!(waits(&mut next).await);
    drop(go_on);
    within_seconds(next).await.unwrap();
}
