use foldhash::HashMap;

/// Hosts are put together into so many groups, whose spread is the error.
const GROUPS: usize = 16;
/// Standard errors from which on a change of the tail is believed.
const BELIEVED_AT: f64 = 5.0;

#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    n: f64,
    sum: f64,
    sum_log: f64,
}

/// Requests of a deploy, and the number of groups of hosts that served them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Seen {
    pub(crate) requests: f64,
    pub(crate) groups: f64,
}

/// By how much the mean moved more than usual requests did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct TailChange {
    /// What has to be added to the change of the mean of logs to have that of the mean.
    pub(crate) change: f64,
    /// Its variance.
    pub(crate) variance: f64,
    /// Whether the data leave no doubt that they differ.
    pub(crate) is_believed: bool,
}

impl Totals {
    fn tail(&self) -> f64 {
        (self.sum / self.n).ln() - self.sum_log / self.n
    }
}

/// How much of an endpoint's mean cost is not told by the mean of its logs, deploy by deploy.
///
/// A change that multiplies every cost moves the log of the mean and the mean of logs alike; the second has the smaller
/// error where tails are heavy. Where a deploy changes the tail alone they differ, and it is the mean that is asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tail {
    by_deploy: HashMap<usize, [Totals; GROUPS]>,
}

impl Tail {
    pub(crate) fn add(&mut self, deploy: usize, host: usize, n: f64, sum: f64, sum_log: f64) {
        let groups = self.by_deploy.entry(deploy).or_default();
        let totals = &mut groups[host % GROUPS];
        totals.n += n;
        totals.sum += sum;
        totals.sum_log += sum_log;
    }

    /// What was seen of a deploy's warm processes.
    pub(crate) fn seen(&self, deploy: usize) -> Seen {
        let groups = self.by_deploy.get(&deploy).into_iter().flatten();
        let groups = groups.filter(|group| group.n > 0.0);
        groups.fold(Seen::default(), |seen, group| Seen {
            requests: seen.requests + group.n,
            groups: seen.groups + 1.0,
        })
    }

    /// Deploys that no one is compared with any more.
    pub(crate) fn forget_before(&mut self, deploy: usize) {
        self.by_deploy.retain(|of, _| *of >= deploy);
    }

    /// How the tail changed, where enough was seen of both.
    pub(crate) fn change(&self, old: usize, new: usize) -> Option<TailChange> {
        let (old, new) = (self.by_deploy.get(&old)?, self.by_deploy.get(&new)?);
        let differences: Vec<(f64, f64)> = old
            .iter()
            .zip(new)
            .filter(|(old, new)| old.n >= 50.0 && new.n >= 50.0)
            .map(|(old, new)| (new.tail() - old.tail(), old.n * new.n / (old.n + new.n)))
            .collect();
        if differences.len() < 6 {
            return None;
        }
        let weight: f64 = differences.iter().map(|(_, weight)| weight).sum();
        let mean = differences
            .iter()
            .map(|(value, weight)| value * weight)
            .sum::<f64>()
            / weight;
        let count = differences.len() as f64;
        let variance = differences
            .iter()
            .map(|(value, of)| (of / weight * (value - mean)).powi(2))
            .sum::<f64>()
            * count
            / (count - 1.0);
        Some(TailChange {
            change: mean,
            variance,
            is_believed: mean.abs() > BELIEVED_AT * variance.sqrt(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(share_that_costs_ten_times: f64) -> Tail {
        let mut tail = Tail::default();
        for host in 0..8 {
            for (deploy, share) in [(0, 0.01), (1, share_that_costs_ten_times)] {
                let share = share * (1.0 + 0.01 * host as f64);
                let n = 10_000.0;
                let sum = n * (1.0 + 9.0 * share);
                tail.add(deploy, host, n, sum, n * share * 10.0_f64.ln());
            }
        }
        tail
    }

    #[test]
    fn a_dearer_tail_is_told_from_dearer_requests() {
        assert!(!tail(0.01).change(0, 1).unwrap().is_believed);
        let found = tail(0.03).change(0, 1).unwrap();
        assert!(found.is_believed);
        let change = found.change;
        let expected = (1.27_f64 / 1.09).ln() - 0.02 * 10.0_f64.ln();
        assert!((change - expected).abs() < 0.01, "{change} {expected}");
    }
}
