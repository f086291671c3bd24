//! How much an endpoint's cost moves of its own accord.

/// Variances, of log cost, that no number of requests averages away. Those of a walk are per minute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Noise {
    /// Of one request.
    pub(crate) request: f64,
    /// Of what moves one host in one minute.
    pub(crate) cell: f64,
    /// Of what moves all hosts in one minute.
    pub(crate) shock: f64,
    /// Of the level's walk.
    pub(crate) level: f64,
    /// Of the level's slope, a minute: how steep it usually is, not by how much that changes.
    pub(crate) slope: f64,
    /// Of a cluster's walk about the level.
    pub(crate) cluster: f64,
    /// Of a host's walk about its cluster.
    pub(crate) host: f64,
    /// Of what a restart changes in a host.
    pub(crate) restart: f64,
}

/// What is assumed before there are data: a tenth or two of a per cent each, and slopes of 0.6 % in an hour.
pub(crate) const ASSUMED: Noise = Noise {
    request: 1.0,
    cell: 4e-6,
    shock: 4e-6,
    level: 1e-8,
    slope: 1e-8,
    cluster: 1e-9,
    host: 1e-9,
    restart: 1e-6,
};

/// A variance from squares that exceed what sampling explains: method of moments, each square weighted by its precision
/// (as DerSimonian and Laird 1986 do for studies).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Excess {
    sum: f64,
    precision: f64,
}

impl Excess {
    /// A square whose expectation is `sampling` + `coefficient` × the variance sought.
    fn add(&mut self, square: f64, sampling: f64, coefficient: f64, deviation: f64) {
        // One spike must not set the noise of a day.
        let square = square.min(sampling + 5.0 * deviation);
        let weight = coefficient / (deviation * deviation);
        if weight.is_finite() {
            self.sum += weight * (square - sampling);
            self.precision += weight * coefficient;
        }
    }

    fn absorb(&mut self, other: &Self) {
        self.sum += other.sum;
        self.precision += other.precision;
    }

    /// The variance, drawn towards a prior that is worth an estimate with a standard error of its own size.
    fn estimate(&self, prior: f64) -> f64 {
        let worth = 1.0 / (prior * prior);
        ((self.sum + worth * prior) / (self.precision + worth)).max(prior * FLOOR)
    }
}

/// No variance is taken for less than this share of what is usual: an estimate of zero is luck.
const FLOOR: f64 = 0.05;
/// A slope is learned from where at least this share of it is known from data.
const LEAST_KNOWN: f64 = 0.05;
/// How many of the slopes that are learned from tell the same.
const SLOPES_ALIKE: f64 = 8.0;
/// Minutes of a block, and what a walk of variance 1 per minute gives the differences of blocks' means.
const BLOCK: usize = 5;
const SECOND_DIFFERENCE_OF_WALK: f64 = 5.2;
const FIRST_DIFFERENCE_OF_WALK: f64 = 3.4;

/// Excess squares of all kinds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Excesses {
    cell: Excess,
    shock: Excess,
    level: Excess,
    slope: Excess,
    cluster: Excess,
    host: Excess,
    restart: Excess,
}

impl Excesses {
    pub(crate) fn absorb(&mut self, other: &Self) {
        self.cell.absorb(&other.cell);
        self.shock.absorb(&other.shock);
        self.level.absorb(&other.level);
        self.slope.absorb(&other.slope);
        self.cluster.absorb(&other.cluster);
        self.host.absorb(&other.host);
        self.restart.absorb(&other.restart);
    }

    /// The variances, with others as prior.
    fn noise(&self, prior: &Noise) -> Noise {
        Noise {
            request: prior.request,
            cell: self.cell.estimate(prior.cell),
            shock: self.shock.estimate(prior.shock),
            level: self.level.estimate(prior.level),
            slope: self.slope.estimate(prior.slope),
            cluster: self.cluster.estimate(prior.cluster),
            host: self.host.estimate(prior.host),
            restart: self.restart.estimate(prior.restart),
        }
    }

    /// What is usual among the endpoints that these squares are of.
    pub(crate) fn usual(&self) -> Noise {
        self.noise(&ASSUMED)
    }
}

