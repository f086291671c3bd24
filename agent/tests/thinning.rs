//! Where not every request is counted, costs are estimated without bias, and numbers stay exact.

#[cfg(test)]
mod support;

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use appweight_agent::Agent;
use appweight_wire::{Cell, ProcessRecord};
use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use tower::ServiceExt;

use support::{SOON, TestCollector, get_request};

/// Sums over the cells of an endpoint.
#[derive(Debug, Default)]
struct Sums {
    n: u64,
    weight: u64,
    errors: f64,
}

fn sums<'a>(cells: impl IntoIterator<Item = &'a Cell>, endpoint: &str) -> Sums {
    let mut sums = Sums::default();
    let cells = cells
        .into_iter()
        .filter(|cell| cell.key.endpoint == endpoint);
    for cell in cells {
        assert_eq!(cell.weight % cell.n, 0, "one weight for all of a cell");
        let each = (cell.weight / cell.n) as f64;
        sums.n += cell.n;
        sums.weight += cell.weight;
        sums.errors += cell.errors as f64 * each;
    }
    sums
}

fn exact(processes: &[ProcessRecord], endpoint: &str) -> (u64, u64) {
    let counts = processes.iter().flat_map(|process| &process.endpoints);
    counts
        .filter(|count| count.endpoint == endpoint)
        .fold((0, 0), |(requests, errors), count| {
            (requests + count.requests, errors + count.errors)
        })
}

fn service(agent: &Agent) -> Router {
    Router::new()
        .route("/busy", get(async || "busy"))
        .route("/rare", get(async || "rare"))
        .route("/pending", get(std::future::pending::<()>))
        .route("/failing", get(async || StatusCode::INTERNAL_SERVER_ERROR))
        .route(
            "/streamed",
            get(async || Body::new(Frames(vec!["a", "b"].into_iter()))),
        )
        .layer(agent.layer())
}

/// A body of unknown length.
struct Frames(std::vec::IntoIter<&'static str>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.next().map(|frame| Ok(Frame::data(frame.into()))))
    }
}

async fn serve(app: &Router, request: Request<Body>) {
    let Ok(response) = app.clone().oneshot(request).await;
    assert!(response.into_body().collect().await.is_ok());
}

async fn ask(app: &Router, path: &str) {
    serve(app, get_request(path)).await;
}

#[tokio::test]
async fn one_in_ten_stands_for_ten_and_numbers_stay_exact() {
    const ASKED: u64 = 10_000;
    let collector = TestCollector::start();
    let agent = collector
        .agent()
        .count_one_in(10)
        .record_one_in(10)
        .user_key("secret")
        .user(|head| Some(head.headers.get("x-user")?.to_str().ok()?.into()))
        .start();
    let app = service(&agent);
    for number in 0..ASKED {
        let path = match number % 10 {
            0 => "/failing",
            1 => "/streamed",
            _ => "/busy",
        };
        let mut request = get_request(path);
        let user = (number % 500).to_string();
        request
            .headers_mut()
            .insert("x-user", user.parse().unwrap());
        serve(&app, request).await;
    }
    for _ in 0..100 {
        agent.measure("task:blocking", || ());
        agent.measure_future("task:future", async {}).await;
    }
    // Cancelled: counted or not, it failed.
    for _ in 0..20 {
        let cancelled = app.clone().oneshot(get_request("/pending"));
        assert!(
            tokio::time::timeout(Duration::ZERO, cancelled)
                .await
                .is_err()
        );
    }
    assert!(agent.shutdown(SOON));
    let status = agent.status();
    assert_eq!((status.requests, status.tasks), (ASKED + 20, 200));
    let (cells, processes) = (collector.cells(), collector.processes());
    // A standard deviation of 268, 95 and 95.
    let busy = sums(&cells, "/busy");
    assert!((6_900..9_100).contains(&busy.weight), "{busy:?}");
    let failing = sums(&cells, "/failing");
    assert!((600..1_400).contains(&failing.weight), "{failing:?}");
    assert!(failing.errors as u64 == failing.weight);
    assert_eq!(exact(&processes, "/busy"), (8_000, 0));
    assert_eq!(exact(&processes, "/failing"), (1_000, 1_000));
    assert_eq!(exact(&processes, "/streamed"), (1_000, 0));
    assert_eq!(exact(&processes, "/pending"), (20, 20));
    let mut users = appweight_wire::ActiveUsers::new();
    for process in &processes {
        assert_eq!(
            process.cpu_outside_ns, None,
            "what was not counted is in it"
        );
        users.unite(process.active_users.as_ref().unwrap());
    }
    assert!(
        (users.estimate() - 500.0).abs() < 25.0,
        "{}",
        users.estimate()
    );
    let mut records = collector.requests();
    records.retain(|record| record.weight != 0);
    assert!((40..170).contains(&records.len()), "{}", records.len());
    assert!(records.iter().all(|record| record.weight == 100));
}

#[tokio::test]
async fn a_busy_endpoint_is_thinned_and_a_rare_one_is_counted_whole() {
    const WIDTH: Duration = Duration::from_millis(400);
    let collector = TestCollector::start();
    let agent = collector
        .agent()
        .cell_width(WIDTH)
        .record_one_in(0)
        .count_adaptively(50)
        .start();
    let app = service(&agent);
    let span = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_millis()
            / WIDTH.as_millis()
    };
    // In each span so many, the rate changing tenfold and back.
    let plan = [100_u64, 1_000, 1_000, 1_000, 100, 100, 100];
    for busy in plan {
        let begun = span();
        for _ in 0..5 {
            ask(&app, "/rare").await;
        }
        for _ in 0..busy {
            ask(&app, "/busy").await;
        }
        while span() == begun {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // The agent fetches a span a moment after its end.
        tokio::time::sleep(WIDTH / 2).await;
    }
    assert!(agent.shutdown(SOON));
    let (cells, processes) = (collector.cells(), collector.processes());
    let all: u64 = plan.iter().sum();
    let (rare, busy) = (sums(&cells, "/rare"), sums(&cells, "/busy"));
    assert_eq!(
        (rare.n, rare.weight),
        (35, 35),
        "none of a rare one is left out"
    );
    assert_eq!(exact(&processes, "/busy"), (all, 0));
    assert_eq!(exact(&processes, "/rare"), (35, 0));
    assert!(busy.n < all * 2 / 3, "{busy:?} of {all}");
    // A few hundred were drawn, most of them standing for 16: a standard deviation of some 200.
    let off = busy.weight.abs_diff(all);
    assert!(off < 1_000, "{busy:?} for {all}");
    let thinned = processes
        .iter()
        .filter(|process| process.cpu_outside_ns.is_none());
    assert!((1..processes.len()).contains(&thinned.count()));
}
