//! What a detector does with a minute's cells once they are complete.

use foldhash::{HashMap, HashMapExt};

use super::jumps::Shown;
use super::{Column, Deploy, Detector, SETTLED_AFTER};
use crate::detect::calibration::Calibration;
use crate::detect::endpoint::Cell;
use crate::detect::filter::MAX_COLUMNS;
use crate::detect::flags::FlagCell;
use crate::detect::learn::{Prepared, TotalCells, excess, find_jumps, learn, let_go};
use crate::detect::lines::VerdictLine;
use crate::detect::noise::Excesses;
use crate::detect::warm_up::{AGES, Warming};

/// Minutes after which a slope is looked at again.
const SLOPES_EVERY: i64 = 30;
/// Columns that flags may take, lest there be none for deploys.
const MOST_FLAGS: usize = MAX_COLUMNS / 2;

impl Detector {
    pub(super) fn close_minute(&mut self) -> Vec<VerdictLine> {
        let mut told = Vec::new();
        let Some(minute) = self.minute else {
            return told;
        };
        if self.last_minute == Some(minute) {
            return told;
        }
        let passed = self.last_minute.map_or(1, |last| minute - last) as f64;
        let is_first = self.first_minute == Some(minute);
        self.last_minute = Some(minute);
        let cells = std::mem::take(&mut self.cells);
        let flag_cells = std::mem::take(&mut self.flag_cells);
        self.note_spent(&cells, minute);
        self.group(&cells);
        self.open_columns(&cells, minute, &mut told);
        let is_flag_moved = self.note_flags(&cells, &flag_cells, minute);
        self.note_control(&cells);
        for endpoint in self.endpoints.iter_mut().chain([&mut self.total]) {
            let noise = endpoint.learner.noise;
            endpoint.filter.advance(passed, &noise);
        }
        self.note_restarts(&cells, minute, is_first);
        self.note_settled();
        let ages = self.ages(&cells, minute);
        let columns = self.column_values(&cells);
        let (bad, unexpected) = self.find_bad_hosts(&cells, &ages, &columns);
        let is_quiet = !is_flag_moved && self.is_quiet(&cells, &ages);
        let prepared: Vec<Vec<Prepared>> = (0..self.endpoints.len())
            .map(|at| self.prepare(at, &cells, &ages, &columns, &bad))
            .collect();
        let freed = self.free_where_all_jump(unexpected, &prepared, minute);
        let freed = self.free_after_a_gap(&prepared, minute, freed);
        let clusters = self.cluster_names.numbers.len();
        let mut total_cells = TotalCells::default();
        for (at, prepared) in prepared.into_iter().enumerate() {
            let endpoint = &mut self.endpoints[at];
            for part in &prepared {
                let cell = &part.cell;
                self.deploys[cell.deploy].note_host(cell.host);
                if part.warming == 0.0 {
                    endpoint
                        .learner
                        .add_requests(cell.n, cell.sum_log, cell.sum_square_log);
                    endpoint
                        .tail
                        .add(cell.deploy, cell.host, cell.n, cell.sum, cell.sum_log);
                }
            }
            endpoint.refer(prepared.iter().map(|part| &part.cell));
            total_cells.add(endpoint, &prepared);
            let jumps = find_jumps(endpoint, &prepared, minute, &freed);
            let_go(endpoint, &jumps, clusters, minute);
            total_cells.add_jumps(endpoint, &prepared, &jumps);
            let is_calm = jumps.is_empty() && freed.is_empty();
            learn(endpoint, prepared, minute, is_quiet, is_calm);
        }
        if let Some(of) = total_cells.prepared() {
            let total = &mut self.total;
            // Its own jump has the endpoints' in it, and in freed clusters what is left is only that they jumped by
            // different amounts.
            let mut jumps = find_jumps(total, &of.prepared, minute, &freed);
            jumps.retain(|(cluster, _)| freed.iter().all(|freed| freed.cluster != *cluster));
            let is_seen = |jumps: &[(usize, f64)], cluster| jumps.iter().any(|of| of.0 == cluster);
            for share in of.shares {
                if !is_seen(&jumps, share.0) {
                    jumps.push(share);
                }
            }
            let_go(total, &jumps, clusters, minute);
            let is_calm = jumps.is_empty() && freed.is_empty();
            learn(total, of.prepared, minute, is_quiet, is_calm);
        }
        self.settle_noise(minute);
        self.look(minute, &mut told);
        self.look_at_flags(minute, &mut told);
        self.learn_warm_up(minute);
        self.retire(minute, &columns, &cells, &mut told);
        self.explain_silence(minute, false, &mut told);
        self.complete(&mut told);
        self.cells = cells;
        self.cells.clear();
        told
    }

