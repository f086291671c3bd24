//! A request is charged for its own polls, whatever runs between and wherever.

#[cfg(test)]
mod support;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use appweight_wire::{Age, Kind};
use axum::Router;
use axum::routing::get;
use http::Request;
use tower::ServiceExt;

use support::{SOON, TestCollector, burn, get_request};

async fn request(app: &Router, path: &str) -> http::StatusCode {
    let Ok(response) = app.clone().oneshot(get_request(path)).await;
    response.status()
}

async fn burn_in_turns(units: u32) {
    for _ in 0..20 {
        burn(units);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn interleaved_requests_are_charged_for_their_own_polls() {
    let collector = TestCollector::start();
    let agent = collector.agent().start();
    let app = Router::new()
        .route("/heavy", get(|| burn_in_turns(8)))
        .route("/light", get(|| burn_in_turns(2)))
        .layer(agent.layer());
    tokio::join!(request(&app, "/heavy"), request(&app, "/light"));
    assert!(agent.shutdown(SOON));

    let (heavy, light) = (collector.request("/heavy"), collector.request("/light"));
    let ratio = heavy.cpu_ns.unwrap() as f64 / light.cpu_ns.unwrap() as f64;
    assert!((2.5..6.5).contains(&ratio), "{ratio}, about 4 expected");
    // They ran at the same time, and neither was charged for the other.
    let wall_ratio = heavy.wall_ns as f64 / light.wall_ns as f64;
    assert!(wall_ratio < 1.5, "{wall_ratio}");
    assert!(light.cpu_ns.unwrap() < light.wall_ns / 2);
    assert_eq!((heavy.polls, heavy.thread_hops), (21, 0));
    assert_eq!(
        (heavy.status, heavy.error, heavy.weight),
        (Some(200), false, 1)
    );
    assert_eq!(
        (heavy.method.as_deref(), heavy.age),
        (Some("GET"), Age::Warm)
    );
    assert!(heavy.rss_start_bytes.is_some() && heavy.rss_end_bytes.is_some());
}

#[tokio::test]
async fn a_request_that_sleeps_costs_next_to_nothing() {
    let collector = TestCollector::start();
    let agent = collector.agent().start();
    let app = Router::new()
        .route(
            "/wait",
            get(|| tokio::time::sleep(Duration::from_millis(200))),
        )
        .layer(agent.layer());
    let used = || appweight_agent::thread_cpu_ns().unwrap();
    let before = used();
    request(&app, "/wait").await;
    // All of it is done by this thread, whose clock never goes back: the request costs a part of what the thread used.
    let most = used() - before;
    assert!(agent.shutdown(SOON));
    let record = collector.request("/wait");
    assert!(record.wall_ns >= 200_000_000, "{record:?}");
    assert!(record.cpu_ns.unwrap() <= most, "{most} used: {record:?}");
    assert!(most < record.wall_ns / 10, "{most} used: {record:?}");
}

#[test]
fn a_future_that_moves_is_charged_for_its_polls_on_both_threads() {
    let collector = TestCollector::start();
    let agent = collector.agent().start();
    let mut polls = 0;
    let moving = poll_fn(move |_| {
        burn(20);
        polls += 1;
        if polls == 2 {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    });
    let mut moving = Box::pin(agent.measure_future("task:moving", moving));
    let poll = |future: &mut (dyn Future<Output = ()> + Unpin)| {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    };
    assert!(poll(&mut moving).is_pending());
    thread::scope(|scope| {
        scope.spawn(|| {
            // This thread's own work, before and after.
            burn(400);
            assert!(poll(&mut moving).is_ready());
            burn(400);
        });
    });
    agent.measure("task:as much", || burn(40));
    assert!(agent.shutdown(SOON));

    let (moved, as_much) = (
        collector.request("task:moving"),
        collector.request("task:as much"),
    );
    let ratio = moved.cpu_ns.unwrap() as f64 / as_much.cpu_ns.unwrap() as f64;
    assert!((0.5..2.0).contains(&ratio), "{ratio}, about 1 expected");
    assert_eq!(
        (moved.kind, moved.polls, moved.thread_hops),
        (Kind::Task, 2, 1)
    );
    assert_eq!((moved.status, moved.method), (None, None));
}

#[tokio::test]
async fn what_is_measured_inside_is_charged_to_both_and_keeps_its_own_facts() {
    let collector = TestCollector::start();
    let agent = collector.agent().start();
    let handler = {
        let agent = agent.clone();
        || async move {
            appweight_agent::flag("outer", "before");
            let inner = async {
                appweight_agent::flag("inner", "on");
                burn(40);
                tokio::task::yield_now().await;
                appweight_agent::downstream("cache", tokio::time::sleep(Duration::from_millis(3)))
                    .await;
            };
            agent.measure_future("task:inner", inner).await;
            agent.measure("task:blocking", || appweight_agent::flag("blocking", "on"));
            appweight_agent::flag("outer", "after");
            appweight_agent::downstream_blocking("database", || burn(1));
            appweight_agent::downstream_blocking("database", || ());
        }
    };
    let app = Router::new()
        .route("/outer", get(handler))
        .layer(agent.layer());
    request(&app, "/outer").await;
    assert!(agent.shutdown(SOON));

    let (outer, inner) = (collector.request("/outer"), collector.request("task:inner"));
    let flags = |record: &appweight_wire::RequestRecord| -> Vec<String> {
        record
            .flags
            .iter()
            .map(|flag| format!("{}={}", flag.name, flag.value))
            .collect()
    };
    assert_eq!(flags(&outer), ["outer=after"]);
    assert_eq!(flags(&inner), ["inner=on"]);
    assert_eq!(flags(&collector.request("task:blocking")), ["blocking=on"]);
    assert_eq!(outer.downstream.keys().collect::<Vec<_>>(), ["database"]);
    assert_eq!(outer.downstream["database"].calls, 2);
    assert_eq!(inner.downstream["cache"].calls, 1);
    assert!(inner.downstream["cache"].wall_ns >= 3_000_000);
    assert!(outer.cpu_ns.unwrap() > inner.cpu_ns.unwrap());

    let cells = collector.cells();
    let flagged: Vec<_> = cells
        .iter()
        .filter_map(|cell| cell.key.flag.as_ref())
        .collect();
    assert_eq!(flagged.len(), 3, "{flagged:?}");
    assert_eq!(cells.len(), 6);
}

#[tokio::test]
async fn nested_calls_and_calls_at_once_each_count_with_their_own_time() {
    use appweight_agent::downstream;

    const NAP_NS: u64 = 10_000_000;
    let nap = || tokio::time::sleep(Duration::from_nanos(NAP_NS));
    let collector = TestCollector::start();
    let agent = collector.agent().start();
    let handler = move || async move {
        tokio::join!(
            downstream("cache", nap()),
            downstream("cache", nap()),
            downstream("database", nap()),
        );
        downstream("media", async {
            downstream("cache", nap()).await;
            downstream("media", nap()).await;
        })
        .await;
        // Given up before its end.
        let call = downstream("slow", std::future::pending::<()>());
        tokio::time::timeout(Duration::from_nanos(NAP_NS), call)
            .await
            .unwrap_err();
    };
    let app = Router::new()
        .route("/calls", get(handler))
        .layer(agent.layer());
    request(&app, "/calls").await;
    assert!(agent.shutdown(SOON));
    let record = collector.request("/calls");
    let told: Vec<(&str, u64)> = record
        .downstream
        .iter()
        .map(|(name, told)| (name.as_str(), told.calls))
        .collect();
    assert_eq!(
        told,
        [("cache", 3), ("database", 1), ("media", 2), ("slow", 1)]
    );
    let naps = |name: &str| record.downstream[name].wall_ns / NAP_NS;
    let waited = [("cache", 3), ("database", 1), ("media", 3), ("slow", 1)];
    for (name, least) in waited {
        assert!(naps(name) >= least, "{name}: {record:?}");
    }
    // One call at a time, none lasts longer than the request.
    for name in ["database", "slow"] {
        assert!(
            record.downstream[name].wall_ns <= record.wall_ns,
            "{name}: {record:?}"
        );
    }
    // Four naps one after the other, of which eight are told, as calls overlap.
    assert!(record.wall_ns >= 4 * NAP_NS, "{record:?}");
}

#[tokio::test]
async fn work_done_in_call_is_charged_too() {
    let collector = TestCollector::start();
    let agent = collector.agent().start();
    let eager = tower::service_fn(|_: Request<()>| {
        burn(40);
        std::future::ready(Ok::<_, std::convert::Infallible>(http::Response::new(())))
    });
    let service = tower::Layer::layer(&agent.layer(), eager);
    service.oneshot(Request::new(())).await.unwrap();
    agent.measure("task:as much", || burn(40));
    assert!(agent.shutdown(SOON));
    let ratio = collector.request("unmatched").cpu_ns.unwrap() as f64
        / collector.request("task:as much").cpu_ns.unwrap() as f64;
    assert!((0.5..2.0).contains(&ratio), "{ratio}");
}

/// A body that works for every frame it gives.
struct Working {
    frames_left: u32,
}

impl http_body::Body for Working {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
        burn(20);
        if self.frames_left == 0 {
            return Poll::Ready(None);
        }
        self.frames_left -= 1;
        let data = bytes::Bytes::from_static(b"frame");
        Poll::Ready(Some(Ok(http_body::Frame::data(data))))
    }
}

/// A cell that is not over before the test is: unless it runs at midnight.
const NO_END: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn a_stream_without_an_end_is_counted_in_each_cell_and_marked() {
    use http_body_util::BodyExt;

    const WIDTH: Duration = Duration::from_millis(100);
    let collector = TestCollector::start();
    let agent = collector.agent().cell_width(WIDTH).start();
    let app = Router::new()
        .route(
            "/endless",
            get(async || axum::body::Body::new(Working { frames_left: 1_000 })),
        )
        .layer(agent.layer());
    let Ok(response) = app.oneshot(get_request("/endless")).await;
    let mut body = response.into_body();
    // A frame in each of four cells; what the fourth cost is known by the next one only.
    let frames = 4;
    for _ in 0..frames {
        body.frame().await.unwrap().unwrap();
        tokio::time::sleep(WIDTH).await;
    }
    assert_eq!(agent.status().requests, 0, "it has not ended");
    let begun = std::time::Instant::now();
    while collector.requests().len() < frames - 1 && begun.elapsed() < SOON {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let parts = collector.requests();
    assert_eq!(parts.len(), frames - 1, "{parts:?}");
    for part in &parts {
        assert!(part.unfinished && !part.error, "{part:?}");
        assert!(part.cpu_ns.is_some_and(|cpu| cpu > 0), "{part:?}");
    }
    // The first had the handler's poll too.
    let polls: Vec<u64> = parts.iter().map(|part| part.polls).collect();
    assert_eq!(polls, [2, 1, 1]);
    let starts = |collector: &TestCollector| {
        let cells = collector.cells();
        assert!(cells.iter().all(|cell| cell.n == 1), "{cells:?}");
        let unfinished: u64 = cells.iter().map(|cell| cell.unfinished).sum();
        (cells.len(), unfinished)
    };
    assert_eq!(starts(&collector), (3, 3));
    // Given up, it is over, and a request.
    drop(body);
    assert_eq!(agent.status().requests, 1);
    assert!(agent.shutdown(SOON));
    assert_eq!(starts(&collector), (4, 3));
    let last = collector.requests().pop().unwrap();
    assert!(last.error && !last.unfinished, "{last:?}");
    // All parts together lasted as long as it did.
    let wall: u64 = collector.requests().iter().map(|part| part.wall_ns).sum();
    assert!(wall >= 4 * 100_000_000, "{wall}");
    let counted: u64 = collector
        .processes()
        .iter()
        .flat_map(|process| &process.endpoints)
        .map(|endpoint| endpoint.requests)
        .sum();
    assert_eq!(counted, 1);
}

#[tokio::test]
async fn a_streamed_body_is_charged_to_its_request_which_is_counted_when_it_ends() {
    use http_body_util::BodyExt;

    let collector = TestCollector::start();
    let agent = collector.agent().cell_width(NO_END).start();
    let stream = async || axum::body::Body::new(Working { frames_left: 19 });
    let app = Router::new()
        .route("/streamed", get(stream))
        .route("/given-up", get(stream))
        .route("/same-work", get(async || burn(20 * 20)))
        .layer(agent.layer());
    let ask = async |path: &str| match app.clone().oneshot(get_request(path)).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let streamed = ask("/streamed").await;
    assert_eq!(agent.status().requests, 0, "it is not over yet");
    assert_eq!(
        streamed
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .len(),
        95
    );
    assert_eq!(agent.status().requests, 1);
    let mut given_up = ask("/given-up").await.into_body();
    given_up.frame().await.unwrap().unwrap();
    drop(given_up);
    ask("/same-work").await;
    assert!(agent.shutdown(SOON));

    let (streamed, same) = (
        collector.request("/streamed"),
        collector.request("/same-work"),
    );
    let ratio = streamed.cpu_ns.unwrap() as f64 / same.cpu_ns.unwrap() as f64;
    assert!((0.5..2.0).contains(&ratio), "{ratio}, about 1 expected");
    assert_eq!(
        (streamed.status, streamed.error, streamed.polls),
        (Some(200), false, 21)
    );
    let given_up = collector.request("/given-up");
    assert_eq!((given_up.status, given_up.error), (Some(200), true));
    assert!(given_up.cpu_ns.unwrap() < streamed.cpu_ns.unwrap() / 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn children_are_charged_once_to_their_request_which_waits_for_them() {
    let collector = TestCollector::start();
    let agent = collector.agent().start();
    let app = Router::new()
        .route(
            "/parent",
            get(async || {
                burn(20);
                let on_pool = appweight_agent::spawn_blocking(|| burn(60));
                let nested = appweight_agent::spawn(async {
                    appweight_agent::flag("ranker", "v2");
                    burn(40);
                    // Nobody waits for this one.
                    appweight_agent::spawn(async {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        burn(80);
                    });
                });
                on_pool.await.unwrap();
                nested.await.unwrap();
            }),
        )
        .route("/same-work", get(async || burn(200)))
        .layer(agent.layer());
    request(&app, "/parent").await;
    assert_eq!(agent.status().requests, 0, "a child still runs");
    let begun = std::time::Instant::now();
    while agent.status().requests == 0 && begun.elapsed() < SOON {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    request(&app, "/same-work").await;
    assert!(agent.shutdown(SOON));

    let (parent, same) = (
        collector.request("/parent"),
        collector.request("/same-work"),
    );
    let ratio = parent.cpu_ns.unwrap() as f64 / same.cpu_ns.unwrap() as f64;
    assert!((0.6..1.7).contains(&ratio), "{ratio}, about 1 expected");
    assert_eq!(parent.flags.len(), 1, "{parent:?}");
}
