use super::calibration::Calibration;
use super::filter::LevelFilter;
use super::learn::Prepared;
use super::noise::NoiseLearner;
use super::regression::{Estimate, Regression};
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
}

impl Cell {
    pub(crate) fn log_cost(&self) -> f64 {
        self.sum_log / self.n
    }
}

/// Minutes over which an endpoint's usual cost is read, by which the service's line weighs it.
const REFERENCE_MINUTES: u32 = 30;
/// Standard errors below which an alarm has lost its ground.
const DOUBTED_BELOW_Z: f64 = 2.0;
/// Ratios of two changes that may well be the same one.
pub(crate) const ABOUT_THE_SAME: std::ops::Range<f64> = 0.5..2.0;

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
    /// By column: the effect where the data demand one, else 0.
    pub(crate) effects: Vec<f64>,
    /// By column: what was said.
    pub(crate) pairs: Vec<Pair>,
    /// Columns that the data demand.
    pub(crate) chosen: Vec<usize>,
    /// The last minute and its cells.
    pub(crate) previous: Option<(i64, Vec<Prepared>)>,
    reference: Reference,
}

#[derive(Debug, Clone, Copy, Default)]
struct Reference {
    minutes: u32,
    n: f64,
    sum: f64,
    sum_log: f64,
}

/// One (deploy, endpoint) under watch.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pair {
    pub(crate) estimate: Option<Estimate>,
    /// Standard errors at which it would be called now, and those that will do in the end.
    pub(crate) called_at: (f64, f64),
    /// Minute of the first alarm and the effect then.
    pub(crate) alarm: Option<(i64, f64)>,
    pub(crate) is_withdrawn: bool,
    /// How far the level had moved when it was withdrawn.
    pub(crate) withdrawn_after: f64,
    /// Jumps of the level since the alarm that no deploy explains, in logs.
    pub(crate) jumps: f64,
    /// The same of those that all endpoints made together.
    pub(crate) common_jumps: f64,
    /// The last minute of which a line was written.
    pub(crate) told: Option<i64>,
}

impl Pair {
    /// Whether there is enough evidence to call it at this look.
    pub(crate) fn is_sure(&self) -> bool {
        let estimate = self.estimate;
        estimate.is_some_and(|estimate| estimate.z().abs() >= self.called_at.0)
    }

    /// Whether an alarm has lost its ground.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.estimate.is_none_or(|estimate| {
            let turned = self
                .alarm
                .is_some_and(|(_, effect)| effect * estimate.effect < 0.0);
            turned || estimate.z().abs() < DOUBTED_BELOW_Z
        })
    }

    /// By how much the level moved since the alarm without a deploy. What all endpoints did together is this
    /// pair's matter only if `is_common`: if the deploy seems to have changed them all.
    pub(crate) fn moved(&self, is_common: bool) -> f64 {
        self.jumps + if is_common { self.common_jumps } else { 0.0 }
    }

    /// Whether the level came back without a deploy: what looked like a change was a spike.
    pub(crate) fn went_away(&self, is_common: bool) -> bool {
        self.alarm.is_some_and(|(_, effect)| {
            let share = -self.moved(is_common) / effect;
            ABOUT_THE_SAME.contains(&share)
        })
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
            effects: vec![0.0; columns],
            pairs: vec![Pair::default(); columns],
            chosen: Vec::new(),
            previous: None,
            reference: Reference::default(),
        }
    }

    pub(crate) fn add_column(&mut self) {
        self.filter.add_column();
        self.effects.push(0.0);
        self.pairs.push(Pair::default());
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
        if let (Some(estimate), None) = (pair.estimate, pair.alarm) {
            self.calibration.add(estimate.z() * self.scale, self.scale);
        }
    }

    /// Notes that the level jumped without a deploy, for those that were called before.
    pub(crate) fn note_jump(&mut self, jump: f64, is_common: bool) {
        for pair in self.pairs.iter_mut().filter(|pair| pair.alarm.is_some()) {
            if is_common {
                pair.common_jumps += jump;
            } else {
                pair.jumps += jump;
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

    /// Looks at all columns anew. `known` has what other cells tell of a column: information and score.
    pub(crate) fn look(&mut self, known: &[(usize, f64, f64)]) {
        let count = self.effects.len();
        let mut information = self.filter.information().to_vec();
        let mut score = self.filter.score().to_vec();
        for &(column, of_column, its_score) in known {
            information[column * count + column] += of_column;
            score[column] += its_score;
        }
        let regression = Regression {
            information: &information,
            score: &score,
        };
        let always: Vec<usize> = known.iter().map(|(column, ..)| *column).collect();
        self.chosen = regression.demanded(&always, self.scale);
        for column in 0..count {
            let estimate = regression.given(column, &self.chosen);
            let estimate = estimate.map(|estimate| Estimate {
                variance: estimate.variance * self.scale * self.scale,
                ..estimate
            });
            self.effects[column] = match estimate {
                Some(estimate) if self.chosen.contains(&column) => estimate.effect,
                _ => 0.0,
            };
            self.pairs[column].estimate = estimate;
        }
    }
}
