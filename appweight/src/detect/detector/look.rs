//! What a detector says after each minute.

use foldhash::HashMap;

use super::{Column, Detector, MIN_NEW_HOSTS, SERVICE_LEVEL};
use crate::detect::alike::alike;
use crate::detect::endpoint::{Cell, Known};
use crate::detect::evidence::{LARGEST_PART, part_of_level, z_of};
use crate::detect::flag::FlagPair;
use crate::detect::lines::VerdictLine;
use crate::detect::regression::Estimate;
use crate::detect::tell::{deploy_line, raise, verdict};

impl Detector {
    pub(super) fn look(&mut self, minute: i64, told: &mut Vec<VerdictLine>) {
        let mut flags: Vec<(usize, usize)> = Vec::new();
        for (at, column) in self.columns.iter().enumerate() {
            if let Column::Flag(arm) = column {
                flags.push((at, *arm));
            }
        }
        self.total.look(&[], &[]);
        let alike = self.alike();
        for ((at, endpoint), alike) in self.endpoints.iter_mut().enumerate().zip(&alike) {
            let known: Vec<Known> = flags
                .iter()
                .filter_map(|&(column, arm)| {
                    let pair = self.flags.arms[arm].pairs.get(&at)?;
                    (!pair.is_empty()).then(|| Known::new(column, pair.estimate()))
                })
                .collect();
            endpoint.look(&known, alike);
        }
        for column in 0..self.columns.len() {
            let Column::Deploy(deploy) = self.columns[column] else {
                continue;
            };
            let new_hosts = self.deploys[deploy]
                .new_hosts
                .iter()
                .filter(|new| **new)
                .count();
            let all_hosts = self.host_numbers.len();
            if new_hosts < MIN_NEW_HOSTS.min(all_hosts) {
                continue;
            }
            let stream = &mut self.stream;
            let place = *self.deploys[deploy]
                .place
                .get_or_insert_with(|| stream.enter(minute));
            let is_end = minute >= self.deploys[deploy].watched_until();
            let part = part_of_level(minute - place.since, is_end);
            let z_at = |level: f64| (z_of(level * part), z_of(level * LARGEST_PART));
            let called_at = z_at(place.level / self.endpoints.len() as f64);
            let of_service = self.total.pairs[column].estimate;
            let of_service = of_service.map(|estimate| estimate.effect);
            let step = self.deploys[deploy].step(deploy);
            let (mut was_called, mut is_called) = (false, false);
            for endpoint in &mut self.endpoints {
                endpoint.pairs[column].called_at = called_at;
                was_called |= endpoint.pairs[column].alarm.is_some();
                raise(endpoint, column, minute, step, of_service, told);
                is_called |= endpoint.pairs[column].alarm.is_some();
            }
            if is_called && !was_called {
                self.stream.note_call(place);
            }
            let total = &mut self.total;
            total.pairs[column].called_at = z_at(SERVICE_LEVEL);
            raise(total, column, minute, step, None, told);
        }
    }

    /// By endpoint: what deploys that changed a whole service did to its other endpoints.
    fn alike(&self) -> Vec<Vec<Known>> {
        let mut known: Vec<Vec<Known>> = vec![Vec::new(); self.endpoints.len()];
        let chosen = &self.total.chosen;
        for &column in chosen {
            if !matches!(self.columns[column], Column::Deploy(_)) {
                continue;
            }
            let endpoints = self.endpoints.iter();
            let estimates = endpoints.map(|endpoint| endpoint.estimate(column, chosen));
            let estimates: Vec<Option<Estimate>> = estimates.collect();
            for (at, elsewhere) in alike(&estimates).into_iter().enumerate() {
                known[at].extend(elsewhere.map(|of| self.endpoints[at].known(column, of)));
            }
        }
        known
    }

    pub(super) fn look_at_flags(&mut self, minute: i64, told: &mut Vec<VerdictLine>) {
        if !self.judges_flags {
            return;
        }
        for at in 0..self.flags.arms.len() {
            let arm = &mut self.flags.arms[at];
            if arm.is_told {
                continue;
            }
            let is_over = arm.over_since.is_some_and(|since| minute >= since);
            for endpoint in arm.look(minute, is_over, &mut self.stream) {
                told.push(self.flag_line(at, endpoint, minute));
            }
            if is_over {
                self.tell_flag(at, minute, told);
                self.flags.arms[at].is_told = true;
            }
        }
    }

    pub(super) fn tell_flag(&mut self, arm: usize, minute: i64, told: &mut Vec<VerdictLine>) {
        if self.flags.arms[arm].is_told {
            return;
        }
        let mut endpoints: Vec<usize> = self.flags.arms[arm].pairs.keys().copied().collect();
        endpoints.sort_unstable();
        for endpoint in endpoints {
            told.push(self.flag_line(arm, endpoint, minute));
        }
    }

    fn flag_line(&self, at: usize, endpoint: usize, minute: i64) -> VerdictLine {
        let arm = &self.flags.arms[at];
        let estimate = arm.pairs.get(&endpoint).map(FlagPair::estimate);
        let is_alarmed = arm.alarms.contains(&endpoint);
        VerdictLine {
            deploy: None,
            flag: Some(arm.flag.clone()),
            value: Some(arm.value.clone()),
            endpoint: self.endpoints[endpoint].name.clone(),
            ..verdict(
                estimate,
                is_alarmed,
                false,
                self.endpoints[endpoint].min_change,
                minute,
            )
        }
    }

    pub(super) fn retire(
        &mut self,
        minute: i64,
        columns: &HashMap<usize, Vec<f64>>,
        cells: &[Cell],
        told: &mut Vec<VerdictLine>,
    ) {
        for column in (0..self.columns.len()).rev() {
            let last = match self.columns[column] {
                Column::Deploy(at) => {
                    if minute < self.deploys[at].watched_until() {
                        continue;
                    }
                    self.tell_all(column, minute, told);
                    let parent = self.deploys[at].parent.unwrap_or(0);
                    for endpoint in &mut self.endpoints {
                        endpoint.tail.forget_before(parent);
                        // What changed everything tells nothing of noise.
                        if self.total.pairs[column].alarm.is_none() {
                            endpoint.calibrate(column);
                        }
                    }
                    self.total.calibrate(column);
                    let with = cells
                        .iter()
                        .filter(|cell| columns[&cell.deploy][column] > 0.5)
                        .count();
                    Some(if 2 * with >= cells.len() { 1.0 } else { 0.0 })
                }
                Column::Flag(arm) if self.ramps.is_still(arm, minute) => None,
                Column::Flag(_) => continue,
            };
            self.columns.remove(column);
            for endpoint in self.endpoints.iter_mut().chain([&mut self.total]) {
                let last = last.unwrap_or_else(|| endpoint.last_of_column(column));
                endpoint.retire_column(column, last);
            }
        }
        self.ramps.settle(minute);
    }

    /// Writes the last line of a deploy's pairs.
    pub(super) fn tell_all(&mut self, column: usize, minute: i64, told: &mut Vec<VerdictLine>) {
        let Column::Deploy(deploy) = self.columns[column] else {
            return;
        };
        let is_over = minute >= self.deploys[deploy].watched_until();
        let step = self.deploys[deploy].step(deploy);
        for endpoint in self.endpoints.iter_mut().chain([&mut self.total]) {
            let pair = &mut endpoint.pairs[column];
            if is_over && pair.alarm.is_some() && pair.is_doubtful() {
                pair.is_withdrawn = true;
            }
            if pair.told != Some(minute) {
                pair.told = Some(minute);
                told.push(deploy_line(endpoint, column, minute, step));
            }
        }
    }
}