    /// An endpoint's cells that are fit to be learned from.
    fn prepare(
        &self,
        at: usize,
        cells: &[Cell],
        ages: &[i64],
        columns: &HashMap<usize, Vec<f64>>,
        bad: &[bool],
    ) -> Vec<Prepared> {
        let settled = self.warm_up.minutes().saturating_add(SETTLED_AFTER);
        let noise = &self.endpoints[at].learner.noise;
        self.by_endpoint[at]
            .iter()
            .filter(|index| !bad[cells[**index].host])
            .filter_map(|&index| {
                let cell = &cells[index];
                let warming = self.warming(cell, ages[index])?;
                Some(Prepared {
                    cell: *cell,
                    value: cell.log_cost() - warming.excess,
                    sampling: noise.request / cell.n + warming.variance,
                    warming: warming.excess,
                    is_settled: ages[index] >= settled,
                    columns: self.with_flags(&columns[&cell.deploy], cell),
                })
            })
            .collect()
    }

    /// What to take off a cell of that age; none: it is to be left out. Hosts that are merged are of all ages.
    fn warming(&self, cell: &Cell, age: i64) -> Option<Warming> {
        let is_mixed = self.merged_hosts[cell.host] && age < self.warm_up.minutes();
        self.warm_up.at(age).filter(|_| !is_mixed)
    }

    fn learn_warm_up(&mut self, minute: i64) {
        for deploy in &mut self.deploys {
            let is_seen = deploy.is_seen && deploy.parent.is_some();
            if is_seen && !deploy.is_curve_taken && minute >= deploy.last_restart + AGES as i64 {
                deploy.is_curve_taken = true;
                // What an incident costs is no warm-up.
                if !self.incidents.is_since(deploy.line.start) {
                    self.warm_up.add(&deploy.curve);
                }
            }
        }
    }

    fn group(&mut self, cells: &[Cell]) {
        for list in &mut self.by_endpoint {
            list.clear();
        }
        for (at, cell) in cells.iter().enumerate() {
            self.by_endpoint[cell.endpoint].push(at);
        }
    }

    fn open_columns(&mut self, cells: &[Cell], minute: i64, told: &mut Vec<VerdictLine>) {
        let mut last = usize::MAX;
        for cell in cells {
            if cell.deploy != last && !self.deploys[cell.deploy].is_seen {
                self.deploys[cell.deploy].is_seen = true;
                let is_open = self.deploys[cell.deploy].parent.is_none()
                    || self.open_column(Column::Deploy(cell.deploy), minute);
                if !is_open {
                    told.push(self.leave_out(cell.deploy, minute));
                }
            }
            last = cell.deploy;
        }
    }

    /// Takes up what was told of flags, and opens columns for those that began to move. Whether any moved.
    fn note_flags(&mut self, cells: &[Cell], flag_cells: &[FlagCell], minute: i64) -> bool {
        let endpoints = &self.endpoints;
        let spread = |at: usize| endpoints[at].learner.noise.request;
        self.flags.add_minute(minute, flag_cells, spread);
        let moved = self.ramps.add_minute(minute, cells, &self.flags.arms);
        for arm in &moved {
            let of_flags = |column: &&Column| matches!(column, Column::Flag(_));
            let others = self.columns.iter().filter(of_flags).count();
            let column = Column::Flag(*arm);
            if others < MOST_FLAGS && !self.columns.contains(&column) {
                self.open_column(column, minute);
            }
        }
        !moved.is_empty()
    }

