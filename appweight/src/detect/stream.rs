use foldhash::HashMap;

/// Minutes of a day, the stream over which false discoveries are bounded.
const DAY: i64 = 1440;
/// The share of a day's rate that its first call may be spent on before anything was called; the rest comes with that call.
const FIRST_WEALTH: f64 = 0.5;

/// Deploys after which half of a part is spent.
const SPENT_HALF_BY: f64 = 20.0;

/// The part of what a call earned, or a day began with, that the t-th deploy after it may spend. The parts sum to 1 over all t, so
/// that nobody has to know how many deploys will come.
fn part(t: u32) -> f64 {
    let t = f64::from(t);
    SPENT_HALF_BY / ((t + SPENT_HALF_BY) * (t + SPENT_HALF_BY - 1.0))
}

/// Bounds the share of false ones among all that is called in a day, deploy after deploy.
///
/// LORD++ (Ramdas, Yang, Wainwright and Jordan 2017, "Online control of the false discovery rate with decaying memory") for tests that
/// overlap in time (Zrnic, Ramdas and Jordan 2021, "Asynchronous online testing of multiple hypotheses", *JMLR* 22), and for
/// batches: a deploy or flag value of a day has a level that its n endpoints share,
///
/// α_t = w γ(t) + (α − w) γ(t − τ₁) + α Σ γ(t − τ_j) over j ≥ 2,
///
/// where τ_j is the number of deploys that had begun when the j-th one was called of which anything was: what is called
/// pays for what comes after it. The levels of the first t sum to at most α max(1, D), D being the deploys called before, so
/// that at most α is expected of false calls over all calls (the ratio of expectations; of the share itself if pairs are
/// independent). A deploy that changed every endpoint counts once: else it alone would pay for false calls of all
/// that come after.
#[derive(Debug, Clone)]
pub(crate) struct DayStream {
    rate: f64,
    days: HashMap<i64, Day>,
}

#[derive(Debug, Clone, Default)]
struct Day {
    batches: u32,
    /// How many had begun when each of those that were called was.
    called: Vec<u32>,
}

/// A deploy's, or a flag value's, place in its day.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    day: i64,
    /// The minute of its first look.
    pub(crate) since: i64,
    /// What all its endpoints together may spend.
    pub(crate) level: f64,
}

impl DayStream {
    pub(crate) fn new(rate: f64) -> Self {
        Self {
            rate,
            days: HashMap::default(),
        }
    }

    /// The place of the next batch of tests.
    pub(crate) fn enter(&mut self, minute: i64) -> Place {
        let day = minute.div_euclid(DAY);
        // Nothing is judged for longer than a day.
        self.days.retain(|of, _| *of >= day - 2);
        let today = self.days.entry(day).or_default();
        today.batches += 1;
        let first = FIRST_WEALTH * self.rate;
        let earned = today.called.iter().enumerate().map(|(at, since)| {
            let earned = if at == 0 {
                self.rate - first
            } else {
                self.rate
            };
            earned * part(today.batches - since)
        });
        Place {
            day,
            since: minute,
            level: (first * part(today.batches) + earned.sum::<f64>()).min(1.0),
        }
    }

    /// Notes that something of a batch was called, once for each.
    pub(crate) fn note_call(&mut self, place: Place) {
        let day = self.days.entry(place.day).or_default();
        day.called.push(day.batches);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_called_pays_for_what_comes_after_it_on_that_day() {
        let mut stream = DayStream::new(0.1);
        let first = stream.enter(10);
        assert!((first.level - 0.05 * part(1)).abs() < 1e-12);
        stream.enter(11);
        stream.note_call(first);
        let third = stream.enter(12);
        assert!((third.level - 0.05 * part(3) - 0.05 * part(1)).abs() < 1e-12);
        stream.note_call(third);
        let fourth = stream.enter(13);
        let earned = 0.05 * part(2) + 0.1 * part(1);
        assert!((fourth.level - 0.05 * part(4) - earned).abs() < 1e-12);
        assert_eq!(stream.enter(1450).level, first.level);
    }

    #[test]
    fn the_levels_never_exceed_the_rate_times_what_was_called() {
        let mut stream = DayStream::new(0.1);
        let mut sum: f64 = (0..100_000).map(|_| stream.enter(7).level).sum();
        assert!(sum < 0.05 && sum > 0.0499, "{sum}");
        for called in 1..4 {
            let place = stream.enter(7);
            stream.note_call(place);
            sum += place.level + (0..100_000).map(|_| stream.enter(7).level).sum::<f64>();
            let most = 0.1 * f64::from(called);
            assert!(sum < most && sum > 0.99 * most, "{sum}");
        }
    }

    /// Streams of days in which one pair in fifty has changed, p-values from normal scores.
    #[test]
    fn the_share_of_false_calls_stays_below_the_rate() {
        let mut random = fastrand::Rng::with_seed(11);
        let mut normal = || (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
        let (mut shares, mut found, mut changed) = (0.0, 0, 0);
        let days = 400;
        for day in 0..days {
            let mut stream = DayStream::new(0.5);
            let (mut called, mut wrong) = (0, 0);
            for deploy in 0..20 {
                let place = stream.enter(day * DAY + deploy);
                let needed = crate::detect::evidence::z_of(place.level / 10.0);
                for endpoint in 0..10 {
                    let is_changed = endpoint == 0 && deploy % 5 == 0;
                    let z = normal() + if is_changed { 4.0 } else { 0.0 };
                    changed += i32::from(is_changed);
                    if z.abs() >= needed {
                        stream.note_call(place);
                        called += 1;
                        found += i32::from(is_changed);
                        wrong += i32::from(!is_changed);
                    }
                }
            }
            if called > 0 {
                shares += f64::from(wrong) / f64::from(called);
            }
        }
        let rate = shares / days as f64;
        assert!(rate <= 0.5, "{rate}");
        assert!(found * 2 > changed, "{found} of {changed} are of no use");
    }
}
