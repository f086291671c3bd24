//! Which hosts cost more, or less, by themselves than the others of their cluster that run the same deploy.
//!
//! What is compared is the CPU time of a host's processes against what their requests cost on all hosts of that deploy there, endpoint
//! by endpoint: so a host that is asked for other things is not told from the others, and one that is slow, throttled or
//! crowded is.

use std::collections::BTreeMap;

use crate::api::{HostsOfDeploy, OddHost};
use crate::compare::quantile;
use crate::evidence::{PlacedCell, ProcessPoint};
use crate::median::median;
use crate::thresholds::{MIN_HOSTS_TO_COMPARE, MIN_ODD_HOST, ODD_HOST_CONFIDENCE};

/// Of the hosts, at most so large a part can be odd: else it is not known which are.
const MOST_ODD: usize = 4;
/// Equal hosts are not the same: a spread of nothing is one that was seen too shortly.
const LEAST_SPREAD: f64 = 1e-4;
/// A host with fewer requests than this part of the median one's spends its CPU on other things.
const FEWEST_REQUESTS: f64 = 0.25;

/// The hosts that stand out among those of `head` in their cluster since `head_since_us`, beside how they stood among those of `base`
/// before; `None` where no cluster has enough of them to compare. Machines of two clusters may be of two kinds.
#[must_use]
pub fn odd_hosts(
    processes: &[ProcessPoint],
    cells: &[PlacedCell],
    base: &str,
    head: &str,
    head_since_us: u64,
) -> Option<HostsOfDeploy> {
    let of_head = processes
        .iter()
        .filter(|point| point.deploy == head && point.start_us >= head_since_us);
    let of_base = processes
        .iter()
        .filter(|point| point.deploy == base && point.start_us < head_since_us);
    let new = by_cluster(of_head, cells, head);
    let old = by_cluster(of_base, cells, base);
    let can_be_compared = new.values().filter(|hosts| hosts.can_be_compared());
    let all: usize = can_be_compared.map(|hosts| hosts.hosts.len()).sum();
    let mut odd = Vec::new();
    let (mut squares, mut freedom) = (0.0, 0.0);
    for (cluster, hosts) in &new {
        let Some(found) = hosts.odd(all) else {
            continue;
        };
        let others = (hosts.hosts.len() - found.hosts.len()) as f64;
        squares += (others - 1.0) * found.spread.powi(2);
        freedom += others - 1.0;
        odd.extend(found.hosts.iter().map(|(host, log, spreads)| OddHost {
            host: (*host).to_owned(),
            cluster: if new.len() > 1 { *cluster } else { "" }.to_owned(),
            relative: (log - found.middle).exp_m1(),
            spreads: *spreads,
            cpu_ns_per_request: hosts.hosts[*host].cpu_ns_per_request(),
            others_cpu_ns_per_request: found.others_cpu_ns_per_request,
            relative_before: old.get(cluster).and_then(|hosts| hosts.relative(host)),
        }));
    }
    odd.sort_by(|a, b| b.spreads.total_cmp(&a.spreads));
    (all > 0).then(|| HostsOfDeploy {
        hosts: u32::try_from(all).unwrap_or(u32::MAX),
        spread: f64::sqrt(squares / freedom),
        odd,
    })
}

fn by_cluster<'a>(
    points: impl Iterator<Item = &'a ProcessPoint>,
    cells: &[PlacedCell],
    deploy: &str,
) -> BTreeMap<&'a str, Hosts<'a>> {
    let mut clusters: BTreeMap<&str, Vec<&ProcessPoint>> = BTreeMap::new();
    for point in points {
        clusters.entry(&point.cluster).or_default().push(point);
    }
    clusters
        .into_iter()
        .map(|(cluster, points)| (cluster, Hosts::new(&points, &means(cells, deploy, cluster))))
        .collect()
}

/// By endpoint: the mean CPU of a deploy's requests in that cluster, ns. Cells had one before process records did: where it has no
/// name, all of them count.
fn means<'a>(cells: &'a [PlacedCell], deploy: &str, cluster: &str) -> BTreeMap<&'a str, f64> {
    let mut sums: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    let is_here = |placed: &&PlacedCell| {
        placed.deploy == deploy && (cluster.is_empty() || placed.cluster == cluster)
    };
    for placed in cells.iter().filter(is_here) {
        let key = &placed.cell.key;
        if let Some(cpu) = placed.cell.cpu_ns.as_ref().filter(|_| key.flag.is_none()) {
            let sum = sums.entry(&key.endpoint).or_default();
            sum.0 += cpu.sum as f64;
            sum.1 += cpu.n as f64;
        }
    }
    sums.into_iter()
        .filter(|(_, (_, n))| *n > 0.0)
        .map(|(endpoint, (sum, n))| (endpoint, sum / n))
        .collect()
}

/// What a host's processes did.
#[derive(Debug, Clone, Copy, Default)]
struct Host {
    cpu_ns: f64,
    requests: f64,
    /// What those requests cost in the mean of all hosts there, ns.
    expected_ns: f64,
}

