use std::time::{Duration, Instant};

/// How long anything may take on a machine that has other work too: twice as long as a collector waits for an insert into
/// ClickHouse.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Asks again and again until there is an answer, and gives it back.
///
/// # Panics
/// If there is none for two minutes; with the last reason why.
pub fn eventually<T>(what: &str, ask: impl FnMut() -> Result<T, String>) -> T {
    eventually_within(PATIENCE, what, ask)
}

/// The same for what has a limit of its own.
///
/// # Panics
/// If there is no answer for that long; with the last reason why.
pub fn eventually_within<T>(
    limit: Duration,
    what: &str,
    mut ask: impl FnMut() -> Result<T, String>,
) -> T {
    let began = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(why) => assert!(began.elapsed() < limit, "{what}: {why}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
