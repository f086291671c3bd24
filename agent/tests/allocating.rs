//! With the counting allocator, requests tell what they allocated; and the agent's own path is seen
//! to allocate nothing.

#[cfg(test)]
mod support;

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::mem;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use appweight_agent::{Agent, AgentBuilder, AppweightAlloc};
use http::{Request, Response};
use tower::{Layer, Service};

use support::{SOON, TestCollector};

#[global_allocator]
static ALLOCATOR: AppweightAlloc = AppweightAlloc::system();

fn serve<S>(service: &mut S, request: Request<()>)
where
    S: Service<Request<()>, Response = Response<()>, Error = Infallible>,
{
    let mut response = pin!(service.call(request));
    let mut context = Context::from_waker(Waker::noop());
    while response.as_mut().poll(&mut context).is_pending() {}
}

#[test]
fn a_request_tells_what_it_allocated() {
    let collector = TestCollector::start();
    let agent = collector.agent().start();
    agent.measure("task:allocating", || {
        let bytes = vec![1_u8; 100_000];
        black_box(&bytes);
        black_box(Box::new(7_u64));
    });
    assert!(agent.shutdown(SOON));
    let record = collector.request("task:allocating");
    assert_eq!(record.allocated_bytes, Some(100_008));
    assert_eq!(record.allocations, Some(2));
}

fn allocate(mib: usize) {
    black_box(vec![1_u8; mib << 20]);
}

/// A count shows it exactly where a time could only come near: twice, or to another, would be a MiB off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_on_pools_and_in_tasks_is_charged_once_and_to_its_own_request() {
    let collector = TestCollector::start();
    let agent = collector.agent().start();
    let requests = (1..=8).map(|n: usize| {
        let work = agent.measure_future(format!("task:{n}"), async move {
            allocate(n);
            let on_pool = appweight_agent::spawn_blocking(move || allocate(2 * n));
            let in_task = appweight_agent::spawn(async move {
                tokio::task::yield_now().await;
                allocate(4 * n);
                appweight_agent::spawn_blocking(move || allocate(8 * n)).await
            });
            tokio::task::yield_now().await;
            on_pool.await.unwrap();
            in_task.await.unwrap().unwrap();
        });
        tokio::spawn(work)
    });
    for request in requests.collect::<Vec<_>>() {
        request.await.unwrap();
    }
    assert!(agent.shutdown(SOON));
    for n in 1..=8 {
        let record = collector.request(&format!("task:{n}"));
        let bytes = record.allocated_bytes.unwrap();
        // Beside them the runtime's own of a few tasks.
        let own = (15 * n) << 20;
        assert!((own..own + 16_384).contains(&bytes), "{n}: {bytes}");
    }
}

#[cfg(test)]
/// Requests that are to allocate nothing themselves: they lie there before.
fn requests() -> Vec<Request<()>> {
    let request = |user: &str| Request::get("/").header("x-user", user).body(()).unwrap();
    (0..100).map(|n| request(["ada", "grace"][n % 2])).collect()
}

#[cfg(test)]
/// Fewest allocations of a hundred requests to that handler: a new span, or a duration never seen before, opens a cell or a
/// bucket, so that the fewest of several tries tell.
fn fewest<F>(
    set_up: impl FnOnce(AgentBuilder) -> AgentBuilder,
    handler: fn(Request<()>) -> F,
) -> u64
where
    F: Future<Output = Result<Response<()>, Infallible>> + 'static,
{
    let collector = TestCollector::start();
    let outer = collector.agent().service("looks-on").start();
    // One in so many that none is drawn; the costliest are kept.
    let agent: Agent = set_up(collector.agent().record_one_in(u64::MAX)).start();
    let mut service = agent.layer().layer(tower::service_fn(handler));
    // The first ones open the thread's cell and its histogram's buckets.
    for _ in 0..100 {
        requests()
            .into_iter()
            .for_each(|request| serve(&mut service, request));
    }
    for round in 0..20 {
        let requests = requests();
        outer.measure(format!("task:{round}"), || {
            requests
                .into_iter()
                .for_each(|request| serve(&mut service, request));
        });
    }
    assert!(outer.shutdown(SOON) && agent.shutdown(SOON));
    assert_eq!(agent.status().requests, 12_000);
    let rounds = (0..20).map(|round| collector.request(&format!("task:{round}")));
    rounds
        .map(|record| record.allocations.unwrap())
        .min()
        .unwrap()
}

fn by_header(builder: AgentBuilder) -> AgentBuilder {
    builder.user(|head| Some(head.headers.get("x-user")?.to_str().ok()?.into()))
}

/// A handler that is polled so many times more.
async fn after_yields(yields: usize) -> Result<Response<()>, Infallible> {
    for _ in 0..yields {
        let mut yielded = false;
        poll_fn(|_| match mem::replace(&mut yielded, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }
    Ok(Response::new(()))
}

#[test]
fn a_request_that_is_only_counted_allocates_nothing() {
    assert_eq!(fewest(|agent| agent, |_| after_yields(0)), 0);
}

#[test]
fn nor_does_one_that_is_polled_again_and_again() {
    assert_eq!(fewest(|agent| agent, |_| after_yields(8)), 0);
}

#[test]
fn nor_does_one_whose_user_is_counted() {
    assert_eq!(fewest(by_header, |_| after_yields(8)), 0);
}

#[test]
fn nor_does_one_that_passes_uncounted() {
    let hardly = |agent: AgentBuilder| by_header(agent).count_one_in(u32::MAX);
    assert_eq!(fewest(hardly, |_| after_yields(8)), 0);
}

/// Where few are counted, what is told of all is estimated: here something that is known to the byte, and dearer where more
/// pass uncounted.
#[test]
fn what_is_counted_adaptively_adds_up_to_what_all_cost() {
    const WIDTH: Duration = Duration::from_millis(100);
    let collector = TestCollector::start();
    let agent = collector
        .agent()
        .cell_width(WIDTH)
        .record_one_in(0)
        .count_adaptively(500)
        .start();
    let (mut number, mut truth) = (0_u64, 0_u64);
    for busy in [1, 8, 8, 8, 2, 8, 8, 1, 8, 8, 8, 8, 2, 8, 8, 8, 8, 8] {
        let begun = Instant::now();
        for task in 0..1_000 * busy {
            let bytes = 16 * (1 + task % 4) * if busy == 8 { 3 } else { 1 };
            agent.measure("task:allocating", || black_box(vec![1_u8; bytes]));
            number += 1;
            truth += bytes as u64;
        }
        thread::sleep(WIDTH.saturating_sub(begun.elapsed()));
    }
    assert!(agent.shutdown(SOON));
    assert_eq!(agent.status().tasks, number);
    let (mut counted, mut told, mut variance) = (0, 0.0, 0.0);
    for cell in collector.cells() {
        let bytes = cell.allocated_bytes.as_ref().unwrap();
        let each = (cell.weight / cell.n) as f64;
        counted += cell.n;
        told += each * bytes.sum as f64;
        // Of one that is counted or not by chance, as its estimate's variance.
        variance += each * (each - 1.0) * bytes.sum_squares.as_f64();
    }
    let (truth, error) = (truth as f64, f64::sqrt(variance));
    println!("{counted} of {number} counted: {told} of {truth} bytes, error {error:.0}");
    assert!(
        counted < number * 2 / 3,
        "{counted} of {number} were counted"
    );
    assert!(
        error < truth * 0.02,
        "it tells something: {error} of {truth}"
    );
    assert!(
        (told - truth).abs() < 5.0 * error,
        "{told} of {truth}, error {error}"
    );
}
