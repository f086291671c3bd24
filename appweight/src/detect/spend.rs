use std::collections::VecDeque;

/// Minutes over which it is read: so many that rare requests are among them, so few that they are of now.
const MINUTES: i64 = 15;

/// What an endpoint's requests cost of late, by minute and deploy: what turns a change of one request into a part of the service.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spend {
    /// By rising minute; at most one of each deploy in a minute.
    recent: VecDeque<Spent>,
}

#[derive(Debug, Clone, Copy)]
struct Spent {
    minute: i64,
    deploy: usize,
    cost: f64,
}

impl Spend {
    /// Adds what requests cost that a deploy served in a minute, none of them before the last one's.
    pub(crate) fn add(&mut self, minute: i64, deploy: usize, cost: f64) {
        while let Some(oldest) = self.recent.front()
            && oldest.minute <= minute - MINUTES
        {
            self.recent.pop_front();
        }
        let of_minute = self.recent.iter_mut().rev();
        let mut of_minute = of_minute.take_while(|spent| spent.minute == minute);
        match of_minute.find(|spent| spent.deploy == deploy) {
            Some(spent) => spent.cost += cost,
            None => self.recent.push_back(Spent {
                minute,
                deploy,
                cost,
            }),
        }
    }

    /// By the minute, of the last ones up to `minute` of which there were cells since `first`.
    pub(crate) fn by_minute(&self, minute: i64, first: i64) -> f64 {
        self.mean(minute, first, |spent| spent.cost)
    }

    /// What an effect adds to that once all have it. Those that a deploy served `with` the change pay it already.
    pub(crate) fn added(
        &self,
        effect: f64,
        minute: i64,
        first: i64,
        with: impl Fn(usize) -> bool,
    ) -> f64 {
        self.mean(minute, first, |spent| {
            let before = if with(spent.deploy) {
                spent.cost / (1.0 + effect)
            } else {
                spent.cost
            };
            effect * before
        })
    }

    fn mean(&self, minute: i64, first: i64, of: impl Fn(&Spent) -> f64) -> f64 {
        let recent = self.recent.iter();
        let recent = recent.filter(|spent| spent.minute > minute - MINUTES);
        let minutes = MINUTES.min(minute - first + 1).max(1);
        recent.map(of).sum::<f64>() / minutes as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_the_same_before_amid_and_after_the_roll_out() {
        let mut spend = Spend::default();
        let (effect, rate) = (0.25, 400.0);
        for minute in 0..60 {
            // A quarter of the hosts each ten minutes.
            let new = f64::from(minute / 10).min(4.0) / 4.0;
            for _ in 0..2 {
                spend.add(minute.into(), 0, rate / 2.0 * (1.0 - new));
                spend.add(minute.into(), 1, rate / 2.0 * new * (1.0 + effect));
            }
            let minute = i64::from(minute);
            let added = spend.added(effect, minute, 0, |deploy| deploy == 1);
            assert!((added - rate * effect).abs() < 1e-9, "{minute}: {added}");
        }
        let now = spend.by_minute(59, 0);
        assert!((now - rate * 1.25).abs() < 1e-9, "{now}");
        assert!(spend.recent.len() <= 2 * MINUTES as usize);
    }

    #[test]
    fn minutes_without_requests_count_and_those_before_the_first_do_not() {
        let mut spend = Spend::default();
        spend.add(100, 0, 30.0);
        assert_eq!(spend.by_minute(100, 100), 30.0);
        assert_eq!(spend.by_minute(102, 100), 10.0);
        assert_eq!(spend.by_minute(114, 0), 2.0);
        assert_eq!(spend.by_minute(115, 0), 0.0);
    }
}
