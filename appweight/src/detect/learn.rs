use foldhash::HashMap;

use super::endpoint::{Cell, Endpoint};
use super::noise::QuietCell;

/// A cluster's minute is a jump that no deploy explains from so many standard errors on.
const JUMP_AT: f64 = 5.0;
/// The least move from one minute to the next that is taken for a jump, in logs.
pub(crate) const LEAST_MOVE: f64 = 0.01;
/// Variance that a level gains at a jump, over the jump's square: so much that nothing else takes a part of it up.
pub(crate) const JUMP_ROOM: f64 = 100.0;

/// A cell that is fit to be learned from.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    pub(crate) cell: Cell,
    /// Log cost, without the usual warm-up.
    pub(crate) value: f64,
    /// Variance of it by its requests alone, and by the host's own warm-up.
    pub(crate) sampling: f64,
    /// The usual warm-up that was taken off.
    pub(crate) warming: f64,
    /// Whether its host runs its deploy for long enough to show a jump.
    pub(crate) is_settled: bool,
    pub(crate) columns: Vec<f64>,
}

/// How far a value is from what the filter expects of it, with the effects that the data demand, and the variance
/// of that expectation.
pub(crate) fn excess(
    endpoint: &mut Endpoint,
    cell: &Cell,
    value: f64,
    columns: &[f64],
) -> Option<(f64, f64)> {
    let innovation = endpoint.filter.expect(cell.cluster, cell.host, value)?;
    let mut excess = innovation.value;
    for &column in &endpoint.chosen {
        let x = columns.get(column).copied().unwrap_or(0.0);
        excess -= endpoint.effects[column]
            * endpoint
                .filter
                .expect_column(column, cell.cluster, cell.host, x);
    }
    Some((excess, innovation.variance))
}

/// A cluster whose level was let go for this minute, since all endpoints jumped or may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Freed {
    pub(crate) cluster: usize,
    /// By how much they jumped, in logs, if that was seen.
    pub(crate) jump: Option<f64>,
}

/// Takes an endpoint's minute up; `is_calm`: no level was let go for it.
pub(crate) fn learn(
    endpoint: &mut Endpoint,
    prepared: Vec<Prepared>,
    minute: i64,
    is_quiet: bool,
    is_calm: bool,
) {
    if prepared.is_empty() {
        return;
    }
    endpoint.note_sides(&prepared);
    let level = prepared.iter().map(|part| part.value).sum::<f64>() / prepared.len() as f64;
    endpoint.filter.start(level);
    let cell = endpoint.learner.noise.cell;
    endpoint.recent.add(minute, &prepared, cell);
    if !is_calm {
        endpoint.learner.interrupt();
    }
    let mut quiet = Vec::new();
    for part in &prepared {
        let cell = &part.cell;
        let place = (cell.cluster, cell.host);
        if is_quiet && is_calm {
            let (offset, offset_variance) = endpoint.filter.host_offset(cell.host);
            // An offset that is hardly known is no measure yet.
            if offset_variance < 1e-3 {
                quiet.push(QuietCell {
                    cluster: cell.cluster,
                    host: cell.host,
                    deploy: cell.deploy,
                    value: part.value,
                    sampling: part.sampling,
                    offset,
                });
            }
        }
        let noise = part.sampling + endpoint.learner.noise.cell;
        let filter = &mut endpoint.filter;
        filter.observe(place, part.value, noise, part.warming, &part.columns);
    }
    endpoint.learner.add_minute(minute, &quiet);
    endpoint.previous = Some((minute, prepared));
}

/// By how much clusters jumped in a minute that cannot be explained: an incident begins or ends. Where all endpoints jumped
/// together, it is what this one did beyond that.
pub(crate) fn find_jumps(
    endpoint: &mut Endpoint,
    prepared: &[Prepared],
    minute: i64,
    freed: &[Freed],
) -> Vec<(usize, f64)> {
    let mut jumps = Vec::new();
    for (cluster, moved) in moves(endpoint, prepared, minute).into_iter().enumerate() {
        let is_jump =
            |(by, variance): &(f64, f64)| by.abs() > (JUMP_AT * variance.sqrt()).max(LEAST_MOVE);
        let jump = match freed.iter().find(|freed| freed.cluster == cluster) {
            Some(freed) => moved.zip(freed.jump).and_then(|((by, variance), all)| {
                let own = (beyond(by, all), variance);
                is_jump(&own).then_some(own.0)
            }),
            None => match moved.filter(is_jump) {
                Some((by, _)) => Some(by),
                None => unexpected(endpoint, prepared, cluster),
            },
        };
        jumps.extend(jump.map(|jump| (cluster, jump)));
    }
    jumps
}