/// One host's part of a quiet minute.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QuietCell {
    pub(crate) cluster: usize,
    pub(crate) host: usize,
    pub(crate) deploy: usize,
    /// Log cost.
    pub(crate) value: f64,
    /// Variance of it by its requests alone.
    pub(crate) sampling: f64,
    /// The filter's offset of the host.
    pub(crate) offset: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    sum: f64,
    weight: f64,
}

impl Mean {
    fn add(&mut self, value: f64, weight: f64) {
        self.sum += value * weight;
        self.weight += weight;
    }

    fn value(&self) -> f64 {
        self.sum / self.weight
    }
}

#[derive(Debug, Clone, Copy)]
struct Block {
    mean: f64,
    sampling: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct HostBlock {
    current: Mean,
    deploy: usize,
    /// Mean, its variance, the deploy that ran, the minute it ended.
    last: Option<(f64, f64, usize, i64)>,
}

/// A cluster's distance from the mean of clusters: in this block, its sampling variance, and the last block's mean and variance.
type ClusterBlock = (Mean, f64, Option<(f64, f64)>);

/// Learns an endpoint's noise from minutes in which all hosts ran one deploy and had run it for a while.
#[derive(Debug, Clone)]
pub(crate) struct NoiseLearner {
    pub(crate) excesses: Excesses,
    pub(crate) noise: Noise,
    log_squares: Mean,
    /// Hosts' offsets as they were when first used: a fixed measure, so that differences are the hosts' own.
    offsets: Vec<f64>,
    last_minute: Option<(i64, f64, f64)>,
    minutes: Vec<(f64, f64)>,
    blocks: Vec<Block>,
    cluster_minutes: Vec<ClusterBlock>,
    hosts: Vec<HostBlock>,
}

impl NoiseLearner {
    pub(crate) fn new() -> Self {
        Self {
            excesses: Excesses::default(),
            noise: ASSUMED,
            log_squares: Mean::default(),
            offsets: Vec::new(),
            last_minute: None,
            minutes: Vec::new(),
            blocks: Vec::new(),
            cluster_minutes: Vec::new(),
            hosts: Vec::new(),
        }
    }

    /// The spread of requests within cells.
    pub(crate) fn add_requests(&mut self, n: f64, sum_log: f64, sum_square_log: f64) {
        if n >= 2.0 {
            let within = (sum_square_log - sum_log * sum_log / n).max(0.0);
            self.log_squares.add(within / (n - 1.0), n - 1.0);
            self.noise.request = self.log_squares.value().max(1e-8);
        }
    }

    /// Learns from a slope and its variance, as the filter has them: a share 1 − `variance` / prior of what it knows of the slope comes from data.
    ///
    /// That share s makes the slope s × (true slope + error), where the error's variance is prior × (1 − s) / s.
    pub(crate) fn add_slope(&mut self, slope: f64, variance: f64) {
        let prior = self.noise.slope;
        let share = 1.0 - variance / prior;
        if share > LEAST_KNOWN {
            let square = (slope / share).powi(2);
            let error = prior * (1.0 - share) / share;
            // Slopes that are half an hour apart are much the same: one in eight counts.
            let deviation = (2.0_f64 * SLOPES_ALIKE).sqrt() * prior / share;
            self.excesses.slope.add(square, error, 1.0, deviation);
        }
    }

    /// Takes what has been learned so far into use.
    pub(crate) fn settle(&mut self, usual: &Noise) {
        let request = self.noise.request;
        self.noise = Noise {
            request,
            ..self.excesses.noise(usual)
        };
    }

    /// A roll-out begins, or something else that makes minutes no longer comparable one with the next.
    pub(crate) fn interrupt(&mut self) {
        self.last_minute = None;
        self.minutes.clear();
        self.blocks.clear();
        for cluster in &mut self.cluster_minutes {
            *cluster = (Mean::default(), 0.0, None);
        }
        for host in &mut self.hosts {
            host.current = Mean::default();
        }
    }

