use std::collections::HashMap;

use appweight::api::{DeployReport, DetectedChange, DetectedVerdict, EndpointComparison, Verdict};
use appweight_wire::Kind;

/// Endpoints that functions are shown of: what else was flagged is in the tables of endpoints.
const MOST: usize = 6;

/// Whose functions are shown.
pub(super) struct Chosen<'a> {
    /// The costliest first.
    pub(super) endpoints: Vec<(Kind, &'a str)>,
    /// Whether none of them was flagged, but all together.
    pub(super) is_together: bool,
}

/// What was flagged by the judge whose verdict the page shows.
pub(super) fn choose(report: &DeployReport) -> Chosen<'_> {
    let compared = report.comparison.iter().flat_map(|all| &all.endpoints);
    let mut chosen = match report.detected.as_ref().filter(|detected| detected.judges) {
        Some(detected) => {
            let is_together = detected.total.as_ref().is_some_and(is_called)
                && !detected.endpoints.iter().any(is_called);
            let endpoints = detected.endpoints.iter();
            let called = endpoints.filter(|change| is_together || is_called(change));
            let mut endpoints: Vec<_> = called
                .filter_map(|change| Some((change.kind?, change.endpoint.as_deref()?)))
                .collect();
            // The detector knows no shares of the cost. What was not compared keeps its order: what changed most is first.
            let places: HashMap<_, usize> = compared.map(name).zip(0..).collect();
            endpoints.sort_by_key(|name| places.get(name).copied().unwrap_or(usize::MAX));
            Chosen {
                endpoints,
                is_together,
            }
        }
        None => Chosen {
            endpoints: compared.filter(|one| is_flagged(one)).map(name).collect(),
            is_together: false,
        },
    };
    chosen.endpoints.truncate(MOST);
    chosen
}

fn name(endpoint: &EndpointComparison) -> (Kind, &str) {
    (endpoint.kind, &endpoint.endpoint)
}

fn is_called(change: &DetectedChange) -> bool {
    use DetectedVerdict::{Improved, Regressed, Withheld};
    matches!(change.verdict, Regressed | Improved | Withheld)
}

fn is_flagged(endpoint: &EndpointComparison) -> bool {
    use Verdict::{Improved, Regressed, Withheld};
    matches!(endpoint.verdict, Regressed | Improved | Withheld)
}
