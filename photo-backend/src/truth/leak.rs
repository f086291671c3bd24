use fastrand::Rng;

use super::{Side, TruthError};
use crate::Endpoint;
use crate::traffic::Mix;

/// So many requests are measured.
pub(super) const REQUESTS: u32 = 2000;

/// How many bytes of resident memory each request leaves behind.
///
/// The first requests touch what all later ones use again (the mapped database, the heap), so each
/// side first answers as many as are then measured.
pub(super) async fn growth(
    side: &mut Side,
    mix: &Mix,
    endpoint: Endpoint,
    users: u32,
) -> Result<f64, TruthError> {
    ask(side, mix, endpoint, users).await?;
    let before = resident_bytes()?;
    ask(side, mix, endpoint, users).await?;
    Ok((resident_bytes()? - before) / f64::from(REQUESTS))
}

async fn ask(side: &mut Side, mix: &Mix, endpoint: Endpoint, users: u32) -> Result<(), TruthError> {
    let mut rng = Rng::with_seed(11);
    for number in 0..REQUESTS {
        let request = mix.request(endpoint, number % users + 1, "", &mut rng);
        side.cost(endpoint, vec![request]).await?;
    }
    Ok(())
}

fn resident_bytes() -> std::io::Result<f64> {
    const PAGE_BYTES: f64 = 4096.0;
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<f64>().ok())
        .map(|pages| pages * PAGE_BYTES)
        .ok_or_else(|| std::io::Error::other("/proc/self/statm has no second field"))
}
