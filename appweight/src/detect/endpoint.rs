use super::calibration::Calibration;
use super::filter::LevelFilter;
use super::incidents::Incidents;
use super::learn::{JUMP_ROOM, Prepared};
use super::noise::NoiseLearner;
use super::pair::Pair;
use super::recent::{LONGEST, Recent};
use super::regression::{Estimate, Regression};
use super::spend::Spend;
use super::tail::Tail;

/// A cell with its names as numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    pub(crate) endpoint: usize,
    pub(crate) cluster: usize,
    pub(crate) host: usize,
    pub(crate) deploy: usize,
    pub(crate) n: f64,
    pub(crate) sum: f64,
    pub(crate) sum_log: f64,
    pub(crate) sum_square_log: f64,
    /// Of all requests that it stands for.
    pub(crate) spent: f64,
}

impl Cell {
    pub(crate) fn log_cost(&self) -> f64 {
        self.sum_log / self.n
    }
}

/// Minutes over which an endpoint's usual cost is read, by which the service's line weighs it.
const REFERENCE_MINUTES: u32 = 30;

/// One endpoint, or a whole service at a fixed mix.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    /// None: the service.
    pub(crate) name: Option<String>,
    /// The smallest change that is worth a word, relative.
    pub(crate) min_change: f64,
    pub(crate) filter: LevelFilter,
    pub(crate) learner: NoiseLearner,
    pub(crate) calibration: Calibration,
    /// What standard errors are multiplied by.
    pub(crate) scale: f64,
    pub(crate) tail: Tail,
    pub(crate) spend: Spend,
    /// By column: the effect where the data demand one, else 0.
    pub(crate) effects: Vec<f64>,
    /// By column: what was said.
    pub(crate) pairs: Vec<Pair>,
    /// Columns that the data demand.
    pub(crate) chosen: Vec<usize>,
    /// The last minute and its cells.
    pub(crate) previous: Option<(i64, Vec<Prepared>)>,
    pub(crate) recent: Recent,
    /// Its own, beyond those of all endpoints.
    incidents: Incidents,
    reference: Reference,
}

#[derive(Debug, Clone, Copy, Default)]
struct Reference {
    minutes: u32,
    n: f64,
    sum: f64,
    sum_log: f64,
}

/// What is known of a column from elsewhere, as normal equations.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    pub(crate) column: usize,
    pub(crate) information: f64,
    pub(crate) score: f64,
}

impl Known {
    pub(crate) fn new(column: usize, estimate: Estimate) -> Self {
        Self {
            column,
            information: 1.0 / estimate.variance,
            score: estimate.effect / estimate.variance,
        }
    }
}

impl Endpoint {
    pub(crate) fn new(name: Option<String>, min_change: f64, columns: usize) -> Self {
        Self {
            name,
            min_change,
            filter: LevelFilter::new(columns),
            learner: NoiseLearner::new(),
            calibration: Calibration::default(),
            scale: 1.0,
            tail: Tail::default(),
            spend: Spend::default(),
            effects: vec![0.0; columns],
            pairs: vec![Pair::default(); columns],
            chosen: Vec::new(),
            previous: None,
            recent: Recent::default(),
            incidents: Incidents::default(),
            reference: Reference::default(),
        }
    }

    pub(crate) fn add_column(&mut self, minute: i64) {
        self.filter.add_column();
        self.effects.push(0.0);
        self.pairs.push(Pair {
            // What came before the column's first cell is without it.
            has_sides: [self.previous.is_some(), false],
            since: minute,
            ..Pair::default()
        });
    }

    /// What a column was in the last minute that had requests, on average over its cells.
    pub(crate) fn last_of_column(&self, column: usize) -> f64 {
        let parts = self.previous.iter().flat_map(|(_, parts)| parts);
        let (sum, count) = parts.fold((0.0, 0.0), |(sum, count), part| {
            let value = part.columns.get(column).copied().unwrap_or(0.0);
            (sum + value, count + 1.0)
        });
        if count > 0.0 { sum / count } else { 0.0 }
    }