/// How much further than all endpoints one moved: what stayed where it was did not jump the other way.
fn beyond(by: f64, all: f64) -> f64 {
    let own = by - all;
    if own * by <= 0.0 {
        0.0
    } else if own.abs() < by.abs() {
        own
    } else {
        by
    }
}

/// Lets clusters' levels go where they jumped, which no deploy is charged with.
pub(crate) fn let_go(
    endpoint: &mut Endpoint,
    jumps: &[(usize, f64)],
    clusters: usize,
    minute: i64,
) {
    for &(cluster, jump) in jumps {
        let variance = JUMP_ROOM * jump * jump;
        endpoint.filter.loosen_cluster(cluster, variance);
    }
    endpoint.note_own_jumps(jumps, clusters, minute);
}

/// How far a cluster is from what is expected, if that cannot be chance.
fn unexpected(endpoint: &mut Endpoint, prepared: &[Prepared], cluster: usize) -> Option<f64> {
    let noise = endpoint.learner.noise;
    let (mut sum, mut precision, mut expectation, mut count) = (0.0, 0.0, 0.0_f64, 0.0);
    for part in prepared {
        if part.cell.cluster != cluster || !part.is_settled {
            continue;
        }
        if let Some((excess, variance)) = excess(endpoint, &part.cell, part.value, &part.columns) {
            let weight = 1.0 / (part.sampling + noise.cell);
            sum += weight * excess;
            precision += weight;
            expectation += variance;
            count += 1.0;
        }
    }
    if count <= 0.0 {
        return None;
    }
    let jump = sum / precision;
    let variance = 1.0 / precision + expectation / count + noise.shock;
    (jump.abs() > JUMP_AT * variance.sqrt()).then_some(jump)
}

/// By cluster: how far its hosts moved since the minute before, and the variance of that. Only hosts count that ran the
/// same deploy in both, so that neither a deploy nor a restart can move them; one that is warming up counts by what it
/// has beyond that.
pub(crate) fn moves(
    endpoint: &Endpoint,
    prepared: &[Prepared],
    minute: i64,
) -> Vec<Option<(f64, f64)>> {
    let clusters = prepared.iter().map(|part| part.cell.cluster + 1).max();
    let mut sums = vec![(0.0, 0.0); clusters.unwrap_or(0)];
    let noise = &endpoint.learner.noise;
    let own = |part: &Prepared| {
        let effect = |column: &usize| {
            endpoint.effects[*column] * part.columns.get(*column).copied().unwrap_or(0.0)
        };
        part.value - endpoint.chosen.iter().map(effect).sum::<f64>()
    };
    if let Some((last, before)) = &endpoint.previous
        && last + 1 == minute
    {
        let mut of_host: Vec<Option<&Prepared>> = Vec::new();
        for part in before {
            if of_host.len() <= part.cell.host {
                of_host.resize(part.cell.host + 1, None);
            }
            of_host[part.cell.host] = Some(part);
        }
        for part in prepared {
            let Some(Some(before)) = of_host.get(part.cell.host) else {
                continue;
            };
            if before.cell.deploy == part.cell.deploy {
                let weight = 1.0 / (part.sampling + before.sampling + 2.0 * noise.cell);
                let sum: &mut (f64, f64) = &mut sums[part.cell.cluster];
                sum.0 += weight * (own(part) - own(before));
                sum.1 += weight;
            }
        }
    }
    sums.iter()
        .map(|(sum, weight)| {
            (*weight > 0.0).then(|| (sum / weight, 1.0 / weight + 2.0 * noise.shock))
        })
        .collect()
}

