use super::filter::MAX_COLUMNS;
use crate::median::median;

/// A host costs more than its fellows from so many standard errors on, and by so much, in logs.
const BAD_AT: f64 = 6.0;
const BAD_BY: f64 = 0.02;
/// A host that has been like that for so many minutes is taken to have become another machine.
const FOR_GOOD_AFTER: u32 = 45;
/// Hosts that must run a deploy before one of them can be told from the others.
const FELLOWS: usize = 3;

const _: () = assert!(MAX_COLUMNS < 64);

/// What each host runs since when, and whether it is a bad one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hosts {
    hosts: Vec<Host>,
}

#[derive(Debug, Clone, Default)]
struct Host {
    /// Deploys and the minute since when; none: since before the first minute.
    runs: Vec<(usize, Option<i64>)>,
    bad_minutes: u32,
    sum: f64,
    precision: f64,
    deploy: usize,
}

impl Hosts {
    /// Notes that a host serves with a deploy; true if it does so for the first time, after a restart.
    pub(crate) fn note(
        &mut self,
        host: usize,
        deploy: usize,
        minute: i64,
        is_first_minute: bool,
    ) -> bool {
        if self.hosts.len() <= host {
            self.hosts.resize_with(host + 1, Host::default);
        }
        let runs = &mut self.hosts[host].runs;
        if runs.iter().rev().any(|(of, _)| *of == deploy) {
            return false;
        }
        if runs.len() > 8 {
            runs.remove(0);
        }
        runs.push((deploy, (!is_first_minute).then_some(minute)));
        !is_first_minute
    }

    /// Minutes since a host began to serve with a deploy.
    pub(crate) fn age(&self, host: usize, deploy: usize, minute: i64) -> i64 {
        let runs = self.hosts.get(host).map_or(&[][..], |host| &host.runs);
        runs.iter()
            .rev()
            .find(|(of, _)| *of == deploy)
            .and_then(|(_, since)| *since)
            .map_or(i64::MAX, |since| minute - since)
    }

    /// Adds up how far a host's cells of this minute are from what was expected.
    pub(crate) fn add(&mut self, host: usize, deploy: usize, excess: f64, precision: f64) {
        let host = &mut self.hosts[host];
        host.sum += excess * precision;
        host.precision += precision;
        host.deploy = deploy;
    }

    /// Closes a minute: which hosts are bad in it, and which of them are so for good.
    pub(crate) fn close_minute(&mut self) -> (Vec<bool>, Vec<usize>) {
        let present = |host: &&Host| host.precision > 0.0;
        let mut bad = vec![false; self.hosts.len()];
        let mut for_good = Vec::new();
        let deploys: std::collections::BTreeSet<usize> = self
            .hosts
            .iter()
            .filter(present)
            .map(|host| host.deploy)
            .collect();
        for deploy in deploys {
            let mut levels: Vec<f64> = self
                .hosts
                .iter()
                .filter(present)
                .filter(|host| host.deploy == deploy)
                .map(|host| host.sum / host.precision)
                .collect();
            if levels.len() < FELLOWS {
                // Nobody to hold them against: who was bad still is.
                for (at, host) in self.hosts.iter().enumerate() {
                    bad[at] |=
                        host.precision > 0.0 && host.deploy == deploy && host.bad_minutes > 0;
                }
                continue;
            }
            let usual = median(&mut levels);
            for (at, host) in self.hosts.iter().enumerate() {
                if host.precision > 0.0 && host.deploy == deploy {
                    let excess = host.sum / host.precision - usual;
                    let error = (1.0 / host.precision).sqrt();
                    bad[at] = excess.abs() > BAD_BY && excess.abs() > BAD_AT * error;
                }
            }
        }
        for (at, host) in self.hosts.iter_mut().enumerate() {
            if host.precision > 0.0 {
                host.bad_minutes = if bad[at] { host.bad_minutes + 1 } else { 0 };
            }
            (host.sum, host.precision) = (0.0, 0.0);
            if host.bad_minutes > FOR_GOOD_AFTER {
                host.bad_minutes = 0;
                bad[at] = false;
                for_good.push(at);
            }
        }
        (bad, for_good)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_bad_only_against_fellows_on_the_same_deploy() {
        let mut hosts = Hosts::default();
        for host in 0..6 {
            hosts.note(host, usize::from(host > 3), 0, true);
        }
        for (host, excess) in [0.0, 0.2, 0.001, -0.001, 0.1, 0.1].into_iter().enumerate() {
            hosts.add(host, usize::from(host > 3), excess, 1e6);
        }
        let (bad, _) = hosts.close_minute();
        assert_eq!(bad, [false, true, false, false, false, false]);
    }

    #[test]
    fn a_bad_host_stays_one_while_its_fellows_are_elsewhere() {
        let mut hosts = Hosts::default();
        for (deploy, expected) in [([0, 0, 0, 0], true), ([0, 0, 1, 1], true)] {
            for (host, deploy) in deploy.into_iter().enumerate() {
                hosts.note(host, deploy, 0, true);
                hosts.add(host, deploy, if host == 1 { 0.2 } else { 0.0 }, 1e6);
            }
            assert_eq!(hosts.close_minute().0, [false, expected, false, false]);
        }
    }

    #[test]
    fn a_host_is_as_old_as_its_first_cell() {
        let mut hosts = Hosts::default();
        assert!(!hosts.note(0, 0, 10, true));
        assert!(hosts.note(0, 1, 12, false));
        assert!(!hosts.note(0, 1, 13, false));
        assert_eq!(hosts.age(0, 1, 15), 3);
        assert_eq!(hosts.age(0, 0, 15), i64::MAX);
    }
}
