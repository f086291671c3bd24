//! Choosing one request in so many by chance.

use fastrand::Rng;
use uuid::Uuid;

/// Draws for one thread. Not the generator that the thread has for everybody: a program that seeds that one anew for each
/// request would have the same chosen again and again, and a forked process what its parent draws.
pub(crate) fn random() -> Rng {
    let (seed, _) = Uuid::new_v4().as_u64_pair();
    Rng::with_seed(seed)
}

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
    pub(crate) fn one_in(one_in: u64, random: &mut Rng) -> Self {
        Self {
            one_in,
            due: gap(one_in, random),
        }
    }

    /// Whether it comes this time.
    #[inline]
    pub(crate) fn comes(&mut self, random: &mut Rng) -> bool {
        self.due -= 1;
        self.due == 0 && self.draw(random)
    }

    #[cold]
    fn draw(&mut self, random: &mut Rng) -> bool {
        self.due = gap(self.one_in, random);
        self.one_in > 0
    }
}

/// How many times until the next, that one included: at least once. Geometrically distributed.
fn gap(one_in: u64, random: &mut Rng) -> u64 {
    match one_in {
        0 => u64::MAX,
        1 => 1,
        _ => {
            // In (0, 1].
            let uniform = 1.0 - random.f64();
            let passed_over = uniform.ln() / (-1.0 / one_in as f64).ln_1p();
            (passed_over as u64).saturating_add(1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_a_fork_nor_the_program_decides_what_is_drawn() {
        // As a fork copies it.
        fastrand::seed(7);
        let in_parent = random().u64(..);
        fastrand::seed(7);
        assert_ne!(random().u64(..), in_parent);
    }

    #[test]
    fn all_and_none() {
        let random = &mut random();
        let (mut always, mut never) = (Chance::one_in(1, random), Chance::one_in(0, random));
        for _ in 0..1_000 {
            assert!(always.comes(random) && !never.comes(random));
        }
        never.due = 1;
        assert!(!never.comes(random) && !never.comes(random));
        let mut hardly = Chance::one_in(u64::MAX, random);
        assert!(!hardly.comes(random));
    }

    #[test]
    fn each_time_is_as_likely_as_any_other() {
        let random = &mut Rng::with_seed(20_261_129);
        for one_in in [2_u64, 10, 1_000] {
            let times = 400 * one_in;
            let mut by_first_time = 0.0;
            let mut after_one = (0.0, 0.0);
            let mut came = 0.0;
            for _ in 0..100 {
                let mut chance = Chance::one_in(one_in, random);
                let mut before = chance.comes(random);
                by_first_time += f64::from(u8::from(before));
                came += f64::from(u8::from(before));
                for _ in 1..times {
                    let comes = chance.comes(random);
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
