//! Whether what a roll-out made heavier is as light again.

use appweight_wire::Kind;

use crate::api::{
    Change, Comparison, DeployReport, DeployVerdict, DetectedChange, DetectedVerdict,
    EndpointComparison, Verdict,
};

/// What is said to be as light as before may be so much heavier still with a chance of one in 20: as many
/// standard errors.
const SURE: f64 = 1.96;
/// So much of an increase may be left at most.
const MOST_LEFT: f64 = 0.25;

/// What a final report says of each endpoint and of memory, as far as alerts need it: little enough to be kept
/// of some months.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The deploy.
    pub id: String,
    /// The one that it replaced.
    pub replaced: Option<String>,
    /// When its roll-out began, µs.
    pub started_us: u64,
    /// When it was judged, µs.
    pub judged_us: u64,
    /// Whether it is a regression.
    pub regressed: bool,
    leaks: bool,
    leak_gone: bool,
    endpoints: Vec<Endpoint>,
}

#[derive(Debug, Clone, PartialEq)]
struct Endpoint {
    /// None: all endpoints together.
    name: Option<(Kind, String)>,
    verdict: Verdict,
    /// The change's logarithm and its standard error.
    log: f64,
    error: f64,
}

impl Outcome {
    /// What that report says.
    #[must_use]
    pub fn of(report: &DeployReport) -> Self {
        let deploy = &report.summary.deploy;
        let memory = report.memory.as_ref();
        let endpoints: Vec<Endpoint> = match &report.detected {
            Some(detected) if detected.judges => {
                detected.changes().filter_map(Endpoint::detected).collect()
            }
            _ => {
                let compared = report.comparison.iter().flat_map(|all| &all.endpoints);
                let total = report.comparison.iter().filter_map(Endpoint::total);
                compared
                    .filter_map(Endpoint::compared)
                    .chain(total)
                    .collect()
            }
        };
        Self {
            id: deploy.id.clone(),
            replaced: deploy.replaced.clone(),
            started_us: deploy.started_us,
            judged_us: report.summary.judged_us.unwrap_or(0),
            regressed: report.summary.verdict == DeployVerdict::Regressed,
            leaks: memory.is_some_and(|memory| memory.leaks),
            leak_gone: memory.is_some_and(|memory| memory.leak_gone),
            endpoints,
        }
    }

    /// The first of the later roll-outs, given by rising start, after which all that this one made heavier is as light as before:
    /// each endpoint was judged lighter, and what is left of the increase, all changes since multiplied, is
    /// a quarter at most and cannot be told from `min_change` (0.01 is 1 %); or it was judged lighter when the
    /// code came back that this one had replaced. Where no endpoint was sure, all of them together count as one. A leak is
    /// gone when it was judged to be.
    #[must_use]
    pub fn undone_by<'a>(
        &self,
        later: impl IntoIterator<Item = &'a Self>,
        min_change: f64,
    ) -> Option<&'a Self> {
        let heavier = self.endpoints.iter();
        let mut left: Vec<(&Endpoint, Endpoint)> = heavier
            .filter(|endpoint| endpoint.verdict == Verdict::Regressed)
            .map(|endpoint| (endpoint, endpoint.clone()))
            .collect();
        // What all have in common is told by those that are sure of it.
        if left.iter().any(|(rose, _)| rose.name.is_some()) {
            left.retain(|(rose, _)| rose.name.is_some());
        }
        let mut leaks = self.leaks;
        if left.is_empty() && !leaks {
            // What would have to become lighter is not known.
            return None;
        }
        for outcome in later {
            let is_back = self.replaced.as_ref() == Some(&outcome.id);
            left.retain_mut(|(rose, left)| {
                let lighter = left.follow(outcome);
                let is_light = left.log <= rose.log * MOST_LEFT
                    && left.log - SURE * left.error <= min_change.ln_1p();
                !(lighter && (is_back || is_light))
            });
            leaks &= !outcome.leak_gone;
            if left.is_empty() && !leaks {
                return Some(outcome);
            }
        }
        None
    }
}

