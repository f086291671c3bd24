use std::time::{Duration, Instant};

/// How long anything may take on a machine that has other work too.
const LIMIT: Duration = Duration::from_secs(30);

/// Asks again and again until there is an answer, and gives it back.
///
/// # Panics
/// If there is none for half a minute; with the last reason why.
pub fn eventually<T>(what: &str, ask: impl FnMut() -> Result<T, String>) -> T {
    eventually_within(LIMIT, what, ask)
}

/// The same for what takes so long by its nature.
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