    /// Learns from a quiet minute.
    pub(crate) fn add_minute(&mut self, minute: i64, cells: &[QuietCell]) {
        if cells.is_empty() {
            return;
        }
        if self
            .last_minute
            .is_some_and(|(last, ..)| last + 1 != minute)
        {
            self.interrupt();
        }
        for cell in cells {
            if self.offsets.len() <= cell.host {
                self.offsets.resize(cell.host + 1, f64::NAN);
                self.hosts.resize(cell.host + 1, HostBlock::default());
            }
            if self.offsets[cell.host].is_nan() {
                self.offsets[cell.host] = cell.offset;
            }
        }
        let clusters = cells.iter().map(|cell| cell.cluster).max().unwrap_or(0) + 1;
        let mut means = Vec::with_capacity(clusters);
        for cluster in 0..clusters {
            means.push(self.add_cluster(cluster, cells));
        }
        let present: Vec<(usize, f64, f64)> = means
            .iter()
            .enumerate()
            .filter_map(|(at, mean)| mean.map(|(value, sampling)| (at, value, sampling)))
            .collect();
        if present.is_empty() {
            return;
        }
        let count = present.len() as f64;
        let mean = present.iter().map(|(_, value, _)| value).sum::<f64>() / count;
        let sampling = present.iter().map(|(.., sampling)| sampling).sum::<f64>() / count / count;
        self.add_common(minute, mean, sampling, present.len() == clusters);
        if present.len() == clusters && clusters > 1 {
            self.add_clusters(&present, mean);
        }
        let is_full = self.minutes.len() == BLOCK;
        if is_full {
            self.close_block(minute);
        }
    }

    fn add_cluster(&mut self, cluster: usize, cells: &[QuietCell]) -> Option<(f64, f64)> {
        let of_cluster = || cells.iter().filter(|cell| cell.cluster == cluster);
        let mut mean = Mean::default();
        for cell in of_cluster() {
            mean.add(
                cell.value - self.offsets[cell.host],
                1.0 / (cell.sampling + self.noise.cell),
            );
        }
        if mean.weight <= 0.0 {
            return None;
        }
        let (mut squares, mut weights, mut square_weights, mut count) = (0.0, 0.0, 0.0, 0.0);
        let mut bare = Mean::default();
        for cell in of_cluster() {
            bare.add(cell.value - cell.offset, 1.0 / cell.sampling);
        }
        for cell in of_cluster() {
            let weight = 1.0 / cell.sampling;
            squares += weight * (cell.value - cell.offset - bare.value()).powi(2);
            weights += weight;
            square_weights += weight * weight;
            count += 1.0;
            let host = &mut self.hosts[cell.host];
            host.current.add(
                cell.value - self.offsets[cell.host] - mean.value(),
                1.0 / (cell.sampling + self.noise.cell),
            );
            host.deploy = cell.deploy;
        }
        if count >= 3.0 {
            let coefficient = weights - square_weights / weights;
            let usual = count - 1.0 + coefficient * self.noise.cell;
            self.excesses.cell.add(
                squares,
                count - 1.0,
                coefficient,
                usual * (2.0 / (count - 1.0)).sqrt(),
            );
        }
        Some((mean.value(), 1.0 / mean.weight))
    }

    fn add_common(&mut self, minute: i64, mean: f64, sampling: f64, is_whole: bool) {
        if let Some((_, last, last_sampling)) = self.last_minute {
            let expected = sampling + last_sampling + self.noise.level;
            let usual = expected + 2.0 * self.noise.shock;
            self.excesses
                .shock
                .add((mean - last).powi(2), expected, 2.0, usual * 2.0_f64.sqrt());
        }
        self.last_minute = Some((minute, mean, sampling));
        if is_whole {
            self.minutes.push((mean, sampling));
        } else {
            self.minutes.clear();
            self.blocks.clear();
        }
    }

    fn add_clusters(&mut self, present: &[(usize, f64, f64)], mean: f64) {
        if self.cluster_minutes.len() < present.len() {
            self.cluster_minutes
                .resize(present.len(), (Mean::default(), 0.0, None));
        }
        for &(cluster, value, sampling) in present {
            let entry = &mut self.cluster_minutes[cluster];
            entry.0.add(value - mean, 1.0);
            entry.1 += sampling;
        }
    }