impl Endpoint {
    /// `None` of what cannot be told from noise: it adds nothing but noise.
    fn compared(endpoint: &EndpointComparison) -> Option<Self> {
        let moved = matches!(endpoint.verdict, Verdict::Regressed | Verdict::Improved);
        let (log, error) = log_of(endpoint.change.filter(|_| moved)?)?;
        Some(Self {
            name: Some((endpoint.kind, endpoint.endpoint.clone())),
            verdict: endpoint.verdict,
            log,
            error,
        })
    }

    /// A comparison calls endpoints alone; that all together are lighter its interval tells.
    fn total(comparison: &Comparison) -> Option<Self> {
        let change = comparison.total.change.filter(|change| change.high < 0.0)?;
        let (log, error) = log_of(change)?;
        Some(Self {
            name: None,
            verdict: Verdict::Improved,
            log,
            error,
        })
    }

    fn detected(endpoint: &DetectedChange) -> Option<Self> {
        let verdict = match endpoint.verdict {
            DetectedVerdict::Regressed => Verdict::Regressed,
            DetectedVerdict::Improved => Verdict::Improved,
            _ => return None,
        };
        let (log, error) = log_of(endpoint.change?)?;
        Some(Self {
            name: endpoint.kind.zip(endpoint.endpoint.clone()),
            verdict,
            log,
            error,
        })
    }

    /// Adds what that roll-out changed. Whether it made it lighter.
    fn follow(&mut self, outcome: &Outcome) -> bool {
        let mut all = outcome.endpoints.iter();
        let Some(moved) = all.find(|moved| moved.name == self.name) else {
            return false;
        };
        self.log += moved.log;
        self.error = self.error.hypot(moved.error);
        moved.verdict == Verdict::Improved
    }
}

