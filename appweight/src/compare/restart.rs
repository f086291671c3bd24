//! What a roll-out does by itself, whatever its code, learned from the service's earlier ones.
//!
//! Each earlier roll-out of an endpoint gives one difference between new and old processes. Most of
//! them changed nothing for that endpoint, so their middle is what a restart does, and their spread
//! beyond that of the requests is the noise between processes. The middle is a mean with weights of
//! Student's t distribution (Lange, Little, Taylor 1989), drawn towards 0 as far as few roll-outs
//! say little; the noise is drawn towards what is believed of any service (Smyth 2004).

use appweight_wire::Kind;

use super::estimate::noise_scale;
use crate::api::{Comparison, Control, EndpointComparison, Metric};
use crate::thresholds::{
    CHANGED_CODE_SIGMAS, INSTANCE_NOISE_WORTH, MAX_EARLIER_ROLL_OUTS, Thresholds,
};

/// What is known of an endpoint's restarts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Restart {
    /// ln(new / old) of unchanged code.
    pub(crate) log_ratio: f64,
    /// The variance of that.
    pub(crate) variance: f64,
    /// The variance between two processes of the same code, relative.
    pub(crate) noise: f64,
    /// The degrees of freedom of the noise.
    pub(crate) freedom: f64,
    /// From so many roll-outs.
    pub(crate) roll_outs: usize,
}

impl Restart {
    /// What is believed before any roll-out was seen.
    pub(crate) fn unseen(thresholds: &Thresholds) -> Self {
        Self {
            log_ratio: 0.0,
            variance: thresholds.restart_effect.powi(2),
            noise: thresholds.instance_noise.powi(2),
            freedom: INSTANCE_NOISE_WORTH,
            roll_outs: 0,
        }
    }

    /// Restarts that do nothing, between processes of that noise: where deploys served one after the other.
    pub(crate) fn of_no_effect(noise: f64) -> Self {
        Self {
            log_ratio: 0.0,
            variance: 0.0,
            noise: noise.powi(2),
            freedom: f64::INFINITY,
            roll_outs: 0,
        }
    }

    /// Learns from the endpoint's earlier roll-outs, the newest first.
    pub(crate) fn learn(
        earlier: &[Comparison],
        endpoint: (Kind, &str),
        metric: Metric,
        thresholds: &Thresholds,
    ) -> Self {
        let seen: Vec<Seen> = earlier
            .iter()
            .filter(|comparison| comparison.control == Control::SideBySide)
            .filter_map(|comparison| {
                comparison.endpoints.iter().find(|other| {
                    (other.kind, other.endpoint.as_str()) == endpoint && other.metric == metric
                })
            })
            .filter_map(Seen::of)
            .take(MAX_EARLIER_ROLL_OUTS)
            .collect();
        Self::of(&seen, Self::unseen(thresholds))
    }

    fn of(seen: &[Seen], unseen: Self) -> Self {
        const ROUNDS: usize = 30;
        let mut known = Self {
            log_ratio: middle(seen),
            ..unseen
        };
        for _ in 0..ROUNDS {
            let weighed: Vec<(Seen, f64)> = seen
                .iter()
                .map(|seen| (*seen, known.belief_in(seen)))
                .collect();
            // Where roll-outs agree that restarts do much, what was believed before them is dropped.
            let nothing = belief(known.log_ratio.powi(2) / unseen.variance);
            let precision: f64 = weighed
                .iter()
                .map(|(seen, belief)| belief / seen.variance(known.noise))
                .sum::<f64>()
                + nothing / unseen.variance;
            let log_ratio = weighed
                .iter()
                .map(|(seen, belief)| belief / seen.variance(known.noise) * seen.log_ratio)
                .sum::<f64>()
                / precision;
            let beliefs: f64 = weighed.iter().map(|(_, belief)| belief).sum();
            let beyond_requests: f64 = weighed
                .iter()
                .map(|(seen, belief)| {
                    belief * ((seen.log_ratio - log_ratio).powi(2) - seen.requests) / seen.scale
                })
                .sum();
            let noise =
                (unseen.freedom * unseen.noise + beyond_requests) / (unseen.freedom + beliefs);
            known = Self {
                log_ratio,
                variance: 1.0 / precision,
                // Chance makes some endpoints look quieter than processes are.
                noise: noise.max(unseen.noise / 4.0),
                freedom: unseen.freedom + beliefs,
                roll_outs: weighed.iter().filter(|(_, belief)| *belief > 0.0).count(),
            };
        }
        known
    }

    /// How far a roll-out is believed to have changed nothing, 0 to 1.
    fn belief_in(&self, seen: &Seen) -> f64 {
        let squared = (seen.log_ratio - self.log_ratio).powi(2) / seen.variance(self.noise);
        if squared > CHANGED_CODE_SIGMAS.powi(2) {
            0.0
        } else {
            belief(squared)
        }
    }
}

/// The weight of a value whose squared distance, in squared standard errors, is this: that of
/// Student's t with 4 degrees of freedom, 1 at most.
fn belief(squared: f64) -> f64 {
    (5.0 / (4.0 + squared)).min(1.0)
}

/// An earlier roll-out of the endpoint.
#[derive(Debug, Clone, Copy)]
struct Seen {
    log_ratio: f64,
    /// The variance of it that comes of the requests.
    requests: f64,
    /// How much of the noise between processes was left.
    scale: f64,
}

impl Seen {
    fn of(endpoint: &EndpointComparison) -> Option<Self> {
        let log_ratio = (endpoint.after.mean / endpoint.before.mean).ln();
        let requests = endpoint.request_error?.powi(2);
        let groups = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        (endpoint.change.is_some() && log_ratio.is_finite()).then(|| Self {
            log_ratio,
            requests,
            scale: noise_scale(
                groups(endpoint.before.host_groups),
                groups(endpoint.after.host_groups),
            ),
        })
    }

    fn variance(&self, noise: f64) -> f64 {
        self.requests + self.scale * noise
    }
}

/// The median of the roll-outs and one that did nothing; where two are in the middle, the one nearer 0.
fn middle(seen: &[Seen]) -> f64 {
    let mut ratios: Vec<f64> = seen.iter().map(|seen| seen.log_ratio).collect();
    ratios.push(0.0);
    ratios.sort_by(f64::total_cmp);
    let (left, right) = (ratios[(ratios.len() - 1) / 2], ratios[ratios.len() / 2]);
    if left.abs() < right.abs() {
        left
    } else {
        right
    }
}

#[cfg(test)]
mod tests;
