use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use fastrand::Rng;
use http::Uri;

/// Why an address is no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address such as http://127.0.0.1:8000")]
pub struct InvalidTarget(pub String);

/// The instances that requests go to, each with the same probability. A clone is the same list: it
/// can be changed while traffic runs.
#[derive(Debug, Clone, Default)]
pub struct Targets {
    list: Arc<RwLock<Vec<Arc<Target>>>>,
}

#[derive(Debug)]
struct Target {
    base: String,
    in_flight: AtomicU64,
}

impl Targets {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an instance by its address, as `http://127.0.0.1:8000`. One that is there stays once.
    ///
    /// # Errors
    /// If this is not such an address.
    pub fn add(&self, url: &str) -> Result<(), InvalidTarget> {
        let base = base(url)?;
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        if !list.iter().any(|target| target.base == base) {
            list.push(Arc::new(Target {
                base,
                in_flight: AtomicU64::new(0),
            }));
        }
        Ok(())
    }

    /// Takes an instance from the list, so that it gets no new requests, and waits until those that
    /// it has are answered: then it can be stopped without a failed request. Whether it was there.
    pub async fn remove(&self, url: &str) -> bool {
        let Some(target) = self.take(url) else {
            return false;
        };
        while target.in_flight.load(Ordering::Acquire) > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        true
    }

    /// The addresses.
    #[must_use]
    pub fn list(&self) -> Vec<String> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        list.iter().map(|target| target.base.clone()).collect()
    }

    fn take(&self, url: &str) -> Option<Arc<Target>> {
        let base = base(url).ok()?;
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        let index = list.iter().position(|target| target.base == base)?;
        Some(list.remove(index))
    }

    pub(super) fn pick(&self, rng: &mut Rng) -> Option<Picked> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        let target = Arc::clone(list.get(rng.usize(..list.len().max(1)))?);
        // Under the lock, so that `remove` cannot find it idle in between.
        target.in_flight.fetch_add(1, Ordering::AcqRel);
        Some(Picked(target))
    }
}

/// A target with one request in flight, until this is dropped.
pub(super) struct Picked(Arc<Target>);

impl Picked {
    pub(super) fn base(&self) -> &str {
        &self.0.base
    }
}

impl Drop for Picked {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

fn base(url: &str) -> Result<String, InvalidTarget> {
    let invalid = || InvalidTarget(url.to_owned());
    let uri: Uri = url.parse().map_err(|_| invalid())?;
    match (uri.scheme_str(), uri.authority(), uri.path()) {
        (Some("http"), Some(authority), "" | "/") if uri.query().is_none() => {
            Ok(format!("http://{authority}"))
        }
        _ => Err(invalid()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_addresses_are_targets() {
        let targets = Targets::new();
        for bad in [
            "",
            "127.0.0.1:1",
            "https://a",
            "http://a/b",
            "http://a?b",
            "/a",
        ] {
            assert_eq!(targets.add(bad), Err(InvalidTarget(bad.into())), "{bad}");
        }
        targets.add("http://127.0.0.1:1").unwrap();
        targets.add("http://127.0.0.1:1/").unwrap();
        assert_eq!(targets.list(), ["http://127.0.0.1:1"]);
    }

    #[test]
    fn each_is_picked_as_often_and_none_when_there_is_none() {
        let targets = Targets::new();
        let mut rng = Rng::with_seed(1);
        assert!(targets.pick(&mut rng).is_none());
        targets.add("http://a").unwrap();
        targets.add("http://b").unwrap();
        let first = (0..10_000)
            .filter(|_| targets.pick(&mut rng).unwrap().base() == "http://a")
            .count();
        assert!((4700..5300).contains(&first), "{first}");
    }

    #[tokio::test]
    async fn removing_waits_for_the_requests_in_flight() {
        let targets = Targets::new();
        targets.add("http://a").unwrap();
        let picked = targets.pick(&mut Rng::with_seed(1)).unwrap();
        let removal = tokio::spawn({
            let targets = targets.clone();
            async move { targets.remove("http://a").await }
        });
        while !targets.list().is_empty() {
            tokio::task::yield_now().await;
        }
        assert!(!removal.is_finished());
        drop(picked);
        assert!(removal.await.unwrap());
        assert!(!targets.remove("http://a").await);
    }
}