/// `None` of a change that no endpoint can have.
fn log_of(change: Change) -> Option<(f64, f64)> {
    let (log, error) = (change.relative.ln_1p(), change.standard_error);
    (log.is_finite() && error.is_finite()).then_some((log, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A roll-out of `id` over `replaced` that changed endpoints (without a name: all together) by so much, each to within 1 %.
    fn outcome(id: &str, replaced: &str, changes: &[(&str, f64)]) -> Outcome {
        let endpoints = changes.iter().map(|&(name, relative)| Endpoint {
            name: (!name.is_empty()).then(|| (Kind::Request, name.to_owned())),
            verdict: if relative > 0.0 {
                Verdict::Regressed
            } else {
                Verdict::Improved
            },
            log: f64::ln_1p(relative),
            error: 0.01,
        });
        Outcome {
            id: id.to_owned(),
            replaced: Some(replaced.to_owned()),
            started_us: 0,
            judged_us: 0,
            regressed: changes.iter().any(|(_, relative)| *relative > 0.0),
            leaks: false,
            leak_gone: false,
            endpoints: endpoints.collect(),
        }
    }

    fn undone_by(first: &Outcome, later: &[Outcome]) -> Option<String> {
        Some(first.undone_by(later, 0.01)?.id.clone())
    }

    #[test]
    fn what_is_as_light_as_before_is_undone_by_the_roll_out_that_made_it_so() {
        let first = outcome(
            "b",
            "a",
            &[("/feed", 0.2), ("/stories", 0.1), ("/seen", -0.1)],
        );
        let feed = outcome("c", "b", &[("/feed", -0.166)]);
        let stories = outcome("d", "c", &[("/stories", -0.09), ("/seen", 0.1)]);
        assert_eq!(undone_by(&first, &[]), None);
        assert_eq!(
            undone_by(&first, std::slice::from_ref(&feed)),
            None,
            "a half of it"
        );
        assert_eq!(undone_by(&first, &[feed, stories]), Some("d".into()));
    }

    #[test]
    fn half_of_the_way_back_is_not_enough_and_several_steps_are() {
        let first = outcome("b", "a", &[("/feed", 0.2)]);
        let step = |id| outcome(id, "x", &[("/feed", -0.09)]);
        assert_eq!(undone_by(&first, &[step("c")]), None);
        assert_eq!(undone_by(&first, &[step("c"), step("d")]), Some("d".into()));
        // What was made heavier once more needs as much more.
        let worse = outcome("e", "b", &[("/feed", 0.1)]);
        assert_eq!(undone_by(&first, &[worse, step("c"), step("d")]), None);
    }

    #[test]
    fn the_code_of_before_is_as_light_as_before_if_it_is_lighter() {
        let first = outcome("b", "a", &[("/feed", 0.3)]);
        let back = |id| outcome(id, "b", &[("/feed", -0.15)]);
        assert_eq!(undone_by(&first, &[back("a")]), Some("a".into()));
        assert_eq!(undone_by(&first, &[back("c")]), None);
        assert_eq!(
            undone_by(&first, &[outcome("a", "b", &[])]),
            None,
            "nobody saw it"
        );
    }

    #[test]
    fn all_endpoints_together_are_undone_by_what_made_all_of_them_lighter() {
        let first = outcome("b", "a", &[("", 0.02)]);
        let one = outcome("c", "b", &[("/feed", -0.02)]);
        assert_eq!(undone_by(&first, std::slice::from_ref(&one)), None);
        let all = outcome("a", "c", &[("", -0.02), ("/feed", -0.02)]);
        assert_eq!(undone_by(&first, &[one, all.clone()]), Some("a".into()));
        // Where an endpoint is sure of it, that has to become lighter.
        let both = outcome("b", "a", &[("", 0.02), ("/seen", 0.3)]);
        assert_eq!(undone_by(&both, &[all]), None);
    }

    #[test]
    fn a_report_tells_of_all_endpoints_together() {
        let report = |verdict: DetectedVerdict, relative: f64| -> DeployReport {
            let json = serde_json::json!({
                "summary": {
                    "deploy": {"service": "photos", "id": "b", "started_us": 0, "replaced": "a"},
                    "status": "judged", "verdict": "regressed", "headline": "", "findings": [],
                },
                "detected": {
                    "judges": true, "because": "", "watches": false, "endpoints": [],
                    "total": {
                        "verdict": verdict, "checks": [],
                        "change": {"relative": relative, "low": relative - 0.01, "high": relative + 0.01,
                            "confidence": 0.95, "standard_error": 0.005},
                    },
                },
            });
            serde_json::from_value(json).unwrap()
        };
        let first = Outcome::of(&report(DetectedVerdict::Regressed, 0.04));
        let back = Outcome::of(&report(DetectedVerdict::Improved, -0.04));
        assert_eq!(undone_by(&first, &[back]), Some("b".into()));
        let unsure = Outcome::of(&report(DetectedVerdict::Undecided, -0.04));
        assert_eq!(undone_by(&first, &[unsure]), None);
    }

    #[test]
    fn a_changes_error_is_that_of_its_logarithm() {
        let change = Change {
            relative: 0.5,
            low: 0.3,
            high: 0.7,
            confidence: 0.95,
            standard_error: 0.06,
        };
        let (log, error) = log_of(change).unwrap();
        assert!((log - 1.5_f64.ln()).abs() < 1e-12);
        assert_eq!(error, 0.06);
    }

    #[test]
    fn a_leak_is_undone_when_it_is_gone() {
        let first = Outcome {
            leaks: true,
            ..outcome("b", "a", &[])
        };
        let gone = Outcome {
            leak_gone: true,
            ..outcome("d", "c", &[])
        };
        assert_eq!(
            undone_by(&first, &[outcome("c", "b", &[("/feed", -0.1)])]),
            None
        );
        assert_eq!(
            undone_by(&first, &[outcome("c", "b", &[]), gone]),
            Some("d".into())
        );
    }
}