impl Host {
    fn log(&self) -> f64 {
        (self.cpu_ns / self.expected_ns).ln()
    }

    fn cpu_ns_per_request(&self) -> f64 {
        self.cpu_ns / self.requests
    }
}

/// The hosts of one deploy in one cluster that can be compared.
struct Hosts<'a> {
    hosts: BTreeMap<&'a str, Host>,
}

struct Odd<'a> {
    /// The mean of the others' logs.
    middle: f64,
    /// Their standard deviation.
    spread: f64,
    others_cpu_ns_per_request: f64,
    /// With its log and how many standard deviations it is away.
    hosts: Vec<(&'a str, f64, f64)>,
}

impl<'a> Hosts<'a> {
    fn new(points: &[&'a ProcessPoint], means: &BTreeMap<&str, f64>) -> Self {
        // A process that has just begun costs more. All are taken from the same age on, so that the youngest has some of it.
        let mut oldest: BTreeMap<&str, u64> = BTreeMap::new();
        for point in points {
            let age_us = oldest.entry(&point.host).or_default();
            *age_us = point.age_us.max(*age_us);
        }
        let from_age_us = oldest.values().min().copied().unwrap_or(0) / 2;
        let mut hosts: BTreeMap<&str, Host> = BTreeMap::new();
        for point in points.iter().filter(|point| point.age_us > from_age_us) {
            let host = hosts.entry(&point.host).or_default();
            host.cpu_ns += point.cpu_ns as f64;
            for count in &point.endpoints {
                if let Some(mean) = means.get(count.endpoint.as_str()) {
                    host.requests += count.requests as f64;
                    host.expected_ns += count.requests as f64 * mean;
                }
            }
        }
        let mut requests: Vec<f64> = hosts.values().map(|host| host.requests).collect();
        let usual = median(&mut requests);
        hosts.retain(|_, host| {
            host.cpu_ns > 0.0 && host.expected_ns > 0.0 && host.requests >= FEWEST_REQUESTS * usual
        });
        Self { hosts }
    }

    fn can_be_compared(&self) -> bool {
        self.hosts.len() >= MIN_HOSTS_TO_COMPARE
    }

    /// Generalised ESD (Rosner 1983, "Percentage points for a generalized ESD many-outlier procedure", Technometrics 25): the host
    /// farthest from the others is held against what chance does to the farthest of so many, then the next without it. With eight hosts a
    /// median absolute deviation would have to be exceeded four times as far for as few false ones.
    ///
    /// `all` hosts of all clusters share the level, so that a deploy of many names no more by chance than one of one.
    fn odd(&self, all: usize) -> Option<Odd<'a>> {
        if !self.can_be_compared() {
            return None;
        }
        let mut left: Vec<(&str, f64)> = self
            .hosts
            .iter()
            .map(|(name, host)| (*name, host.log()))
            .collect();
        let mut taken: Vec<(&str, f64)> = Vec::new();
        let mut found = 0;
        for _ in 0..self.hosts.len() / MOST_ODD {
            let (middle, _) = middle_and_spread(&left);
            let distance = |at: &usize| (left[*at].1 - middle).abs();
            let farthest = (0..left.len()).max_by(|a, b| distance(a).total_cmp(&distance(b)))?;
            let family = all - taken.len();
            taken.push(left.remove(farthest));
            let (middle, spread) = middle_and_spread(&left);
            let others = left.len() as f64;
            let bar =
                quantile(others - 1.0, ODD_HOST_CONFIDENCE, family) * (1.0 + 1.0 / others).sqrt();
            let away = taken[taken.len() - 1].1 - middle;
            if away.abs() > bar * spread && away.exp_m1().abs() >= MIN_ODD_HOST {
                found = taken.len();
            }
        }
        left.extend(taken.drain(found..));
        let (middle, spread) = middle_and_spread(&left);
        let mut others: Vec<f64> = left
            .iter()
            .map(|(name, _)| self.hosts[name].cpu_ns_per_request())
            .collect();
        Some(Odd {
            middle,
            spread,
            others_cpu_ns_per_request: median(&mut others),
            hosts: taken
                .into_iter()
                .map(|(name, log)| (name, log, (log - middle).abs() / spread))
                .collect(),
        })
    }

    /// How much more that host costs than the median of all here.
    fn relative(&self, name: &str) -> Option<f64> {
        let host = self.hosts.get(name)?;
        let mut all: Vec<f64> = self.hosts.values().map(Host::log).collect();
        self.can_be_compared()
            .then(|| (host.log() - median(&mut all)).exp_m1())
    }
}

fn middle_and_spread(hosts: &[(&str, f64)]) -> (f64, f64) {
    let count = hosts.len() as f64;
    let middle = hosts.iter().map(|(_, log)| log).sum::<f64>() / count;
    let squares = hosts.iter().map(|(_, log)| (log - middle).powi(2));
    let spread = (squares.sum::<f64>() / (count - 1.0)).sqrt();
    (middle, spread.max(LEAST_SPREAD))
}

#[cfg(test)]
mod tests;
