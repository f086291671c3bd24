//! Every threshold of the judgement, in one place, each with its reason.

use std::collections::BTreeMap;

/// What has to be exceeded before anything is said, with settings per endpoint over the defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct Thresholds {
    /// How sure the judge is of everything that it says of one deploy, all endpoints together.
    pub confidence: f64,
    /// The smallest relative change that is worth a word.
    pub min_change: f64,
    /// [`Thresholds::min_change`] by endpoint.
    pub min_change_by_endpoint: BTreeMap<String, f64>,
    /// Requests that each side of an endpoint must have.
    pub min_requests: u64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            confidence: 0.999,
            min_change: 0.01,
            min_change_by_endpoint: BTreeMap::new(),
            min_requests: 100,
        }
    }
}

impl Thresholds {
    /// The smallest change of that endpoint that is worth a word.
    #[must_use]
    pub fn min_change_of(&self, endpoint: &str) -> f64 {
        self.min_change_by_endpoint.get(endpoint).copied().unwrap_or(self.min_change)
    }
}
