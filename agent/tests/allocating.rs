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
