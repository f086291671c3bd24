//! Which requests are counted: all, or one in K of each endpoint.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use fastrand::Rng;

use crate::adaptive;
use crate::names;
use crate::settings::OneIn;

/// How thinly each endpoint is counted now.
#[derive(Debug)]
pub(crate) enum Thinning {
    Fixed(u32),
    Adaptive(Adaptive),
}

#[derive(Debug)]
pub(crate) struct Adaptive {
    /// How many requests of an endpoint a cell is to have.
    target: u64,
    /// By the endpoint's number. Written once per span, read at every request.
    one_in: Box<[AtomicU32]>,
    /// Whether any of them is more than one.
    thins: AtomicBool,
}

impl Thinning {
    pub(crate) fn new(one_in: OneIn, target: u64) -> Self {
        match one_in {
            OneIn::Fixed(one_in) => Self::Fixed(one_in),
            OneIn::Adaptive => Self::Adaptive(Adaptive {
                target,
                one_in: (0..=names::ENDPOINTS).map(|_| AtomicU32::new(1)).collect(),
                thins: AtomicBool::new(false),
            }),
        }
    }

    /// How many requests the endpoint's next one stands for; `None` if it is not counted. Drawn at
    /// random for each, so that no rhythm of the traffic is met by one of ours.
    #[inline]
    pub(crate) fn choose(&self, endpoint: u32, random: &mut Rng) -> Option<u32> {
        let one_in = match self {
            Self::Fixed(one_in) => *one_in,
            Self::Adaptive(adaptive) => adaptive.one_in(endpoint),
        };
        (one_in <= 1 || random.u32(0..one_in) == 0).then_some(one_in)
    }

    /// Decides anew for every endpoint, from what it saw in the span that is over: nothing, if it is
    /// not among them.
    pub(crate) fn decide(&self, seen: &HashMap<u32, u64>) {
        if let Self::Adaptive(adaptive) = self {
            adaptive.decide(seen);
        }
    }

    /// Whether some requests may pass uncounted now.
    pub(crate) fn thins(&self) -> bool {
        match self {
            Self::Fixed(one_in) => *one_in > 1,
            Self::Adaptive(adaptive) => adaptive.thins.load(Ordering::Relaxed),
        }
    }
}

impl Adaptive {
    #[inline]
    fn one_in(&self, endpoint: u32) -> u32 {
        if !self.thins.load(Ordering::Relaxed) {
            return 1;
        }
        let known = self.one_in.get(endpoint as usize);
        known.map_or(1, |one_in| one_in.load(Ordering::Relaxed))
    }

    fn decide(&self, seen: &HashMap<u32, u64>) {
        let mut thins = false;
        for (endpoint, one_in) in (0..).zip(&self.one_in) {
            let seen = seen.get(&endpoint).copied().unwrap_or(0);
            let next = adaptive::next(one_in.load(Ordering::Relaxed), seen, self.target);
            one_in.store(next, Ordering::Relaxed);
            thins |= next > 1;
        }
        self.thins.store(thins, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an endpoint of that many requests in each span was counted as: in each span how many
    /// were, the weight they stand for, and the mean of their costs by that weight.
    fn simulate(
        spans: &[u64],
        random: &mut Rng,
        cost: impl Fn(usize, u64) -> f64,
    ) -> Vec<(u64, u64, f64)> {
        let thinning = Thinning::new(OneIn::Adaptive, 1_000);
        let mut told = Vec::new();
        for (span, &requests) in spans.iter().enumerate() {
            let (mut n, mut weight, mut sum) = (0, 0, 0.0);
            for request in 0..requests {
                if let Some(stands_for) = thinning.choose(7, random) {
                    n += 1;
                    weight += u64::from(stands_for);
                    sum += f64::from(stands_for) * cost(span, request);
                }
            }
            told.push((n, weight, sum));
            thinning.decide(&HashMap::from([(7, weight)]));
        }
        told
    }

    #[test]
    fn the_sums_of_weights_estimate_the_true_numbers() {
        let random = &mut Rng::with_seed(20_261_124);
        // Ten times as many, a tenth of that, silence, and a rare endpoint.
        let spans = [
            300, 20_000, 20_000, 200_000, 200_000, 200_000, 20_000, 20_000, 0, 40, 40,
        ];
        let (mut number, mut cost_sum) = (Vec::new(), Vec::new());
        let runs = 100;
        // Where the endpoint is busy, each request costs three times as much, and one in ten a
        // hundred times that.
        let cost = |span: usize, request: u64| {
            let busy = if spans[span] == 200_000 { 3.0 } else { 1.0 };
            busy * if request.is_multiple_of(10) {
                100.0
            } else {
                1.0
            }
        };
        for _ in 0..runs {
            let told = simulate(&spans, random, cost);
            assert_eq!(told[0].0, 300, "a new endpoint is counted whole");
            assert_eq!(
                (told[8].0, told[9].0, told[10].0),
                (0, 40, 40),
                "a rare one, too"
            );
            for settled in [2, 4, 5, 7] {
                let n = told[settled].0;
                assert!((700..2_300).contains(&n), "{n} counted in span {settled}");
            }
            number.push(told.iter().map(|told| told.1).sum::<u64>() as f64);
            cost_sum.push(told.iter().map(|told| told.2).sum::<f64>());
        }
        let true_number = spans.iter().sum::<u64>() as f64;
        let true_cost: f64 = (0..spans.len())
            .flat_map(|span| (0..spans[span]).map(move |request| (span, request)))
            .map(|(span, request)| cost(span, request))
            .sum();
        for (told, truth) in [(number, true_number), (cost_sum, true_cost)] {
            let mean = told.iter().sum::<f64>() / f64::from(runs);
            let variance =
                told.iter().map(|told| (told - mean).powi(2)).sum::<f64>() / f64::from(runs - 1);
            let error = (variance / f64::from(runs)).sqrt();
            assert!(error < truth * 0.01, "the runs tell something: {error}");
            let off = (mean - truth) / error;
            assert!(off.abs() < 4.0, "{mean} for {truth}: {off} errors off");
        }
    }

    #[test]
    fn each_endpoint_is_thinned_by_itself() {
        let thinning = Thinning::new(OneIn::Adaptive, 10);
        assert!(!thinning.thins());
        thinning.decide(&HashMap::from([(1, 10_000), (2, 10)]));
        assert!(thinning.thins());
        let random = &mut Rng::with_seed(20_261_129);
        let counted = |endpoint, random: &mut Rng| {
            (0..5_120)
                .filter_map(|_| thinning.choose(endpoint, random))
                .sum::<u32>()
        };
        assert_eq!(counted(2, random), 5_120);
        assert_eq!(counted(3, random), 5_120, "never seen before");
        let busy = (0..51_200)
            .filter_map(|_| thinning.choose(1, random))
            .collect::<Vec<_>>();
        assert!(busy.iter().all(|&stands_for| stands_for == 512));
        assert!((50..160).contains(&busy.len()), "{}", busy.len());
        thinning.decide(&HashMap::new());
        assert!(!thinning.thins());
        assert_eq!(counted(1, random), 5_120);
    }
}
