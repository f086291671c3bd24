//! Every request is counted once: also one that panics, is cancelled or comes with a thousand others.

#[cfg(test)]
mod support;

use std::collections::HashSet;
use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use appweight_agent::Agent;
use appweight_wire::{ActiveUsers, Age, Cell, Kind, ProcessRecord};
use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Request, Response, StatusCode};
use tower::{Layer, ServiceExt};

use support::{SOON, TestCollector, get_request};

fn total(cells: &[Cell], endpoint: &str) -> (u64, u64) {
    cells
        .iter()
        .filter(|cell| cell.key.endpoint == endpoint && cell.key.flag.is_none())
        .fold((0, 0), |(n, errors), cell| {
            (n + cell.n, errors + cell.errors)
        })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_cells_of_all_threads_add_up_to_every_request() {
    const TASKS: usize = 8;
    const EACH: usize = 1_250;
    let collector = TestCollector::start();
    // Short cells, so that many flushes fall between the requests.
    let agent = collector
        .agent()
        .cell_width(Duration::from_millis(20))
        .record_one_in(10)
        .user_key("secret")
        .user(|head| Some(head.headers.get("x-user")?.to_str().ok()?.into()))
        .start();
    let app = Router::new()
        .route("/good/{id}", get(async || "good"))
        .route("/bad", get(async || StatusCode::INTERNAL_SERVER_ERROR))
        .route("/absent", get(async || StatusCode::NOT_FOUND))
        .layer(agent.layer());
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let app = app.clone();
            tokio::spawn(async move {
                for index in 0..EACH {
                    let path = match index % 10 {
                        0 => "/bad".to_owned(),
                        1 => "/absent".to_owned(),
                        _ => format!("/good/{index}"),
                    };
                    let mut request = get_request(&path);
                    let user = format!("{task}-{}", index % 25);
                    request
                        .headers_mut()
                        .insert("x-user", user.parse().unwrap());
                    app.clone().oneshot(request).await.unwrap();
                    if index % 50 == 0 {
                        tokio::time::sleep(Duration::from_millis(3)).await;
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let all = (TASKS * EACH) as u64;
    assert_eq!(agent.status().requests, all);
    assert!(agent.shutdown(SOON));

    let status = agent.status();
    assert_eq!(
        (
            status.requests,
            status.dropped,
            status.cells,
            status.enabled
        ),
        (all, 0, 0, false)
    );
    let cells = collector.cells();
    assert_eq!(total(&cells, "/good/{id}"), (all * 8 / 10, 0));
    assert_eq!(total(&cells, "/bad"), (all / 10, all / 10));
    assert_eq!(total(&cells, "/absent"), (all / 10, 0));
    assert!(
        cells
            .iter()
            .all(|cell| cell.wall_ns.as_ref().unwrap().n == cell.n && cell.weight == cell.n)
    );
    let read: u64 = cells
        .iter()
        .map(|cell| cell.cpu_ns.as_ref().map_or(0, |cpu| cpu.n))
        .sum();
    assert_eq!(read, all, "each has a CPU time");
    let starts: std::collections::BTreeSet<u64> =
        cells.iter().map(|cell| cell.key.start_us).collect();
    assert!(
        starts.len() > 2,
        "the requests fall into several cells: {starts:?}"
    );

    // One in ten: 1,000 of 10,000, with a standard deviation of 30.
    let mut records = collector.requests();
    records.retain(|record| record.weight != 0);
    assert!((800..1_200).contains(&records.len()), "{}", records.len());
    assert!(records.iter().all(|record| record.weight == 10));

    let processes = collector.processes();
    let counted = |count: fn(&appweight_wire::EndpointCount) -> u64| -> u64 {
        processes
            .iter()
            .flat_map(|process| &process.endpoints)
            .map(count)
            .sum()
    };
    assert_eq!(counted(|count| count.requests), all);
    assert_eq!(counted(|count| count.errors), all / 10);
    assert_eq!(processes.last().unwrap().requests_total, all);
    let mut users = ActiveUsers::new();
    for process in &processes {
        users.unite(process.active_users.as_ref().unwrap());
    }
    assert!(
        (users.estimate() - 200.0).abs() < 10.0,
        "{}",
        users.estimate()
    );
    assert!(
        processes
            .iter()
            .all(|process| process.start_us % process.width_us == 0)
    );
    for pair in processes.windows(2) {
        assert!(pair[0].start_us < pair[1].start_us);
        assert_eq!(pair[0].width_us, 20_000);
    }
    assert!(processes.iter().map(|process| process.cpu_ns).sum::<u64>() > 0);
    assert!(
        processes
            .iter()
            .map(|process| process.agent_cpu_ns)
            .sum::<u64>()
            > 0
    );
    let last = processes.last().unwrap();
    assert!(last.rss_bytes.is_some() && !last.kernel.is_empty());
    assert_eq!(last.counters, status.counters);
}

#[tokio::test]
async fn a_panic_is_counted_and_goes_on() {
    let collector = TestCollector::start();
    let agent = collector.agent().start();
    let app = Router::new()
        .route(
            "/panic",
            get(async || -> &'static str { panic!("on purpose") }),
        )
        .route(
            "/caught",
            get(async || -> &'static str { panic!("on purpose") }),
        )
        .route("/fine", get(async || "fine"))
        .layer(agent.layer());
    let panicking = tokio::spawn(app.clone().oneshot(get_request("/panic")));
    assert!(panicking.await.unwrap_err().is_panic());

    // Caught outside of the layer, so that the future is dropped later, when nothing panics.
    let mut caught = Box::pin(app.clone().oneshot(get_request("/caught")));
    let poll = std::future::poll_fn(|context| {
        let polled = std::panic::AssertUnwindSafe(|| caught.as_mut().poll(context));
        std::task::Poll::Ready(std::panic::catch_unwind(polled).is_err())
    });
    assert!(poll.await);
    drop(caught);

    let in_call = agent.layer().layer(tower::service_fn(
        |request: Request<()>| -> std::future::Ready<Result<Response<()>, Infallible>> {
            panic!("on purpose, before there is a future for {}", request.uri())
        },
    ));
    let panicking = tokio::spawn(in_call.oneshot(Request::new(())));
    assert!(panicking.await.unwrap_err().is_panic());

    let measuring = agent.clone();
    let panicking =
        std::thread::spawn(move || measuring.measure("task:panic", || panic!("on purpose")));
    assert!(panicking.join().is_err());

    appweight_agent::flag("nobody", "is current after a panic");
    app.oneshot(get_request("/fine")).await.unwrap();
    assert!(agent.shutdown(SOON));
    let status = [("/panic", 500), ("/caught", 500), ("unmatched", 500)].map(|(e, s)| (e, Some(s)));
    for (endpoint, status) in status.into_iter().chain([("task:panic", None)]) {
        let record = collector.request(endpoint);
        assert_eq!((record.status, record.error), (status, true), "{endpoint}");
        assert_eq!(total(&collector.cells(), endpoint), (1, 1), "{endpoint}");
    }
    assert_eq!(collector.request("/fine").flags, []);
    assert_eq!(total(&collector.cells(), "/fine"), (1, 0));
}

#[tokio::test]
async fn a_cancelled_request_is_counted_as_an_error_without_status() {
    let collector = TestCollector::start();
    let agent = collector.agent().start();
    let app = Router::new()
        .route(
            "/slow",
            get(async || {
                appweight_agent::downstream("database", std::future::pending::<()>()).await
            }),
        )
        .layer(agent.layer());
    let request = app.oneshot(get_request("/slow"));
    assert!(
        tokio::time::timeout(Duration::from_millis(20), request)
            .await
            .is_err()
    );
    assert!(agent.shutdown(SOON));
    let record = collector.request("/slow");
    assert_eq!((record.status, record.error), (None, true));
    assert!(record.polls > 0);
    assert_eq!(record.downstream["database"].calls, 1);
    assert!(record.downstream["database"].wall_ns > 10_000_000);
    assert_eq!(total(&collector.cells(), "/slow"), (1, 1));
}

#[tokio::test]
async fn two_agents_in_one_process_count_apart() {
    let (first, second) = (TestCollector::start(), TestCollector::start());
    let outer = first.agent().service("outer").start();
    let inner = second.agent().service("inner").start();
    let app = Router::new().route("/", get(async || appweight_agent::flag("a", "b")));
    let both = app.clone().layer(inner.layer()).layer(outer.layer());
    for _ in 0..3 {
        both.clone().oneshot(get_request("/")).await.unwrap();
    }
    app.layer(outer.layer())
        .oneshot(get_request("/"))
        .await
        .unwrap();
    assert!(outer.shutdown(SOON) && inner.shutdown(SOON));
    assert_eq!(total(&first.cells(), "/"), (4, 0));
    assert_eq!(total(&second.cells(), "/"), (3, 0));
    assert!(
        first
            .batches()
            .iter()
            .all(|batch| batch.origin.service == "outer")
    );
    assert_ne!(first.batches()[0].source, second.batches()[0].source);
    // A flag belongs to the innermost measurement.
    let flagged = |collector: &TestCollector| -> u64 {
        collector
            .cells()
            .iter()
            .filter(|cell| cell.key.flag.is_some())
            .map(|cell| cell.n)
            .sum()
    };
    assert_eq!((flagged(&first), flagged(&second)), (1, 3));
}

#[tokio::test]
async fn endpoints_beyond_a_thousand_are_counted_together() {
    let collector = TestCollector::start();
    let agent = collector
        .agent()
        .record_one_in(0)
        .endpoint(|head| Some(head.uri.path().to_owned()))
        .start();
    let service = agent
        .layer()
        .layer(tower::service_fn(async |_: Request<Body>| {
            Ok::<_, Infallible>(Response::new(()))
        }));
    for index in 0..10_000 {
        service
            .clone()
            .oneshot(get_request(&format!("/raw/{index}")))
            .await
            .unwrap();
    }
    let long = format!("/{}", "x".repeat(5_000));
    service
        .clone()
        .oneshot(get_request("/raw/7"))
        .await
        .unwrap();
    service.clone().oneshot(get_request(&long)).await.unwrap();
    assert!(agent.shutdown(SOON));
    let cells = collector.cells();
    // A turn of the minute meanwhile makes two cells of an endpoint.
    let endpoints: HashSet<&str> = cells.iter().map(|cell| &*cell.key.endpoint).collect();
    assert_eq!(endpoints.len(), 1_001);
    assert_eq!(total(&cells, "other"), (9_001, 0));
    assert_eq!(total(&cells, "/raw/7"), (2, 0));
    assert_eq!(agent.status().other_endpoint, 9_001);
}

/// More at once than a thread keeps between two flushes, were none called for.
#[tokio::test]
async fn nothing_is_lost_of_many_endpoints_whose_every_request_is_recorded() {
    const REQUESTS: u64 = 10_500;
    let collector = TestCollector::start();
    let agent = collector
        .agent()
        .endpoint(|head| Some(head.uri.path().to_owned()))
        .start();
    let service = agent
        .layer()
        .layer(tower::service_fn(async |_: Request<Body>| {
            Ok::<_, Infallible>(Response::new(()))
        }));
    for index in 0..REQUESTS {
        service
            .clone()
            .oneshot(get_request(&format!("/raw/{index}")))
            .await
            .unwrap();
    }
    assert!(agent.shutdown(SOON), "{:?}", agent.status());
    assert_eq!(agent.status().dropped, 0);
    let records: usize = collector
        .batches()
        .iter()
        .map(|batch| batch.requests.len())
        .sum();
    assert_eq!(records as u64, REQUESTS);
}

#[tokio::test]
async fn a_young_process_counts_in_cells_of_its_own() {
    let collector = TestCollector::start();
    let agent = collector
        .agent()
        .warm_up(Duration::from_millis(200))
        .start();
    tokio::spawn(agent.measure_future("task:early", tokio::task::yield_now()))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(250)).await;
    agent.measure("task:late", || ());
    assert!(agent.shutdown(SOON));
    let age = |name: &str| {
        let cells = collector.cells();
        let cell = cells.iter().find(|cell| cell.key.endpoint == name).unwrap();
        (cell.key.kind, cell.key.age)
    };
    assert_eq!(age("task:early"), (Kind::Task, Age::WarmingUp));
    assert_eq!(age("task:late"), (Kind::Task, Age::Warm));
}

#[tokio::test]
async fn an_agent_with_bad_options_lets_everything_pass() {
    for agent in [
        Agent::builder().start(),
        Agent::builder().service("x").collector("nowhere").start(),
        Agent::builder()
            .service("x")
            .cell_width(Duration::ZERO)
            .start(),
        Agent::disabled(),
    ] {
        assert!(!agent.status().enabled);
        let app = Router::new()
            .route("/", get(async || "through"))
            .layer(agent.layer());
        let response = app.oneshot(get_request("/")).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(agent.measure("task:x", || 7), 7);
        assert_eq!(agent.measure_future("task:x", async { 8 }).await, 8);
        assert_eq!(agent.status().requests, 0);
        assert!(agent.shutdown(Duration::ZERO));
    }
}

#[test]
fn a_process_tells_its_switches_and_page_faults() {
    const SLEEPS: u64 = 50;
    let collector = TestCollector::start();
    let agent = collector.agent().start();
    for _ in 0..SLEEPS {
        std::thread::sleep(Duration::from_millis(1));
    }
    // Whatever the size of a page.
    let written = std::hint::black_box(vec![1_u8; 64 << 20]);
    assert!(agent.shutdown(SOON));
    drop(written);
    let sum = |count: fn(&ProcessRecord) -> Option<u64>| -> u64 {
        let processes = collector.processes();
        processes
            .iter()
            .map(|process| count(process).unwrap())
            .sum()
    };
    let switches = sum(|process| process.context_switches);
    assert!(switches >= SLEEPS * 3 / 4, "{switches}");
    let faults = sum(|process| process.page_faults);
    assert!(faults >= 32, "{faults}");
}

#[test]
fn a_status_has_each_task_once_while_counts_are_on_their_way() {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    let collector = TestCollector::start();
    let agent = collector
        .agent()
        .cell_width(Duration::from_millis(10))
        .record_one_in(0)
        .start();
    let (done, begun, over) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    begun.fetch_add(1, Ordering::SeqCst);
                    agent.measure("task:work", || ());
                    done.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let until = std::time::Instant::now() + Duration::from_millis(600);
        while std::time::Instant::now() < until {
            let least = done.load(Ordering::SeqCst);
            let told = agent.status().tasks;
            let most = begun.load(Ordering::SeqCst);
            if !(least..=most).contains(&told) {
                over.store(true, Ordering::SeqCst);
                panic!("{told} told, {least} to {most} done");
            }
        }
        over.store(true, Ordering::SeqCst);
    });
    assert!(agent.shutdown(SOON));
    assert_eq!(agent.status().tasks, done.into_inner());
}
