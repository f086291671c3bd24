//! Questions that somebody waits for. A store may answer them before it does anything else, and need not look twice for one.

use std::time::Instant;

tokio::task_local! {
    static BEGAN: Instant;
}

/// Answers one.
pub(crate) async fn awaited<T>(answer: impl Future<Output = T>) -> T {
    BEGAN.scope(Instant::now(), answer).await
}

/// When the question came that this task answers; `None` if nobody waits. What was true then or later is an answer.
#[cfg(feature = "clickhouse")]
pub(super) fn began() -> Option<Instant> {
    BEGAN.try_with(|began| *began).ok()
}