    fn close_block(&mut self, minute: i64) {
        let size = BLOCK as f64;
        let block = Block {
            mean: self.minutes.iter().map(|(mean, _)| mean).sum::<f64>() / size,
            sampling: self
                .minutes
                .iter()
                .map(|(_, sampling)| sampling)
                .sum::<f64>()
                / size
                / size,
        };
        self.minutes.clear();
        self.blocks.push(block);
        if let [.., a, b, c] = self.blocks[..] {
            let expected =
                a.sampling + 4.0 * b.sampling + c.sampling + 6.0 / size * self.noise.shock;
            let usual = expected + SECOND_DIFFERENCE_OF_WALK * self.noise.level;
            self.excesses.level.add(
                (a.mean - 2.0 * b.mean + c.mean).powi(2),
                expected,
                SECOND_DIFFERENCE_OF_WALK,
                usual * 2.0_f64.sqrt(),
            );
        }
        let clusters = self.cluster_minutes.len() as f64;
        for (mean, sampling, last) in &mut self.cluster_minutes {
            if mean.weight == size {
                let share = 1.0 - 1.0 / clusters;
                let (value, variance) = (mean.value(), *sampling / size / size * share);
                if let Some((last, last_variance)) = *last {
                    let expected = variance + last_variance;
                    let coefficient = FIRST_DIFFERENCE_OF_WALK * share;
                    let usual = expected + coefficient * self.noise.cluster;
                    self.excesses.cluster.add(
                        (value - last).powi(2),
                        expected,
                        coefficient,
                        usual * 2.0_f64.sqrt(),
                    );
                }
                *last = Some((value, variance));
            }
            (*mean, *sampling) = (Mean::default(), 0.0);
        }
        self.close_host_blocks(minute);
    }

    fn close_host_blocks(&mut self, minute: i64) {
        for host in &mut self.hosts {
            if host.current.weight <= 0.0 {
                continue;
            }
            let (value, variance) = (host.current.value(), 1.0 / host.current.weight);
            if let Some((last, last_variance, deploy, ended)) = host.last {
                let sampling = variance + last_variance;
                let square = (value - last).powi(2);
                if deploy == host.deploy && ended + BLOCK as i64 == minute {
                    let usual = sampling + FIRST_DIFFERENCE_OF_WALK * self.noise.host;
                    self.excesses.host.add(
                        square,
                        sampling,
                        FIRST_DIFFERENCE_OF_WALK,
                        usual * 2.0_f64.sqrt(),
                    );
                } else if deploy != host.deploy {
                    let walked = self.noise.host * (minute - ended) as f64;
                    let usual = sampling + walked + self.noise.restart;
                    self.excesses.restart.add(
                        square,
                        sampling + walked,
                        1.0,
                        usual * 2.0_f64.sqrt(),
                    );
                }
            }
            host.last = Some((value, variance, host.deploy, minute));
            host.current = Mean::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_learned_from_quiet_minutes() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut normal = || (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
        let (cell, shock, sampling) = (9e-6_f64, 1.6e-5_f64, 4e-6_f64);
        let mut learner = NoiseLearner::new();
        for minute in 0..3000 {
            let common = shock.sqrt() * normal();
            let cells: Vec<QuietCell> = (0..16)
                .map(|host| QuietCell {
                    cluster: host / 8,
                    host,
                    deploy: 0,
                    value: common + (cell + sampling).sqrt() * normal(),
                    sampling,
                    offset: 0.0,
                })
                .collect();
            learner.add_minute(minute, &cells);
            learner.settle(&ASSUMED);
        }
        let noise = learner.noise;
        assert!((noise.cell / cell - 1.0).abs() < 0.1, "{noise:?}");
        assert!((noise.shock / shock - 1.0).abs() < 0.1, "{noise:?}");
        assert!(noise.level < 1e-7 && noise.host < 1e-7, "{noise:?}");
    }
}
