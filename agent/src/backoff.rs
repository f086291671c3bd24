//! How long to wait before a batch is tried again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(30);
/// Somebody has to change a token first.
const UNAUTHORIZED: Duration = Duration::from_secs(60);
/// A collector that asks for more is asked again nevertheless.
const LONGEST_ASKED: Duration = Duration::from_secs(300);

/// Why an attempt failed that may succeed another time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) why: String,
    /// How long the collector asks to wait.
    pub(crate) retry_after: Option<Duration>,
    /// The token is missing or wrong.
    pub(crate) unauthorized: bool,
}

impl Failure {
    pub(crate) fn new(why: String) -> Self {
        Self {
            why,
            retry_after: None,
            unauthorized: false,
        }
    }

    /// Whether trying again soon is of no use.
    pub(crate) fn asks_for_time(&self) -> bool {
        self.unauthorized || self.retry_after.is_some()
    }
}

/// Pauses that double, each drawn anew between nothing and its most (full jitter), so that a fleet does
/// not fall upon a collector that has just come back.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// An attempt succeeded.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The pause after a failure; `random` is from 0 to 1.
    pub(crate) fn pause(&mut self, failure: &Failure, random: f64) -> Duration {
        let most = FIRST
            .saturating_mul(1 << self.failures.min(16))
            .min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        if let Some(asked) = failure.retry_after {
            asked.min(LONGEST_ASKED) + most.mul_f64(random)
        } else if failure.unauthorized {
            UNAUTHORIZED.mul_f64(0.5 + random / 2.0)
        } else {
            most.mul_f64(random)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure() -> Failure {
        Failure::new("broken".to_owned())
    }

    #[test]
    fn pauses_double_up_to_a_bound_and_are_drawn_from_all_of_it() {
        let mut backoff = Backoff::default();
        let most: Vec<u128> = (0..9)
            .map(|_| backoff.pause(&failure(), 1.0).as_millis())
            .collect();
        assert_eq!(
            most,
            [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]
        );
        assert_eq!(backoff.pause(&failure(), 0.0), Duration::ZERO);
        assert_eq!(backoff.pause(&failure(), 0.5), Duration::from_secs(15));
        for _ in 0..100 {
            assert!(backoff.pause(&failure(), 1.0) <= LONGEST);
        }
        backoff.reset();
        assert_eq!(backoff.pause(&failure(), 1.0), FIRST);
    }

    #[test]
    fn what_the_collector_asks_for_is_waited_up_to_a_bound() {
        let asked = |seconds| Failure {
            retry_after: Some(Duration::from_secs(seconds)),
            ..failure()
        };
        let mut backoff = Backoff::default();
        assert_eq!(backoff.pause(&asked(7), 0.0), Duration::from_secs(7));
        assert!(backoff.pause(&asked(7), 1.0) > Duration::from_secs(7));
        assert_eq!(backoff.pause(&asked(86_400), 0.0), LONGEST_ASKED);
        assert!(asked(0).asks_for_time());
    }

    #[test]
    fn a_wrong_token_is_tried_again_slowly() {
        let wrong = Failure {
            unauthorized: true,
            ..failure()
        };
        let mut backoff = Backoff::default();
        assert_eq!(backoff.pause(&wrong, 0.0), UNAUTHORIZED / 2);
        assert_eq!(backoff.pause(&wrong, 1.0), UNAUTHORIZED);
        assert!(wrong.asks_for_time() && !failure().asks_for_time());
    }
}