    /// Whether there was room for it.
    fn open_column(&mut self, column: Column, minute: i64) -> bool {
        if self.columns.len() >= MAX_COLUMNS {
            return false;
        }
        self.columns.push(column);
        let is_deploy = matches!(column, Column::Deploy(_));
        for endpoint in self.endpoints.iter_mut().chain([&mut self.total]) {
            endpoint.add_column(minute);
            if is_deploy {
                endpoint.filter.loosen_warm_up();
            }
        }
        true
    }

    fn note_restarts(&mut self, cells: &[Cell], minute: i64, is_first: bool) {
        for cell in cells {
            if self.merged_hosts[cell.host] {
                continue;
            }
            if self.hosts.note(cell.host, cell.deploy, minute, is_first) {
                let deploy = &mut self.deploys[cell.deploy];
                deploy.last_restart = deploy.last_restart.max(minute);
                for endpoint in self.endpoints.iter_mut().chain([&mut self.total]) {
                    let variance = endpoint.learner.noise.restart;
                    endpoint.filter.loosen_host(cell.host, variance);
                }
            }
        }
    }

    /// Tells pairs when all hosts of their deploy are warm.
    fn note_settled(&mut self) {
        let warm_up = self.warm_up.minutes();
        for (at, column) in self.columns.iter().enumerate() {
            if let Column::Deploy(deploy) = column {
                let settled_at = self.deploys[*deploy].last_restart + warm_up;
                for endpoint in self.endpoints.iter_mut().chain([&mut self.total]) {
                    endpoint.pairs[at].settled_at = settled_at;
                }
            }
        }
    }

    /// Minutes since each cell's host restarted. Where hosts are merged, nothing is warm until all are.
    fn ages(&self, cells: &[Cell], minute: i64) -> Vec<i64> {
        let began = |deploy: &&Deploy| deploy.parent.is_some() && deploy.line.start <= minute;
        let since = self.deploys.iter().filter(began);
        let since = since.map(|deploy| minute - deploy.line.end).min();
        cells
            .iter()
            .map(|cell| match self.merged_hosts[cell.host] {
                true => since.unwrap_or(i64::MAX),
                false => self.hosts.age(cell.host, cell.deploy, minute),
            })
            .collect()
    }

    /// By deploy: what each column is for its cells, flags apart.
    fn column_values(&self, cells: &[Cell]) -> HashMap<usize, Vec<f64>> {
        let mut values: HashMap<usize, Vec<f64>> = HashMap::new();
        for cell in cells {
            values.entry(cell.deploy).or_insert_with(|| {
                let value = |column: &Column| match column {
                    Column::Deploy(deploy) if self.descends(cell.deploy, *deploy) => 1.0,
                    _ => 0.0,
                };
                self.columns.iter().map(value).collect()
            });
        }
        values
    }

    fn with_flags(&self, values: &[f64], cell: &Cell) -> Vec<f64> {
        let mut values = values.to_vec();
        let place = (cell.endpoint, cell.cluster, cell.deploy);
        let parent = |deploy: usize| self.deploys[deploy].parent;
        for (value, column) in values.iter_mut().zip(&self.columns) {
            if let Column::Flag(arm) = column {
                *value = self.ramps.moved_by(*arm, place, parent);
            }
        }
        values
    }

