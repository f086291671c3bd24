//! Every threshold of the judgement, in one place, each with its reason.

use std::collections::BTreeMap;

use crate::api::Control;

/// What has to be exceeded before anything is said, with settings per endpoint over the defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct Thresholds {
    /// How sure the judge is of everything that it says of one deploy, all endpoints together.
    /// At 40 deploys a day, 0.999 is one false alarm in about a month.
    pub confidence: f64,
    /// The smallest relative change that is worth a word: an interval must lie beyond it as a whole.
    pub min_change: f64,
    /// [`Thresholds::min_change`] by endpoint.
    pub min_change_by_endpoint: BTreeMap<String, f64>,
    /// The expected share of false ones among all that the detector calls of a service in a day. With 0.2 a service that changes
    /// nothing is alarmed once in some days, and the figures of `docs/performance.md` were measured.
    pub false_discoveries: f64,
    /// Requests that each side of an endpoint must have. With fewer, one odd request is the mean.
    pub min_requests: u64,
    /// Relative standard deviation between two processes that run the same code side by side:
    /// memory layout, hash seeds and the core they happen to run on move all requests of a process
    /// together, and no number of requests averages that away. It is divided by the number of host
    /// groups on each side. Each endpoint learns its own from earlier roll-outs; this is what is
    /// believed before there are any.
    pub instance_noise: f64,
    /// How much a restart alone may change the cost of an endpoint's requests, relative, as a
    /// standard deviation: what is believed before any roll-out was seen.
    pub restart_effect: f64,
    /// The same where the two deploys served one after the other: the machine's load and clock
    /// moved in between as well.
    pub before_after_noise: f64,
    /// The share of errors may rise by this much before a cheaper endpoint is suspected of failing fast.
    pub max_error_rise: f64,
    /// A leak must have grown the process's memory by this share in the time compared: allocators
    /// and caches settle in steps of a few pages, which is no leak.
    pub min_leak_growth: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            confidence: 0.999,
            min_change: 0.01,
            min_change_by_endpoint: BTreeMap::new(),
            false_discoveries: 0.2,
            min_requests: 100,
            instance_noise: 0.01,
            restart_effect: 0.01,
            before_after_noise: 0.04,
            max_error_rise: 0.01,
            min_leak_growth: 0.05,
        }
    }
}

impl Thresholds {
    /// The relative standard deviation between two processes of the same code under that control.
    #[must_use]
    pub fn noise(&self, control: Control) -> f64 {
        match control {
            Control::SideBySide => self.instance_noise,
            Control::BeforeAfter => self.before_after_noise,
        }
    }

    /// The smallest change of that endpoint that is worth a word.
    #[must_use]
    pub fn min_change_of(&self, endpoint: &str) -> f64 {
        self.min_change_by_endpoint
            .get(endpoint)
            .copied()
            .unwrap_or(self.min_change)
    }
}

/// Time strata from which the spread between them is trusted as an error of its own.
pub const MIN_STRATA_FOR_SPREAD: usize = 6;
/// Host groups on each side from which the spread between them is trusted.
pub const MIN_HOST_GROUPS_FOR_SPREAD: usize = 5;
/// How sure it must be that strata or host groups differ by more than their requests do, before
/// their spread, known from few of them, replaces that of the requests.
pub const SPREAD_CONFIDENCE: f64 = 0.95;
/// Share of an endpoint's requests that may fall into strata without the other deploy, before
/// neighbouring strata are joined.
pub const MAX_UNPAIRED_SHARE: f64 = 0.1;
/// Steps of process age that a comparison of memory needs: fewer are one allocator step away from
/// any slope.
pub const MIN_AGE_STEPS: usize = 5;
/// Steps of process age passed over at a process's start, while it loads and fills its caches.
pub const SKIPPED_AGE_STEPS: u64 = 3;
/// Standard errors that a rise of the share of errors must exceed to be believed.
pub const ERROR_RISE_SIGMAS: f64 = 3.0;
/// Earlier roll-outs from which an endpoint's restarts are learned: code and load of longer ago were
/// others.
pub const MAX_EARLIER_ROLL_OUTS: usize = 12;
/// How many roll-outs [`Thresholds::instance_noise`] is worth against what was seen.
pub const INSTANCE_NOISE_WORTH: f64 = 10.0;
/// An earlier roll-out that is this many standard errors away from the others changed the code, and
/// says nothing of restarts.
pub const CHANGED_CODE_SIGMAS: f64 = 4.0;
/// Hosts of a deploy that must have process records before one of them can be told from the others.
pub const MIN_HOSTS_TO_COMPARE: usize = 4;
/// A host that costs less than this more or less than the others is none to look after: machines of one kind differ by as much.
pub const MIN_ODD_HOST: f64 = 0.05;
/// How sure it must be that a host is not the farthest of so many by chance.
pub const ODD_HOST_CONFIDENCE: f64 = 0.999;
