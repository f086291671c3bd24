use foldhash::HashMap;

/// Minutes of a day, the stream over which false discoveries are bounded.
const DAY: i64 = 1440;
/// A day's level is spread over its deploys as if there were about so many; more only get smaller parts.
const USUAL_DEPLOYS: f64 = 40.0;

/// Bounds the share of false ones among all that is called in a day, deploy after deploy.
///
/// e-LOND (Xu and Ramdas 2024, "Online multiple testing with e-values", AISTATS), for batches: the t-th deploy or
/// flag value of a day has the part γ(t) of the level α, its n endpoints share it, and one is called once its e-value is at
/// least n / (α γ(t) R), where R counts what was called of this day's deploys so far, this call and those
/// made with it included. A false call then adds at most α γ(t) / n × E[e-value] ≤ α γ(t) / n to
/// the expected share, whenever it is looked at and however e-values depend on each other; all
/// together at most α, since Σ γ(t) = 1.
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
    level: f64,
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
            level: self.rate * part,
        }
    }

    /// The log e-value that an endpoint needs to be called, if `with` of the n of its batch are called now, itself included.
    pub(crate) fn needed(&self, place: Place, tests: usize, with: usize) -> f64 {
        let called = self.days.get(&place.day).map_or(0, |day| day.called);
        let called = f64::from(called) + with as f64;
        (tests as f64 / (place.level * called)).ln()
    }

    /// Of the log e-values of a batch's endpoints not yet called, the least that is called now; none: nothing is.
    pub(crate) fn limit(
        &self,
        place: Place,
        tests: usize,
        log_e_values: &mut [f64],
    ) -> Option<f64> {
        log_e_values.sort_by(|a, b| b.total_cmp(a));
        log_e_values
            .iter()
            .enumerate()
            .rev()
            .find(|(rank, value)| **value >= self.needed(place, tests, rank + 1))
            .map(|(_, value)| *value)
    }

    /// Notes that so many endpoints of a batch were called.
    pub(crate) fn note(&mut self, place: Place, called: usize) {
        let day = self.days.entry(place.day).or_default();
        day.called = day
            .called
            .saturating_add(u32::try_from(called).unwrap_or(u32::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_set_that_bears_its_own_threshold_is_called() {
        let mut stream = DayStream::new(0.1);
        let place = stream.enter(0);
        // 4 tests at 0.1 / 41: 1,640 for one, 820 each for two.
        let logs = |values: [f64; 4]| values.map(f64::ln);
        let limit = stream.limit(place, 4, &mut logs([1.0, 900.0, 830.0, 2.0]));
        assert_eq!(limit, Some(830.0_f64.ln()));
        let limit = stream.limit(place, 4, &mut logs([1.0, 1600.0, 810.0, 2.0]));
        assert_eq!(limit, None);
    }

    #[test]
    fn what_was_called_is_credit_for_the_day_only() {
        let mut stream = DayStream::new(0.1);
        let first = stream.enter(10);
        let before = stream.needed(first, 40, 1);
        stream.note(first, 3);
        assert!((before - stream.needed(first, 40, 1) - 4.0_f64.ln()).abs() < 1e-12);
        let tomorrow = stream.enter(1450);
        assert!((stream.needed(tomorrow, 40, 1) - before).abs() < 1e-12);
    }

    #[test]
    fn a_days_parts_never_exceed_its_level() {
        let mut stream = DayStream::new(0.1);
        let sum: f64 = (0..100_000).map(|_| stream.enter(7).level).sum();
        assert!(sum < 0.1 && sum > 0.0999, "{sum}");
    }

    /// Streams of days in which one pair in two hundred has changed, e-values from normal scores.
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
                let scores: Vec<(bool, f64)> = (0..10)
                    .map(|endpoint| {
                        let is_changed = endpoint == 0 && deploy % 5 == 0;
                        let z = normal() + if is_changed { 4.0 } else { 0.0 };
                        // A likelihood ratio against a change of 3 standard errors, of either sign.
                        let e = 0.5 * ((3.0 * z - 4.5).exp() + (-3.0 * z - 4.5).exp());
                        (is_changed, e.ln())
                    })
                    .collect();
                let mut values: Vec<f64> = scores.iter().map(|(_, value)| *value).collect();
                let limit = stream.limit(place, 10, &mut values);
                let calls = scores
                    .iter()
                    .filter(|(_, value)| limit.is_some_and(|limit| *value >= limit));
                let mut count = 0;
                for (is_changed, _) in calls {
                    count += 1;
                    found += i32::from(*is_changed);
                    wrong += i32::from(!is_changed);
                }
                called += count;
                changed += i32::from(deploy % 5 == 0);
                stream.note(place, count);
            }
            if called > 0 {
                shares += f64::from(wrong) / called as f64;
            }
        }
        let rate = shares / days as f64;
        assert!(rate <= 0.5, "{rate}");
        assert!(found * 10 > changed, "{found} of {changed} are of no use");
    }
}