#[derive(Debug, Clone, Default)]
struct TotalCell {
    weight: f64,
    sum: f64,
    square_weight: f64,
    warming: f64,
    is_settled: bool,
    columns: Vec<f64>,
}

/// A service's cells: by cluster, host and deploy, the cost-weighted mean of how far each endpoint is from its
/// usual log cost. What users ask for more often moves the weights alone, not the mean, as long as nothing costs more.
#[derive(Debug, Clone, Default)]
pub(crate) struct TotalCells {
    /// By cluster, host and deploy.
    cells: HashMap<(usize, usize, usize), TotalCell>,
    /// By cluster: jumps of single endpoints × their weight.
    jumps: HashMap<usize, f64>,
}

/// What the service's line learns from in a minute.
#[derive(Debug, Clone)]
pub(crate) struct Total {
    pub(crate) prepared: Vec<Prepared>,
    /// By cluster: how far jumps of single endpoints moved the line, where there were any.
    pub(crate) shares: Vec<(usize, f64)>,
}

impl TotalCells {
    pub(crate) fn add(&mut self, endpoint: &Endpoint, prepared: &[Prepared]) {
        let Some((usual_log, usual_cost)) = endpoint.usual() else {
            return;
        };
        let noise = &endpoint.learner.noise;
        for part in prepared {
            let cell = &part.cell;
            let key = (cell.cluster, cell.host, cell.deploy);
            let weight = cell.n * usual_cost;
            let total = self.cells.entry(key).or_default();
            if total.columns.is_empty() {
                total.is_settled = part.is_settled;
                total.columns = vec![0.0; part.columns.len()];
            }
            total.weight += weight;
            total.sum += weight * (part.value - usual_log);
            total.warming += weight * part.warming;
            total.square_weight += weight * weight * (part.sampling + noise.cell + noise.shock);
            for (sum, value) in total.columns.iter_mut().zip(&part.columns) {
                *sum += weight * value;
            }
        }
    }

    /// An endpoint's jumps move the line by its part of the weight, which may be too little for the line to show.
    pub(crate) fn add_jumps(
        &mut self,
        endpoint: &Endpoint,
        prepared: &[Prepared],
        jumps: &[(usize, f64)],
    ) {
        let Some((_, usual_cost)) = endpoint.usual() else {
            return;
        };
        for &(cluster, jump) in jumps {
            let cells = prepared.iter().map(|part| &part.cell);
            let requests: f64 = cells
                .filter(|cell| cell.cluster == cluster)
                .map(|cell| cell.n)
                .sum();
            *self.jumps.entry(cluster).or_default() += requests * usual_cost * jump;
        }
    }

    /// All cells, as if they were of one endpoint; `None` if there are none.
    pub(crate) fn prepared(self) -> Option<Total> {
        let mut weights: HashMap<usize, f64> = HashMap::default();
        let mut keys: Vec<(usize, usize, usize)> = self.cells.keys().copied().collect();
        keys.sort_unstable();
        let mut prepared = Vec::with_capacity(keys.len());
        for key in keys {
            let (cluster, host, deploy) = key;
            let total = &self.cells[&key];
            *weights.entry(cluster).or_default() += total.weight;
            prepared.push(Prepared {
                cell: Cell {
                    endpoint: usize::MAX,
                    cluster,
                    host,
                    deploy,
                    n: 1.0,
                    sum: 1.0,
                    sum_log: 0.0,
                    sum_square_log: 0.0,
                    spent: 0.0,
                },
                value: total.sum / total.weight,
                sampling: total.square_weight / (total.weight * total.weight),
                warming: total.warming / total.weight,
                is_settled: total.is_settled,
                columns: total.columns.iter().map(|sum| sum / total.weight).collect(),
            });
        }
        let mut jumps: Vec<(usize, f64)> = self.jumps.into_iter().collect();
        jumps.sort_unstable_by_key(|(cluster, _)| *cluster);
        let shares = jumps.into_iter();
        let shares = shares.map(|(cluster, jump)| (cluster, jump / weights[&cluster]));
        (!prepared.is_empty()).then_some(Total {
            shares: shares.collect(),
            prepared,
        })
    }
}