    /// Which hosts are bad, and by cluster how far the settled ones of the others are from what is expected: sums of
    /// that × precision, and of precision.
    fn find_bad_hosts(
        &mut self,
        cells: &[Cell],
        ages: &[i64],
        columns: &HashMap<usize, Vec<f64>>,
    ) -> (Vec<bool>, Vec<Shown>) {
        let settled = self.warm_up.minutes().saturating_add(SETTLED_AFTER);
        // By host: its cluster, and what shows a jump; a bad host's is its own matter.
        let mut settled_hosts: Vec<(usize, Shown)> =
            vec![(0, Shown::default()); self.host_numbers.len()];
        for at in 0..self.endpoints.len() {
            for &index in &self.by_endpoint[at] {
                let cell = &cells[index];
                let values = self.with_flags(&columns[&cell.deploy], cell);
                let endpoint = &mut self.endpoints[at];
                let noise = endpoint.learner.noise;
                let Some((mut excess, variance)) = excess(endpoint, cell, cell.log_cost(), &values)
                else {
                    continue;
                };
                // What all endpoints share is known sooner than each endpoint's own part of it.
                let total = &self.total;
                for &column in &total.chosen {
                    if endpoint.effects[column] == 0.0 {
                        let x = values.get(column).copied().unwrap_or(0.0);
                        let left =
                            endpoint
                                .filter
                                .expect_column(column, cell.cluster, cell.host, x);
                        excess -= total.effects[column] * left;
                    }
                }
                let precision =
                    1.0 / (noise.request / cell.n + noise.cell + variance + noise.shock);
                if ages[index] < i64::MAX {
                    self.deploys[cell.deploy]
                        .curve
                        .add(ages[index], excess, precision);
                }
                // Hosts that are merged into one are held against nobody.
                if !self.merged_hosts[cell.host]
                    && let Some(warming) = self.warming(cell, ages[index])
                {
                    let precision = 1.0 / (1.0 / precision + warming.variance);
                    let excess = excess - warming.excess;
                    self.hosts.add(cell.host, cell.deploy, excess, precision);
                }
                if ages[index] >= settled {
                    let host = &mut settled_hosts[cell.host];
                    host.0 = cell.cluster;
                    host.1.add(at, (excess * precision, precision));
                }
            }
        }
        let (mut bad, for_good) = self.hosts.close_minute();
        bad.resize(self.host_numbers.len(), false);
        for host in &for_good {
            settled_hosts[*host] = (0, Shown::default());
        }
        let mut clusters = vec![Shown::default(); self.cluster_names.numbers.len()];
        for ((cluster, shown), _) in settled_hosts.iter().zip(&bad).filter(|(_, bad)| !**bad) {
            clusters[*cluster].absorb(shown);
        }
        for host in for_good {
            for endpoint in self.endpoints.iter_mut().chain([&mut self.total]) {
                endpoint.filter.loosen_host(host, 0.02);
            }
        }
        (bad, clusters)
    }

    /// Whether all hosts run one deploy and are warm.
    fn is_quiet(&self, cells: &[Cell], ages: &[i64]) -> bool {
        let settled = self.warm_up.minutes().saturating_add(SETTLED_AFTER);
        let first = cells.first().map(|cell| cell.deploy);
        cells
            .iter()
            .zip(ages)
            .all(|(cell, age)| Some(cell.deploy) == first && *age >= settled)
    }

    fn settle_noise(&mut self, minute: i64) {
        // Not every minute: nothing changes that fast.
        if minute % 5 != 0 {
            return;
        }
        let mut all = Excesses::default();
        for endpoint in &self.endpoints {
            all.absorb(&endpoint.learner.excesses);
        }
        let usual = all.usual();
        let mut calibration = Calibration::default();
        for endpoint in &self.endpoints {
            calibration.absorb(&endpoint.calibration);
        }
        let scale = calibration.scale(1.0);
        for endpoint in self.endpoints.iter_mut().chain([&mut self.total]) {
            let usual_scale = if endpoint.name.is_some() { scale } else { 1.0 };
            endpoint.scale = endpoint.calibration.scale(usual_scale);
            if minute % SLOPES_EVERY == 0
                && let Some((slope, variance)) = endpoint.filter.slope()
            {
                endpoint.learner.add_slope(slope, variance);
            }
            endpoint.learner.settle(&usual);
        }
    }
}
