//! With the counting allocator, requests tell what they allocated; and the agent's own path is seen
//! to allocate nothing.

#[cfg(test)]
mod support;

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use appweight_agent::{Agent, AppweightAlloc};
use http::{Request, Response};
use tower::{Layer, Service};

use support::{SOON, TestCollector};

#[global_allocator]
static ALLOCATOR: AppweightAlloc = AppweightAlloc::system();

fn nothing(_: Request<()>) -> Ready<Result<Response<()>, Infallible>> {
    ready(Ok(Response::new(())))
}

fn serve<S>(service: &mut S)
where
    S: Service<Request<()>, Response = Response<()>, Error = Infallible>,
{
    let mut response = pin!(service.call(Request::new(())));
    match response
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(Ok(_)) => {}
        Poll::Ready(Err(never)) => match never {},
        Poll::Pending => unreachable!("the handler is ready at once"),
    }
}

#[test]
fn a_request_tells_what_it_allocated() {
    let collector = TestCollector::start();
    let agent = collector.agent().start();
    agent.measure("task:allocating", || {
        let bytes = vec![1_u8; 100_000];
        std::hint::black_box(&bytes);
        std::hint::black_box(Box::new(7_u64));
    });
    assert!(agent.shutdown(SOON));
    let record = collector.request("task:allocating");
    assert_eq!(record.allocated_bytes, Some(100_008));
    assert_eq!(record.allocations, Some(2));
}

fn allocate(mib: usize) {
    std::hint::black_box(vec![1_u8; mib << 20]);
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

#[test]
fn a_request_that_is_only_counted_allocates_nothing() {
    let collector = TestCollector::start();
    let outer = collector.agent().service("looks-on").start();
    // One in so many that none is drawn; the costliest are kept.
    let agent: Agent = collector.agent().record_one_in(u64::MAX).start();
    let mut service = agent.layer().layer(tower::service_fn(nothing));
    // The first ones open the thread's cell and its histogram's buckets.
    for _ in 0..10_000 {
        serve(&mut service);
    }
    let mut fewest = u64::MAX;
    // A new second, or a duration never seen before, opens a cell or a bucket.
    for round in 0..20 {
        outer.measure(format!("task:{round}"), || {
            for _ in 0..100 {
                serve(&mut service);
            }
        });
    }
    assert!(outer.shutdown(SOON) && agent.shutdown(SOON));
    for round in 0..20 {
        let record = collector.request(&format!("task:{round}"));
        fewest = fewest.min(record.allocations.unwrap());
    }
    assert_eq!(fewest, 0);
}
