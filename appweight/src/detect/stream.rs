use foldhash::HashMap;

/// Minutes of a day, the stream over which false discoveries are bounded.
const DAY: i64 = 1440;
/// A day's level is spread over its deploys as if there were about so many; more only get smaller parts.
const USUAL_DEPLOYS: f64 = 40.0;

/// Bounds the share of false ones among all that is called in a day, deploy after deploy.
///
/// LOND (Javanmard and Montanari 2018, "Online rules for control of false discovery rate and false discovery
/// exceedance"), for tests that overlap in time (Zrnic, Ramdas and Jordan 2021, "Asynchronous online testing of multiple
/// hypotheses"), and for batches: the t-th deploy or flag value of a day has the level α γ(t) (D + 1), where D counts this
/// day's deploys and flag values of which something was called before its first look; its n endpoints share it. A clean pair is called with a
/// probability of at most its share, given all that was known at its first look, and if it is called, at least D + 1 are in
/// the end; it then adds at most α γ(t) / n to the expected share of false calls, and all together at most α, since Σ γ(t) = 1.
/// A deploy that changed every endpoint counts once: else it alone would pay for false calls of all that come after.
#[derive(Debug, Clone)]
pub(crate) struct DayStream {
    rate: f64,
    days: HashMap<i64, Day>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Day {
    batches: u32,
    called: u32,
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
        let t = f64::from(today.batches);
        // Sums to 1 over all t, and falls slowly: a half after 16 deploys, a quarter after 40.
        let part = USUAL_DEPLOYS / ((t + USUAL_DEPLOYS) * (t + USUAL_DEPLOYS - 1.0));
        Place {
            day,
            since: minute,
            level: (self.rate * part * f64::from(today.called.saturating_add(1))).min(1.0),
        }
    }

    /// Notes that something of a batch was called, once for each.
    pub(crate) fn note_call(&mut self, place: Place) {
        let day = self.days.entry(place.day).or_default();
        day.called = day.called.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_called_before_is_credit_for_the_day_only() {
        let mut stream = DayStream::new(0.1);
        let first = stream.enter(10);
        let second = stream.enter(11);
        stream.note_call(first);
        stream.note_call(first);
        let third = stream.enter(12);
        let part = |t: f64| 0.1 * 40.0 / ((t + 40.0) * (t + 39.0));
        assert!((second.level - part(2.0)).abs() < 1e-12);
        assert!((third.level - 3.0 * part(3.0)).abs() < 1e-12);
        assert_eq!(stream.enter(1450).level, first.level);
    }

    #[test]
    fn a_days_parts_never_exceed_its_level() {
        let mut stream = DayStream::new(0.1);
        let sum: f64 = (0..100_000).map(|_| stream.enter(7).level).sum();
        assert!(sum < 0.1 && sum > 0.0999, "{sum}");
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