    pub(crate) fn retire_column(&mut self, column: usize, last: f64) {
        self.filter
            .retire_column(column, self.effects[column], last);
        self.effects.remove(column);
        self.pairs.remove(column);
        for part in self.previous.iter_mut().flat_map(|(_, parts)| parts) {
            if column < part.columns.len() {
                part.columns.remove(column);
            }
        }
        self.chosen.retain(|chosen| *chosen != column);
        for chosen in &mut self.chosen {
            if *chosen > column {
                *chosen -= 1;
            }
        }
    }

    /// Learns from what a watch ended with how large errors are in truth.
    pub(crate) fn calibrate(&mut self, column: usize) {
        let pair = &self.pairs[column];
        if let (Some(estimate), None, false) = (pair.estimate, pair.alarm, pair.is_held_back) {
            self.calibration.add(estimate.z() * self.scale, self.scale);
        }
    }

    /// Notes that the level jumped without a deploy, and when what it ends began, if that was seen.
    pub(crate) fn note_jump(&mut self, jump: f64, is_common: bool, began: Option<i64>) {
        for pair in &mut self.pairs {
            if began.is_none_or(|began| pair.concerns(began)) {
                let jumps = if is_common {
                    &mut pair.common_jumps
                } else {
                    &mut pair.jumps
                };
                jumps.add(jump);
            }
        }
    }

    /// Notes jumps of this endpoint's own, by cluster.
    pub(crate) fn note_own_jumps(&mut self, jumps: &[(usize, f64)], clusters: usize, minute: i64) {
        if jumps.is_empty() {
            return;
        }
        let all: f64 = jumps.iter().map(|(_, jump)| jump).sum();
        let began = self.incidents.note(minute, all / jumps.len() as f64);
        self.note_jump(all / clusters as f64, false, began);
        self.recent.interrupt();
    }

    /// Notes whether the level stepped back from what a column is called with, or would be, where no host was restarted: by too little for
    /// one minute to show it.
    pub(crate) fn note_step_back(&mut self, column: usize, minute: i64) {
        let pair = &self.pairs[column];
        let Some(effect) = pair.called_effect() else {
            return;
        };
        // Once it was called, each minute is looked at when it comes.
        let first = pair.alarm.map_or(i64::MIN, |_| minute - LONGEST);
        let noise = &self.learner.noise;
        let since = pair.stepped_back.unwrap_or(pair.since);
        let back = self.recent.step(-effect, since, first, noise);
        if let Some(by) = back {
            let pair = &mut self.pairs[column];
            pair.jumps.add(by);
            pair.stepped_back = Some(minute);
            let parts = self.previous.iter().flat_map(|(_, parts)| parts);
            let mut clusters: Vec<usize> = parts.map(|part| part.cell.cluster).collect();
            clusters.sort_unstable();
            clusters.dedup();
            for cluster in clusters {
                self.filter.loosen_cluster(cluster, JUMP_ROOM * by * by);
            }
            self.learner.interrupt();
        }
    }

    /// Notes on which side of each change the minute's cells are.
    pub(crate) fn note_sides(&mut self, prepared: &[Prepared]) {
        for (column, pair) in self.pairs.iter_mut().enumerate() {
            if !pair.has_both_sides() {
                for part in prepared {
                    let is_with = part.columns.get(column).is_some_and(|value| *value > 0.5);
                    pair.has_sides[usize::from(is_with)] = true;
                }
            }
        }
    }

