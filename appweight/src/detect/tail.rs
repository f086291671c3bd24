use foldhash::HashMap;

/// Hosts are put together into so many groups, whose spread is the error.
const GROUPS: usize = 16;
/// Groups whose spread tells an error, and requests on each side that a group needs for that.
pub(crate) const MIN_GROUPS: usize = 6;
const MIN_REQUESTS: f64 = 50.0;
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

/// What there is where too few groups served to tell an error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct FewGroups {
    /// Groups with requests enough on both sides.
    pub(crate) groups: usize,
    /// What would have to be added to the change of the mean of logs, without an error; none: one side has no requests.
    pub(crate) change: Option<f64>,
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

    /// By group of so many requests on both sides: how the tail differs, and its weight.
    fn differences(&self, old: usize, new: usize, requests: f64) -> Vec<(f64, f64)> {
        let of = |deploy: usize| self.by_deploy.get(&deploy).into_iter().flatten();
        of(old)
            .zip(of(new))
            .filter(|(old, new)| old.n >= requests && new.n >= requests)
            .map(|(old, new)| (new.tail() - old.tail(), old.n * new.n / (old.n + new.n)))
            .collect()
    }

    /// What is seen of a change of the tail, without an error.
    pub(crate) fn few_groups(&self, old: usize, new: usize) -> FewGroups {
        let all = self.differences(old, new, 1.0);
        FewGroups {
            groups: self.differences(old, new, MIN_REQUESTS).len(),
            change: (!all.is_empty()).then(|| mean(&all).0),
        }
    }

    /// How the tail changed, where enough was seen of both.
    pub(crate) fn change(&self, old: usize, new: usize) -> Option<TailChange> {
        let differences = self.differences(old, new, MIN_REQUESTS);
        if differences.len() < MIN_GROUPS {
            return None;
        }
        let (mean, weight) = mean(&differences);
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

/// The weighted mean, and the sum of weights.
fn mean(differences: &[(f64, f64)]) -> (f64, f64) {
    let weight: f64 = differences.iter().map(|(_, weight)| weight).sum();
    let sum: f64 = differences
        .iter()
        .map(|(value, weight)| value * weight)
        .sum();
    (sum / weight, weight)
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
