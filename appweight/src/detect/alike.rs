use super::regression::Estimate;

/// Fewer endpoints cannot tell what all of them did from what one did.
const MIN_ENDPOINTS: usize = 5;
/// From so many standard errors on, all endpoints are taken to have changed together, as with a jump of all.
const SURE_AT: f64 = 5.0;
/// Standard errors beyond which an endpoint counts no more for its distance: Huber's constant, which costs 5 % of the precision
/// if there is no outlier.
const HUBER: f64 = 1.345;
const HUBER_EFFICIENCY: f64 = 0.95;
/// Rounds of reweighting, and of halving the range in which the spread is sought.
const ROUNDS: usize = 12;
const HALVINGS: usize = 20;

/// What one endpoint may take for known of a deploy that changed all endpoints: the mean of what it did to the others, and
/// how far one endpoint may be from that.
///
/// A deploy that overlaps with a change of everything is told from it by all endpoints together, sooner than by each alone: what one
/// of few requests cannot tell it would as gladly charge to the wrong one of the two. The mean is Huber's (1964, "Robust estimation of a
/// location parameter", *Annals of Mathematical Statistics* 35), so that no single endpoint can pass for all; the spread between
/// endpoints is the one that makes their squares as large as expected (Paule and Mandel 1982, "Consensus values and weighting
/// factors", *Journal of Research of the National Bureau of Standards* 87), clipped likewise. `None` for an
/// endpoint without others, or where those do not leave it beyond doubt that they changed together.
pub(crate) fn alike(estimates: &[Option<Estimate>]) -> Vec<Option<Estimate>> {
    let all: Vec<Estimate> = estimates.iter().flatten().copied().collect();
    if all.len() <= MIN_ENDPOINTS {
        return vec![None; estimates.len()];
    }
    let spread = spread(&all);
    (0..estimates.len())
        .map(|own| {
            let others = estimates.iter().enumerate();
            let others: Vec<Estimate> = others
                .filter(|(at, _)| *at != own)
                .filter_map(|(_, estimate)| *estimate)
                .collect();
            let mean = mean(&others, spread);
            (mean.z().abs() >= SURE_AT).then_some(Estimate {
                variance: mean.variance + spread,
                ..mean
            })
        })
        .collect()
}

/// Huber's mean, if endpoints differ by that variance.
fn mean(estimates: &[Estimate], spread: f64) -> Estimate {
    let mut by_effect: Vec<f64> = estimates.iter().map(|estimate| estimate.effect).collect();
    let mut effect = crate::median::median(&mut by_effect);
    let precision = |estimate: &Estimate| 1.0 / (estimate.variance + spread);
    for _ in 0..ROUNDS {
        let (mut sum, mut weights) = (0.0, 0.0);
        for estimate in estimates {
            let distance = (estimate.effect - effect).abs() * precision(estimate).sqrt();
            let weight = precision(estimate) * (HUBER / distance).min(1.0);
            sum += weight * estimate.effect;
            weights += weight;
        }
        effect = sum / weights;
    }
    Estimate {
        effect,
        variance: 1.0 / (HUBER_EFFICIENCY * estimates.iter().map(precision).sum::<f64>()),
    }
}

/// By what variance endpoints differ in truth.
fn spread(estimates: &[Estimate]) -> f64 {
    /// The mean of a normal number's square that is clipped at [`HUBER`]: 0.3870 from within, 1.809 × 0.1786 from beyond.
    const CLIPPED_SQUARE: f64 = 0.7101;
    let is_too_small = |spread: f64| {
        let mean = mean(estimates, spread).effect;
        let squares = estimates.iter().map(|estimate| {
            let square = (estimate.effect - mean).powi(2) / (estimate.variance + spread);
            square.min(HUBER * HUBER)
        });
        squares.sum::<f64>() > CLIPPED_SQUARE * (estimates.len() - 1) as f64
    };
    if !is_too_small(0.0) {
        return 0.0;
    }
    let squares = estimates.iter().map(|estimate| estimate.effect.powi(2));
    let (mut low, mut high) = (0.0, squares.fold(0.0, f64::max));
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if is_too_small(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Endpoints of few and of many requests, each a little off by its own error.
    fn endpoints(effect: impl Fn(usize) -> f64) -> Vec<Option<Estimate>> {
        const OFF: [f64; 5] = [0.5, -1.2, 0.1, 1.1, -0.6];
        (0..20)
            .map(|at| {
                let error = 0.001 * (1 + at) as f64;
                Some(Estimate {
                    effect: effect(at) + OFF[at % 5] * error,
                    variance: error * error,
                })
            })
            .collect()
    }

    #[test]
    fn what_all_did_is_known_of_each() {
        for known in alike(&endpoints(|_| 0.03)) {
            let known = known.unwrap();
            assert!((known.effect - 0.03).abs() < 0.002, "{known:?}");
            assert!(known.variance.sqrt() < 0.002, "{known:?}");
        }
    }

    #[test]
    fn what_one_or_none_did_is_known_of_nobody() {
        for one in [0, 10] {
            let of_one = endpoints(|at| if at == one { 0.2 } else { 0.0 });
            assert_eq!(alike(&of_one), vec![None; 20]);
        }
        assert_eq!(alike(&endpoints(|_| 0.03)[..5]), vec![None; 5]);
        assert_eq!(alike(&[None, None]), vec![None; 2]);
    }

    #[test]
    fn where_endpoints_differ_no_more_is_known_than_that() {
        let known = alike(&endpoints(|at| if at % 2 == 0 { 0.03 } else { 0.09 }));
        for known in known.into_iter().flatten() {
            assert!(known.variance.sqrt() > 0.02, "{known:?}");
        }
    }
}
