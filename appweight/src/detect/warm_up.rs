use crate::median::median;

/// Minutes after a restart that a curve has.
pub(crate) const AGES: usize = 26;
/// From this age on a process is taken to be warm; before enough roll-outs were seen, younger ones are left out.
const WARM_AGE: usize = 20;
/// Curves kept: warm-up changes with the code.
const CURVES: usize = 20;
/// Roll-outs that it takes to know better.
const ENOUGH_CURVES: usize = 3;
/// Excess, in logs, under which a process is as good as warm: a sixth of the smallest change that can matter.
const NEGLIGIBLE: f64 = 0.0005;
/// Minutes with more excess are left out: where in its minute a host restarted moves them by too much.
const TOO_COLD: f64 = 0.05;
/// Standard deviation of one host's excess about the usual one, as a share of it.
const HOST_SPREAD: f64 = 0.25;

/// What a process of some age costs more, in logs, because of its age.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Warming {
    /// The usual excess.
    pub(crate) excess: f64,
    /// Variance of one host's about it.
    pub(crate) variance: f64,
}

/// Learns by how much a process costs more, or less, after its start, minute by minute.
///
/// For each roll-out, how far its hosts were from what was expected of them, by minutes since their restart and
/// over all endpoints; of several roll-outs the median, so that one that changed everything does not count.
#[derive(Debug, Clone)]
pub(crate) struct WarmUp {
    curves: Vec<[f64; AGES]>,
    /// By age, until warm.
    usual: Vec<f64>,
}

/// One roll-out's excess by age: sums of excess × precision, and of precision.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Curve {
    sums: [(f64, f64); AGES],
}

impl Default for Curve {
    fn default() -> Self {
        Self {
            sums: [(0.0, 0.0); AGES],
        }
    }
}

impl Curve {
    pub(crate) fn add(&mut self, age: i64, excess: f64, precision: f64) {
        let age = usize::try_from(age).ok();
        if let Some(sum) = age.and_then(|age| self.sums.get_mut(age)) {
            sum.0 += excess * precision;
            sum.1 += precision;
        }
    }
}

impl WarmUp {
    pub(crate) fn new() -> Self {
        Self {
            curves: Vec::new(),
            usual: vec![f64::INFINITY; WARM_AGE],
        }
    }

    /// Minutes after a restart in which a process is warming up.
    pub(crate) fn minutes(&self) -> i64 {
        self.usual.len() as i64
    }

    /// How much of a process's youth is left out, and how much of it is used with its usual excess taken off.
    pub(crate) fn in_words(&self) -> String {
        let minutes = self.usual.len();
        let cold = self
            .usual
            .iter()
            .take_while(|excess| excess.abs() > TOO_COLD);
        let cold = cold.count();
        match self.curves.len() {
            seen if seen < ENOUGH_CURVES => format!(
                "warm-up: the first {minutes} minutes after a start are left out, {seen} roll-outs of the {ENOUGH_CURVES} that are needed to know better were seen"
            ),
            seen => format!(
                "warm-up: it lasts {minutes} minutes, learned from {seen} roll-outs; the first {cold} after a start are left out, in the others it is taken off"
            ),
        }
    }

    /// What to take off at that age; none: the cell is to be left out.
    pub(crate) fn at(&self, age: i64) -> Option<Warming> {
        let age = usize::try_from(age).unwrap_or(0);
        let excess = self.usual.get(age).copied().unwrap_or(0.0);
        (excess.abs() <= TOO_COLD).then_some(Warming {
            excess,
            variance: (HOST_SPREAD * excess).powi(2),
        })
    }

    pub(crate) fn add(&mut self, curve: &Curve) {
        let (sum, precision) = curve.sums[WARM_AGE..]
            .iter()
            .fold((0.0, 0.0), |all, of| (all.0 + of.0, all.1 + of.1));
        if precision <= 0.0 || curve.sums.iter().any(|(_, precision)| *precision <= 0.0) {
            return;
        }
        let warm = sum / precision;
        if self.curves.len() == CURVES {
            self.curves.remove(0);
        }
        self.curves.push(std::array::from_fn(|age| {
            curve.sums[age].0 / curve.sums[age].1 - warm
        }));
        if self.curves.len() >= ENOUGH_CURVES {
            self.usual = self.learned();
        }
    }

    fn learned(&self) -> Vec<f64> {
        let at_age = |age: usize| {
            let mut at: Vec<f64> = self.curves.iter().map(|curve| curve[age]).collect();
            let middle = median(&mut at);
            let mut distances: Vec<f64> = at.iter().map(|value| (value - middle).abs()).collect();
            // 1.4826 makes a deviation of the median absolute one, 1.2533 is the price of a median.
            let error = 1.4826 * 1.2533 * median(&mut distances) / (at.len() as f64).sqrt();
            (middle, error)
        };
        let excesses: Vec<(f64, f64)> = (0..WARM_AGE).map(at_age).collect();
        let last = excesses
            .iter()
            .rposition(|(excess, error)| excess.abs() > NEGLIGIBLE + 2.0 * error);
        // A restart falls into the middle of a minute: one more.
        let minutes = last.map_or(1, |age| age + 2).min(WARM_AGE);
        excesses[..minutes]
            .iter()
            .map(|(excess, _)| *excess)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warm_up_is_as_long_as_it_can_be_seen() {
        let mut warm_up = WarmUp::new();
        for _ in 0..5 {
            let mut curve = Curve::default();
            for age in 0..AGES as i64 {
                curve.add(age, 0.2 * (-(age as f64) / 1.5).exp(), 1.0);
            }
            warm_up.add(&curve);
        }
        // 0.2 e^(-8 / 1.5) = 0.00097, 0.2 e^(-9 / 1.5) = 0.0005.
        assert_eq!(warm_up.minutes(), 10);
        assert_eq!(warm_up.at(2), None, "0.2 e^(-2 / 1.5) = 0.053");
        let warming = warm_up.at(3).unwrap();
        assert!((warming.excess - 0.2 * (-2.0_f64).exp()).abs() < 1e-4);
        assert_eq!(warm_up.at(10).unwrap().excess, 0.0);
        let words = warm_up.in_words();
        assert!(
            words.contains("lasts 10 minutes, learned from 5"),
            "{words}"
        );
        assert!(words.contains("the first 3 after"), "{words}");
    }

    #[test]
    fn before_it_is_known_no_young_process_is_used() {
        let warm_up = WarmUp::new();
        assert_eq!(warm_up.at(19), None);
        let words = warm_up.in_words();
        assert!(words.contains("the first 20 minutes"), "{words}");
        assert!(warm_up.at(20).is_some() && warm_up.at(i64::MAX).is_some());
    }
}
