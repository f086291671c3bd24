use super::noise::{ASSUMED, Noise};

/// States before the clusters' and hosts': level, slope, what moves one minute, and by what share this endpoint's
/// warm-up differs from the usual one.
const LEVEL: usize = 0;
const SLOPE: usize = 1;
const SHOCK: usize = 2;
const WARM: usize = 3;
const FIXED_STATES: usize = 4;
/// Prior variances: a level is read from the first minute; hosts differ by 15 %.
const LEVEL_PRIOR: f64 = 1.0;
const HOST_PRIOR: f64 = 0.0225;
/// An endpoint's warm-up is within a quarter of the usual one or so, and a tenth more apart at each roll-out.
const WARM_PRIOR: f64 = 0.0625;
const WARM_BY_ROLL_OUT: f64 = 0.01;
/// Minutes in which a slope is forgotten to 1/e: a daily shape's turns within a quarter of a day.
const SLOPE_MINUTES: f64 = 240.0;

/// A Kalman filter of one endpoint's log cost that carries regressors along.
///
/// log cost of host h in minute t = level + minute's shock + cluster's offset + host's offset + Σ effect of
/// a deploy × (whether h runs it) + noise. The filter runs as if no deploy had an effect, on the data and on each deploy's
/// indicator alike; the innovations are then those of a regression with independent errors, so that
/// least squares on them is generalised least squares on the data, for any set of deploys at once
/// (de Jong 1991, "The diffuse Kalman filter"). [`LevelFilter::information`] and [`LevelFilter::score`] are its normal equations.
#[derive(Debug, Clone)]
pub(crate) struct LevelFilter {
    dimension: usize,
    covariance: Vec<f64>,
    data: Vec<f64>,
    columns: Vec<Vec<f64>>,
    information: Vec<f64>,
    score: Vec<f64>,
    clusters: Vec<usize>,
    hosts: Vec<usize>,
    is_started: bool,
    gain: Vec<f64>,
}

/// What a cell tells that the filter did not expect.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Innovation {
    /// Of the data.
    pub(crate) value: f64,
    /// Its variance without the cell's own noise.
    pub(crate) variance: f64,
}

impl LevelFilter {
    pub(crate) fn new(columns: usize) -> Self {
        let mut filter = Self {
            dimension: FIXED_STATES,
            covariance: vec![0.0; FIXED_STATES * FIXED_STATES],
            data: vec![0.0; FIXED_STATES],
            columns: vec![vec![0.0; FIXED_STATES]; columns],
            information: vec![0.0; columns * columns],
            score: vec![0.0; columns],
            clusters: Vec::new(),
            hosts: Vec::new(),
            is_started: false,
            gain: Vec::new(),
        };
        *filter.variance(LEVEL) = LEVEL_PRIOR;
        *filter.variance(SLOPE) = ASSUMED.slope;
        *filter.variance(WARM) = WARM_PRIOR;
        filter
    }

    fn variance(&mut self, state: usize) -> &mut f64 {
        &mut self.covariance[state * self.dimension + state]
    }

    fn add_state(&mut self, variance: f64) -> usize {
        let old = self.dimension;
        let new = old + 1;
        let mut covariance = vec![0.0; new * new];
        for row in 0..old {
            covariance[row * new..row * new + old]
                .copy_from_slice(&self.covariance[row * old..(row + 1) * old]);
        }
        covariance[old * new + old] = variance;
        self.covariance = covariance;
        self.dimension = new;
        self.data.push(0.0);
        for column in &mut self.columns {
            column.push(0.0);
        }
        old
    }

    fn cluster_state(&mut self, cluster: usize) -> usize {
        if self.clusters.len() <= cluster {
            self.clusters.resize(cluster + 1, usize::MAX);
        }
        if self.clusters[cluster] == usize::MAX {
            self.clusters[cluster] = self.add_state(1e-12);
        }
        self.clusters[cluster]
    }

    fn host_state(&mut self, host: usize) -> usize {
        if self.hosts.len() <= host {
            self.hosts.resize(host + 1, usize::MAX);
        }
        if self.hosts[host] == usize::MAX {
            self.hosts[host] = self.add_state(HOST_PRIOR);
        }
        self.hosts[host]
    }

    /// A regressor more, zero so far.
    pub(crate) fn add_column(&mut self) {
        let old = self.columns.len();
        let mut information = vec![0.0; (old + 1) * (old + 1)];
        for row in 0..old {
            information[row * (old + 1)..row * (old + 1) + old]
                .copy_from_slice(&self.information[row * old..(row + 1) * old]);
        }
        self.information = information;
        self.columns.push(vec![0.0; self.dimension]);
        self.score.push(0.0);
    }

