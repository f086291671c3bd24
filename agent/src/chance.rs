//! Choosing one request in so many by chance.

/// Comes once in so many times, each time as likely as any other, so that no rhythm of the traffic is met by one of ours.
///
/// How many are passed over until the next is drawn once for all of them, which says the same as a draw for each and
/// costs a subtraction.
#[derive(Debug)]
pub(crate) struct Chance {
    one_in: u64,
    /// It comes this many times from now.
    due: u64,
}

impl Chance {
    /// Never for 0.
    pub(crate) fn one_in(one_in: u64) -> Self {
        Self {
            one_in,
            due: gap(one_in),
        }
    }

    /// Whether it comes this time.
    #[inline]
    pub(crate) fn comes(&mut self) -> bool {
        self.due -= 1;
        self.due == 0 && self.draw()
    }

    #[cold]
    fn draw(&mut self) -> bool {
        self.due = gap(self.one_in);
        self.one_in > 0
    }
}

/// How many times until the next, that one included: at least once. Geometrically distributed.
fn gap(one_in: u64) -> u64 {
    match one_in {
        0 => u64::MAX,
        1 => 1,
        _ => {
            // In (0, 1].
            let uniform = 1.0 - fastrand::f64();
            let passed_over = uniform.ln() / (-1.0 / one_in as f64).ln_1p();
            (passed_over as u64).saturating_add(1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_and_none() {
        let (mut always, mut never) = (Chance::one_in(1), Chance::one_in(0));
        for _ in 0..1_000 {
            assert!(always.comes() && !never.comes());
        }
        never.due = 1;
        assert!(!never.comes() && !never.comes());
        let mut hardly = Chance::one_in(u64::MAX);
        assert!(!hardly.comes());
    }

    #[test]
    fn each_time_is_as_likely_as_any_other() {
        fastrand::seed(20_261_129);
        for one_in in [2_u64, 10, 1_000] {
            let times = 400 * one_in;
            let mut by_first_time = 0.0;
            let mut after_one = (0.0, 0.0);
            let mut came = 0.0;
            for _ in 0..100 {
                let mut chance = Chance::one_in(one_in);
                let mut before = chance.comes();
                by_first_time += f64::from(u8::from(before));
                came += f64::from(u8::from(before));
                for _ in 1..times {
                    let comes = chance.comes();
                    came += f64::from(u8::from(comes));
                    if before {
                        after_one.0 += 1.0;
                        after_one.1 += f64::from(u8::from(comes));
                    }
                    before = comes;
                }
            }
            let chance = 1.0 / one_in as f64;
            // Within five standard errors of what is drawn anew each time.
            let near = |seen: f64, times: f64| {
                let error = (times * chance * (1.0 - chance)).sqrt();
                (seen - times * chance).abs() <= 5.0 * error
            };
            assert!(near(came, (100 * times) as f64), "{one_in}: {came}");
            assert!(near(by_first_time, 100.0), "{one_in}: {by_first_time}");
            assert!(near(after_one.1, after_one.0), "{one_in}: {after_one:?}");
        }
    }
}
