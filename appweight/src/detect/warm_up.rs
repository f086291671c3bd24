/// Minutes after a restart that a curve has.
const AGES: usize = 26;
/// From this age on a process is taken to be warm.
const WARM_AGE: usize = 20;
/// Curves kept: warm-up changes with the code.
const CURVES: usize = 20;
/// Minutes left out before enough roll-outs were seen.
const ASSUMED_MINUTES: i64 = 6;
/// Roll-outs that it takes to know better.
const ENOUGH_CURVES: usize = 3;
/// Excess, in logs, under which a process is as good as warm: a sixth of the smallest change that can matter.
const NEGLIGIBLE: f64 = 0.0005;

/// Learns for how many minutes a process costs more, or less, after its start.
///
/// For each roll-out, how far its hosts were from what was expected of them, by minutes since their restart and
/// over all endpoints; of several roll-outs the median, so that one that changed everything does not count.
#[derive(Debug, Clone)]
pub(crate) struct WarmUp {
    curves: Vec<[f64; AGES]>,
    minutes: i64,
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
            minutes: ASSUMED_MINUTES,
        }
    }

    /// Minutes after a restart whose cells are left out.
    pub(crate) fn minutes(&self) -> i64 {
        self.minutes
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
            self.minutes = self.learned();
        }
    }

    fn learned(&self) -> i64 {
        let median = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let cold = (0..WARM_AGE).rev().find(|&age| {
            let at: Vec<f64> = self.curves.iter().map(|curve| curve[age]).collect();
            let middle = median(at.clone());
            let spread = median(at.iter().map(|value| (value - middle).abs()).collect());
            // 1.4826 makes a deviation of the median absolute one, 1.2533 is the price of a median.
            let error = 1.4826 * 1.2533 * spread / (self.curves.len() as f64).sqrt();
            middle.abs() > NEGLIGIBLE + 2.0 * error
        });
        // A restart falls into the middle of a minute: one more.
        cold.map_or(1, |age| age as i64 + 2)
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
    }
}