    /// Forgets a regressor that from now on is `last` for every cell, keeping its effect as part of the level.
    pub(crate) fn retire_column(&mut self, column: usize, effect: f64, last: f64) {
        let count = self.columns.len();
        let state = self.columns.remove(column);
        for (value, share) in self.data.iter_mut().zip(&state) {
            *value -= effect * share;
        }
        self.data[LEVEL] += effect * last;
        // What the others were seen beside so far had the effect in it.
        for (other, score) in self.score.iter_mut().enumerate() {
            *score -= effect * self.information[other * count + column];
        }
        self.score.remove(column);
        let mut information = Vec::with_capacity((count - 1) * (count - 1));
        for row in (0..count).filter(|row| *row != column) {
            for other in (0..count).filter(|other| *other != column) {
                information.push(self.information[row * count + other]);
            }
        }
        self.information = information;
    }

    /// Takes a first level up: that of all of the first minute's cells, so that their order does not matter.
    pub(crate) fn start(&mut self, level: f64) {
        if !self.is_started {
            self.is_started = true;
            self.data[LEVEL] = level;
        }
    }

    /// Lets minutes pass.
    pub(crate) fn advance(&mut self, minutes: f64, noise: &Noise) {
        if !self.is_started {
            return;
        }
        let size = self.dimension;
        // A damped trend: the slope dies away, and with it what it adds to the level.
        let kept = (-minutes / SLOPE_MINUTES).exp();
        let gone = if minutes == 1.0 {
            1.0
        } else {
            (1.0 - kept) * SLOPE_MINUTES
        };
        for state in std::iter::once(&mut self.data).chain(&mut self.columns) {
            state[LEVEL] += gone * state[SLOPE];
            state[SLOPE] *= kept;
            state[SHOCK] = 0.0;
        }
        for at in 0..size {
            self.covariance[LEVEL * size + at] += gone * self.covariance[SLOPE * size + at];
            self.covariance[SLOPE * size + at] *= kept;
        }
        for at in 0..size {
            self.covariance[at * size + LEVEL] += gone * self.covariance[at * size + SLOPE];
            self.covariance[at * size + SLOPE] *= kept;
        }
        for at in 0..size {
            self.covariance[SHOCK * size + at] = 0.0;
            self.covariance[at * size + SHOCK] = 0.0;
        }
        *self.variance(SHOCK) = noise.shock;
        *self.variance(LEVEL) += noise.level * minutes;
        *self.variance(SLOPE) += noise.slope * (1.0 - kept * kept);
        for at in 0..self.clusters.len() {
            let state = self.clusters[at];
            if state != usize::MAX {
                *self.variance(state) += noise.cluster * minutes;
            }
        }
        for at in 0..self.hosts.len() {
            let state = self.hosts[at];
            if state != usize::MAX {
                *self.variance(state) += noise.host * minutes;
            }
        }
    }

    /// A roll-out begins, whose warm-up may be another one.
    pub(crate) fn loosen_warm_up(&mut self) {
        let variance = self.variance(WARM);
        *variance = (*variance + WARM_BY_ROLL_OUT).min(WARM_PRIOR);
    }

    /// A host's offset may have changed, with that variance.
    pub(crate) fn loosen_host(&mut self, host: usize, variance: f64) {
        let state = self.host_state(host);
        *self.variance(state) += variance;
    }

    /// A cluster's level may have changed, with that variance.
    pub(crate) fn loosen_cluster(&mut self, cluster: usize, variance: f64) {
        let state = self.cluster_state(cluster);
        *self.variance(state) += variance;
    }

    /// What a cell would tell, without learning from it. The minute's shock is not in the variance.
    pub(crate) fn expect(&mut self, cluster: usize, host: usize, value: f64) -> Option<Innovation> {
        if !self.is_started {
            return None;
        }
        let states = [LEVEL, self.cluster_state(cluster), self.host_state(host)];
        let mut variance = 0.0;
        for a in states {
            for b in states {
                variance += self.covariance[a * self.dimension + b];
            }
        }
        let expected: f64 = states.iter().map(|state| self.data[*state]).sum();
        Some(Innovation {
            value: value - expected,
            variance,
        })
    }

    /// What a column's value of a cell differs from what the filter took up of it.
    pub(crate) fn expect_column(
        &self,
        column: usize,
        cluster: usize,
        host: usize,
        value: f64,
    ) -> f64 {
        let state = &self.columns[column];
        let of = |at: Option<&usize>| at.and_then(|at| state.get(*at)).copied().unwrap_or(0.0);
        value - state[LEVEL] - of(self.clusters.get(cluster)) - of(self.hosts.get(host))
    }

    /// The level's slope and the variance of it, once there is a level.
    pub(crate) fn slope(&self) -> Option<(f64, f64)> {
        let variance = self.covariance[SLOPE * self.dimension + SLOPE];
        self.is_started.then_some((self.data[SLOPE], variance))
    }

