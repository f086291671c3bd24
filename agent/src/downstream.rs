//! What a request waits for: other services.

use std::future::Future;
use std::time::Instant;

use crate::facts;

/// Adds the time that `future` takes, and one call, to the current request's downstream `name`.
///
/// Each call counts with its own time, whatever else goes on: calls at once add up to more than has passed, and one
/// inside of another counts for both.
///
/// A call that is cancelled counts with the time it took until then. Without a current request
/// nothing is added. A request keeps at most 64 downstreams.
///
/// ```
/// # async fn get(_key: &str) {}
/// # async fn handler() {
/// let media = appweight_agent::downstream("memcache", get("media:17")).await;
/// # }
/// ```
pub async fn downstream<F: Future>(name: &str, future: F) -> F::Output {
    let call = Call::begin(name);
    let output = future.await;
    drop(call);
    output
}

/// As [`downstream`], for a call that blocks the thread.
pub fn downstream_blocking<T>(name: &str, work: impl FnOnce() -> T) -> T {
    let call = Call::begin(name);
    let output = work();
    drop(call);
    output
}

struct Call<'a> {
    name: &'a str,
    begun: Instant,
}

impl<'a> Call<'a> {
    fn begin(name: &'a str) -> Self {
        Self {
            name,
            begun: Instant::now(),
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let wall_ns = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        facts::add_downstream(self.name, wall_ns);
    }
}
