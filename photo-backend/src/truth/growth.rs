use http_body_util::BodyExt;
use tower::ServiceExt;

use super::TruthError;
use crate::traffic::Mix;
use crate::{App, Endpoint, Store, Variants, router};

/// So many requests are measured.
pub(super) const REQUESTS: u32 = 2000;

/// How many bytes of resident memory each request leaves behind. Only pages count here, so the
/// app is asked in this thread, one request after the other.
///
/// The first requests touch what all later ones use again (the mapped database, the heap), so it
/// first answers as many as are then measured.
pub(super) fn growth(
    store: &Store,
    variants: Variants,
    endpoint: Endpoint,
) -> Result<f64, TruthError> {
    let users = store.users()?;
    let mix = Mix::new(users);
    let app = router(App::new(store.clone(), variants));
    let ask = async || {
        let mut rng = fastrand::Rng::with_seed(11);
        for number in 0..REQUESTS {
            let request = mix.request(endpoint, number % users + 1, "", &mut rng);
            let answer = match app.clone().oneshot(request).await {
                Ok(answer) => answer,
                Err(never) => match never {},
            };
            if !answer.status().is_success() {
                return Err(TruthError::Failed {
                    answer: format!("{endpoint} answered {}", answer.status()),
                });
            }
            // The service's own bodies are in memory: reading them cannot fail.
            answer.into_body().collect().await.ok();
        }
        Ok(())
    };
    tokio::runtime::Builder::new_current_thread()
        .build()?
        .block_on(async {
            ask().await?;
            let before = resident_bytes()?;
            ask().await?;
            Ok((resident_bytes()? - before) / f64::from(REQUESTS))
        })
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
