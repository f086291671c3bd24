//! What the comparisons with peers measure by.

pub mod collector;
pub mod layers;

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use tower::{Service, ServiceExt};

/// Has the router answer so many requests, one after the other.
pub async fn serve(router: &Router, path: &str, requests: u32) {
    // As axum serves: each connection has a router whose routes are made already.
    let mut service = router.clone().with_state(()).into_service::<Body>();
    for _ in 0..requests {
        let request = Request::builder()
            .uri(path)
            .body(Body::empty())
            .expect("a path of ours");
        let ready = ServiceExt::<Request<Body>>::ready(&mut service).await;
        let response = ready.expect("infallible").call(request).await;
        drop(response.expect("infallible"));
    }
}

/// The value in the middle, or the upper one of two.
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What that clock of the system says.
pub fn clock(id: libc::clockid_t) -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` outlives the call, which writes nothing else.
    assert_eq!(unsafe { libc::clock_gettime(id, &raw mut time) }, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
