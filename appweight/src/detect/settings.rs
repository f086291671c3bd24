use std::collections::BTreeMap;

/// What a detector is told by its user.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The metric to judge; none: that of the first cell.
    pub metric: Option<String>,
    /// The smallest change that is worth a word, relative: where the whole interval lies within it, nothing changed.
    pub min_change: f64,
    /// The same for single endpoints.
    pub min_change_of: BTreeMap<String, f64>,
    /// The expected share of false ones among all that is called in a day.
    pub false_discovery_rate: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            metric: None,
            min_change: 0.01,
            min_change_of: BTreeMap::new(),
            false_discovery_rate: 0.2,
        }
    }
}

impl Settings {
    pub(crate) fn min_change_of(&self, endpoint: &str) -> f64 {
        let own = self.min_change_of.get(endpoint);
        own.copied().unwrap_or(self.min_change)
    }
}
