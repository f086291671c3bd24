use std::sync::OnceLock;
use std::time::SystemTime;

/// The last full hour but one, µs since the Unix epoch, the same for as long as the process lives: times that a
/// collector neither takes for the future nor forgets, on whichever day the tests run.
#[must_use]
pub fn an_hour_ago() -> u64 {
    const HOUR_S: u64 = 3_600;
    static THEN: OnceLock<u64> = OnceLock::new();
    *THEN.get_or_init(|| {
        let now_s = SystemTime::UNIX_EPOCH
            .elapsed()
            .map_or(0, |since| since.as_secs());
        (now_s - now_s % HOUR_S).saturating_sub(HOUR_S) * 1_000_000
    })
}