    /// Adds a minute to what the endpoint usually costs.
    pub(crate) fn refer<'a>(&mut self, cells: impl Iterator<Item = &'a Cell>) {
        if self.reference.minutes < REFERENCE_MINUTES {
            self.reference.minutes += 1;
            for cell in cells {
                self.reference.n += cell.n;
                self.reference.sum += cell.sum;
                self.reference.sum_log += cell.sum_log;
            }
        }
    }

    /// Usual log cost and mean cost, once known.
    pub(crate) fn usual(&self) -> Option<(f64, f64)> {
        let of = &self.reference;
        (of.minutes >= REFERENCE_MINUTES && of.n > 0.0).then(|| (of.sum_log / of.n, of.sum / of.n))
    }

    /// What the endpoint's cells tell of a column beside others, in the errors that it has in truth.
    pub(crate) fn estimate(&self, column: usize, others: &[usize]) -> Option<Estimate> {
        let regression = Regression {
            information: self.filter.information(),
            score: self.filter.score(),
        };
        self.scaled(regression.given(column, others))
    }

    /// What was seen elsewhere, as if it had the errors that this endpoint's cells are taken to have.
    pub(crate) fn known(&self, column: usize, elsewhere: Estimate) -> Known {
        Known::new(
            column,
            Estimate {
                variance: elsewhere.variance / (self.scale * self.scale),
                ..elsewhere
            },
        )
    }

    fn scaled(&self, estimate: Option<Estimate>) -> Option<Estimate> {
        estimate.map(|estimate| Estimate {
            variance: estimate.variance * self.scale * self.scale,
            ..estimate
        })
    }

    /// Looks at all columns anew. `known` has what other cells of the endpoint tell of a column, `alike` what a deploy did to the other endpoints:
    /// neighbours are taken to have done the same here as far as nothing speaks against it, but no deploy is
    /// charged with what it did elsewhere.
    pub(crate) fn look(&mut self, known: &[Known], alike: &[Known]) {
        let count = self.effects.len();
        let mut information = self.filter.information().to_vec();
        let mut score = self.filter.score().to_vec();
        for of in known.iter().chain(alike) {
            information[of.column * count + of.column] += of.information;
            score[of.column] += of.score;
        }
        let of = |information: &[f64], score: &[f64], column: usize, chosen: &[usize]| {
            Regression { information, score }.given(column, chosen)
        };
        let always: Vec<usize> = known.iter().chain(alike).map(|of| of.column).collect();
        let regression = Regression {
            information: &information,
            score: &score,
        };
        self.chosen = regression.demanded(&always, self.scale);
        for column in 0..count {
            let mut estimate = of(&information, &score, column, &self.chosen);
            self.effects[column] = match estimate {
                Some(estimate) if self.chosen.contains(&column) => estimate.effect,
                _ => 0.0,
            };
            if let Some(elsewhere) = alike.iter().find(|of| of.column == column) {
                let at = column * count + column;
                let with = (information[at], score[column]);
                information[at] -= elsewhere.information;
                score[column] -= elsewhere.score;
                estimate = of(&information, &score, column, &self.chosen);
                (information[at], score[column]) = with;
            }
            let estimate = estimate.filter(|_| self.pairs[column].has_both_sides());
            self.pairs[column].estimate = self.scaled(estimate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::noise::ASSUMED;

    /// Two roll-outs that overlap, and few requests: the first seems to be behind what the second did.
    fn overlap() -> Endpoint {
        let mut endpoint = Endpoint::new(Some("/rare".to_owned()), 0.01, 2);
        for pair in &mut endpoint.pairs {
            pair.has_sides = [true; 2];
        }
        endpoint.filter.start(0.0);
        for minute in 0..60 {
            endpoint.filter.advance(1.0, &ASSUMED);
            for host in 0..4 {
                let columns =
                    [20, 26].map(|start| f64::from(u8::from(minute >= start + host as i32)));
                let value = 0.02 * columns[0] + 0.01 * columns[1];
                let place = (0, host);
                endpoint.filter.observe(place, value, 1e-3, 0.0, &columns);
            }
        }
        endpoint
    }

    #[test]
    fn a_deploy_is_not_charged_with_what_its_neighbour_did_to_all_others() {
        let mut alone = overlap();
        alone.look(&[], &[]);
        assert_eq!(alone.chosen, [0]);
        assert!(alone.pairs[0].estimate.unwrap().z() > 3.2);

        let mut among_others = overlap();
        let elsewhere = Estimate {
            effect: 0.03,
            variance: 1e-6,
        };
        let known = among_others.known(1, elsewhere);
        among_others.look(&[], &[known]);
        assert_eq!(among_others.chosen, [1]);
        assert!((among_others.effects[1] - 0.03).abs() < 0.002);
        assert!(among_others.pairs[0].estimate.unwrap().z().abs() < 2.0);
        // The neighbour's own figure is not that of the others.
        let told = among_others.pairs[1].estimate.unwrap();
        let own = among_others.estimate(1, &[]).unwrap();
        assert!((told.effect - own.effect).abs() < 1e-9);
        assert!((told.variance - own.variance).abs() < 1e-9);
    }
}
