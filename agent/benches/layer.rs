//! What the agent's layer costs a request, beside no layer, a layer that does nothing, and the
//! clocks that it reads.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use appweight_agent::Agent;
use criterion::{Criterion, criterion_group, criterion_main};
use http::{Request, Response};
use tower::{Layer, Service, ServiceExt};

fn handle(request: Request<()>) -> Ready<Result<Response<()>, Infallible>> {
    black_box(request);
    ready(Ok(Response::new(())))
}

fn serve<S>(service: &mut S) -> Response<()>
where
    S: Service<Request<()>, Response = Response<()>, Error = Infallible>,
{
    let mut response = pin!(service.call(Request::new(())));
    match response
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(Ok(response)) => response,
        Poll::Ready(Err(never)) => match never {},
        Poll::Pending => unreachable!("the handler is ready at once"),
    }
}

fn layers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("request");
    group.bench_function("no layer", |bencher| {
        let mut service = tower::service_fn(handle);
        bencher.iter(|| serve(&mut service));
    });
    group.bench_function("layer that does nothing", |bencher| {
        let mut service = tower::service_fn(handle).map_request(|request: Request<()>| request);
        bencher.iter(|| serve(&mut service));
    });
    group.bench_function("disabled agent", |bencher| {
        let mut service = Agent::disabled().layer().layer(tower::service_fn(handle));
        bencher.iter(|| serve(&mut service));
    });
    for (name, one_in) in [("agent", 100), ("agent, every request recorded", 1)] {
        group.bench_function(name, |bencher| {
            let agent = Agent::builder()
                .service("bench")
                .collector("http://127.0.0.1:1")
                .record_one_in(one_in)
                .start();
            let mut service = agent.layer().layer(tower::service_fn(handle));
            bencher.iter(|| serve(&mut service));
            agent.shutdown(Duration::ZERO);
        });
    }
    group.finish();
}

fn clocks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("clock");
    group.bench_function("thread CPU time", |bencher| bencher.iter(thread_cpu::read));
    group.bench_function("monotonic", |bencher| bencher.iter(Instant::now));
    group.bench_function("wall", |bencher| bencher.iter(SystemTime::now));
    group.finish();
}

mod thread_cpu {
    #![expect(unsafe_code, reason = "the clock is a C call")]

    pub(super) fn read() -> i64 {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: `time` is a valid timespec that outlives the call.
        let answer = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
        assert_eq!(answer, 0);
        time.tv_nsec
    }
}

criterion_group!(benches, layers, clocks);
criterion_main!(benches);