    /// How many hosts have been seen and the standard deviation of their offsets, if there are several.
    pub(crate) fn host_speeds(&self) -> Option<(usize, f64)> {
        let states = self.hosts.iter().filter(|state| **state != usize::MAX);
        let offsets: Vec<f64> = states.map(|state| self.data[*state]).collect();
        let count = offsets.len() as f64;
        let mean = offsets.iter().sum::<f64>() / count;
        let squares = offsets.iter().map(|offset| (offset - mean).powi(2));
        let variance = squares.sum::<f64>() / (count - 1.0);
        (offsets.len() > 1).then(|| (offsets.len(), variance.sqrt()))
    }

    /// The filter's offset of a host and the variance of it.
    pub(crate) fn host_offset(&mut self, host: usize) -> (f64, f64) {
        let state = self.host_state(host);
        (self.data[state], *self.variance(state))
    }

    /// Learns from a cell: its log cost without the usual warm-up, the variance of that, how much usual warm-up
    /// was taken off, and what each column is for it.
    pub(crate) fn observe(
        &mut self,
        (cluster, host): (usize, usize),
        value: f64,
        noise: f64,
        warming: f64,
        columns: &[f64],
    ) {
        let states = [
            LEVEL,
            SHOCK,
            self.cluster_state(cluster),
            self.host_state(host),
        ];
        let size = self.dimension;
        self.gain.clear();
        self.gain.resize(size, 0.0);
        for state in states {
            let row = &self.covariance[state * size..(state + 1) * size];
            for (sum, part) in self.gain.iter_mut().zip(row) {
                *sum += part;
            }
        }
        if warming != 0.0 {
            let row = &self.covariance[WARM * size..(WARM + 1) * size];
            for (sum, part) in self.gain.iter_mut().zip(row) {
                *sum += warming * part;
            }
        }
        let seen = |of: &[f64]| states.iter().map(|at| of[*at]).sum::<f64>() + warming * of[WARM];
        let variance = noise + seen(&self.gain);
        let innovation_of = |state: &[f64], value: f64| value - seen(state);
        let learn = |state: &mut [f64], innovation: f64, gain: &[f64]| {
            let step = innovation / variance;
            for (value, gain) in state.iter_mut().zip(gain) {
                *value += step * gain;
            }
        };
        let innovation = innovation_of(&self.data, value);
        learn(&mut self.data, innovation, &self.gain);
        let count = self.columns.len();
        let mut innovations = [0.0; MAX_COLUMNS];
        for (at, column) in self.columns.iter_mut().enumerate().take(MAX_COLUMNS) {
            let x = columns.get(at).copied().unwrap_or(0.0);
            let of_column = innovation_of(column, x);
            if of_column != 0.0 {
                learn(column, of_column, &self.gain);
            }
            innovations[at] = of_column;
            self.score[at] += of_column * innovation / variance;
            for (other, of_other) in innovations[..=at].iter().enumerate() {
                let product = of_column * of_other / variance;
                self.information[at * count + other] += product;
                if other != at {
                    self.information[other * count + at] += product;
                }
            }
        }
        for row in 0..size {
            let factor = self.gain[row] / variance;
            let line = &mut self.covariance[row * size..(row + 1) * size];
            for (value, gain) in line.iter_mut().zip(&self.gain) {
                *value -= factor * gain;
            }
        }
    }

    /// The normal equations' matrix, row after row.
    pub(crate) fn information(&self) -> &[f64] {
        &self.information
    }

    /// The normal equations' right-hand side.
    pub(crate) fn score(&self) -> &[f64] {
        &self.score
    }
}

/// Regressors carried at once; a service that has more deploys and flags under watch judges the first ones.
pub(crate) const MAX_COLUMNS: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::noise::ASSUMED;
    use crate::detect::regression::Regression;

    #[test]
    fn a_column_that_goes_leaves_the_others_what_they_were_seen_beside() {
        let mut filter = LevelFilter::new(2);
        filter.start(0.0);
        for minute in 0..60 {
            filter.advance(1.0, &ASSUMED);
            for host in 0..4 {
                let columns =
                    [20, 40].map(|start| f64::from(u8::from(minute >= start + host as i32)));
                let wave = 0.001 * f64::from((minute * 7 + host as i32 * 3) % 5 - 2);
                let value = 0.1 * columns[0] - 0.02 * columns[1] + wave;
                filter.observe((0, host), value, 1e-6, 0.0, &columns);
            }
        }
        let estimate = |filter: &LevelFilter, column: usize, others: &[usize]| {
            let regression = Regression {
                information: filter.information(),
                score: filter.score(),
            };
            regression.given(column, others).unwrap()
        };
        let first = estimate(&filter, 0, &[1]);
        let second = estimate(&filter, 1, &[0]);
        assert!((first.effect - 0.1).abs() < 0.005, "{first:?}");
        assert!((second.effect + 0.02).abs() < 0.005, "{second:?}");
        filter.retire_column(0, first.effect, 1.0);
        let alone = estimate(&filter, 0, &[]);
        assert!(
            (alone.effect - second.effect).abs() < 1e-9,
            "{alone:?} {second:?}"
        );
    }
}
