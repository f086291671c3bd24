mod summary;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use super::plan::{Plan, RollOut};
use super::power::Power;
use super::shape::Shape;
use super::simulation::Simulation;
use super::traps::Trap;
use super::truth::Cause;
use crate::detect::{Detector, Ruling, VerdictLine};

/// Minutes before and after a roll-out that the oracle uses.
const ORACLE_MINUTES: i64 = 30;
/// Changes of so many of the oracle's standard errors are to be found.
const DETECTABLE_FROM: f64 = 4.0;
/// A change of all endpoints from which on the service's own line should tell it.
const SERVICE_CHANGE: f64 = 0.02;

/// What a detector made of simulated days. Counts, so that scores of several seeds add up.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Score {
    /// Days simulated.
    pub days: f64,
    /// Planted changes of one endpoint.
    pub planted: usize,
    /// Of these, found.
    pub planted_found: usize,
    /// Planted changes of four or more standard errors of an oracle.
    pub detectable: usize,
    /// Of these, found.
    pub found: usize,
    /// Of the detectable ones, those whose deploy was called for that endpoint and no other.
    pub found_alone: usize,
    /// Pairs of deploy and endpoint that nothing changed.
    pub clean_pairs: usize,
    /// Of these, standing as changed in the end.
    pub false_alarms: usize,
    /// Of these, called changed at some time.
    pub ever_false: usize,
    /// Deploys that changed nothing.
    pub clean_deploys: usize,
    /// Of these, with any endpoint standing as changed.
    pub clean_deploys_alarmed: usize,
    /// Deploys that changed nothing whose service's line stands as changed.
    pub service_false_alarms: usize,
    /// Changes of all endpoints by 2 % or more.
    pub service_changes: usize,
    /// Of these, called on the service's line.
    pub service_found: usize,
    /// Pairs that have an interval.
    pub intervals: usize,
    /// Of these, whose interval holds the truth.
    pub covered: usize,
    /// Alarmed pairs with an interval.
    pub alarmed_intervals: usize,
    /// Of these, whose interval holds the truth.
    pub alarmed_covered: usize,
    /// Mean widths, in logs, of intervals, and of the oracle's: sums over pairs that have both.
    pub widths: (f64, f64),
    /// Minutes from a roll-out's start to the first alarm, of what was found.
    pub minutes: Vec<i64>,
    /// Flags' changes of four or more of the detector's own standard errors.
    pub flag_changes: usize,
    /// Of these, found.
    pub flags_found: usize,
    /// Pairs of flag and endpoint that nothing changed.
    pub clean_flag_pairs: usize,
    /// Of these, called changed.
    pub flag_false_alarms: usize,
    /// By trap: clean pairs that it is near, those of them that stand as changed, and deploys with one that stands as regressed.
    pub traps: BTreeMap<Trap, [usize; 3]>,
    /// What was wrong, one sentence each.
    pub mistakes: Vec<String>,
    /// What could be seen, by endpoint.
    pub power: Power,
    /// Every pair of deploy and endpoint.
    pub pairs: Vec<ScoredPair>,
}

/// A pair of deploy and endpoint: what is true of it and what was said in the end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoredPair {
    /// The first minute of the roll-out.
    pub start: i64,
    /// What the deploy did to the endpoint, in logs.
    pub effect: f64,
    /// Whether it did so to this endpoint and not to all.
    pub is_planted: bool,
    /// The oracle's standard error, in logs.
    pub oracle_error: f64,
    /// The ends of the 95 % interval, in logs, if there is one.
    pub interval: Option<(f64, f64)>,
    /// What was said.
    pub ruling: Ruling,
    /// When it was first called changed.
    pub called: Option<i64>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    old: f64,
    old_cells: f64,
    new: f64,
    new_cells: f64,
}

/// Simulates a day or more and scores the detector's verdicts against the truth.
#[must_use]
pub fn score(shape: &Shape, seed: u64, days: u32) -> Score {
    let mut simulation = Simulation::new(shape, seed, days);
    let (mut detector, mut power) = (Detector::new(), Power::default());
    for line in simulation.deploy_lines() {
        power.note_deploy(&line);
        detector.add_deploy(line);
    }
    let deploys = simulation.plan.deploys.clone();
    let endpoints = simulation.plan.endpoints.clone();
    let number: BTreeMap<&str, usize> = deploys
        .iter()
        .enumerate()
        .map(|(at, deploy)| (deploy.name.as_str(), at))
        .collect();
    let endpoint_number: BTreeMap<&str, usize> = endpoints
        .iter()
        .enumerate()
        .map(|(at, name)| (name.as_str(), at))
        .collect();
    let host_number: BTreeMap<String, usize> = simulation
        .plan
        .hosts
        .iter()
        .enumerate()
        .map(|(at, name)| (name.clone(), at))
        .collect();
    let mut counted = vec![vec![Counted::default(); endpoints.len()]; deploys.len()];
    let mut told: Vec<VerdictLine> = Vec::new();
    let warm = shape.warm_up_minutes * (shape.warm_up / 0.0005).ln();
    let mut minute = simulation.plan.start;
    while simulation.next_minute(&mut |cell| {
        // What the simulation writes is sound.
        told.extend(detector.add_cell(cell).unwrap_or_default());
        power.note_cell(cell);
        let (Some(&deploy), Some(&endpoint), Some(&host)) = (
            number.get(cell.deploy.as_ref()),
            endpoint_number.get(cell.endpoint.as_ref()),
            host_number.get(cell.host.as_ref()),
        ) else {
            return;
        };
        let of = &deploys[deploy];
        let age = (cell.minute - of.restarts[host]) as f64;
        if age >= warm && cell.minute <= of.end + ORACLE_MINUTES {
            counted[deploy][endpoint].new += cell.n;
            counted[deploy][endpoint].new_cells += 1.0;
        }
        if deploys
            .get(deploy + 1)
            .is_some_and(|next| cell.minute >= next.start - ORACLE_MINUTES)
        {
            counted[deploy + 1][endpoint].old += cell.n;
            counted[deploy + 1][endpoint].old_cells += 1.0;
        }
    }) {
        minute += 1;
        // The detector has closed the minute before this one.
        power.look(&detector, minute - 2);
    }
    told.extend(detector.finish());

    let mut score = Score {
        days: f64::from(days),
        power,
        ..Score::default()
    };
    score_deploys(&simulation, &told, &counted, &mut score);
    score_flags(&simulation, &told, &mut score);
    score
}

fn is_alarm(line: &VerdictLine) -> bool {
    matches!(line.verdict, Ruling::Regressed | Ruling::Improved)
}

fn score_deploys(
    simulation: &Simulation,
    told: &[VerdictLine],
    counted: &[Vec<Counted>],
    score: &mut Score,
) {
    let plan = &simulation.plan;
    let shape = &plan.shape;
    let mut last: BTreeMap<(&str, Option<&str>), &VerdictLine> = BTreeMap::new();
    let mut first: BTreeMap<(&str, Option<&str>), i64> = BTreeMap::new();
    for line in told {
        if let Some(deploy) = line.deploy.as_deref() {
            let key = (deploy, line.endpoint.as_deref());
            last.insert(key, line);
            if is_alarm(line) {
                first.entry(key).or_insert(line.at_minute);
            }
        }
    }
    for (at, deploy) in plan.deploys.iter().enumerate().skip(1) {
        let name = deploy.name.as_str();
        let changed: BTreeSet<usize> = (0..plan.endpoints.len())
            .filter(|endpoint| deploy.effects[*endpoint] != 0.0)
            .collect();
        let all_changed = changed.len() == plan.endpoints.len();
        let standing = |is: fn(&VerdictLine) -> bool| -> BTreeSet<usize> {
            let line = |at: &usize| last.get(&(name, Some(plan.endpoints[*at].as_str())));
            let endpoints = 0..plan.endpoints.len();
            endpoints
                .filter(|at| line(at).is_some_and(|line| is(line)))
                .collect()
        };
        let called = standing(is_alarm);
        let regressed = standing(|line| line.verdict == Ruling::Regressed);
        score_traps(plan, at, &called, &regressed, &mut score.traps);
        let service = last.get(&(name, None)).filter(|line| is_alarm(line));
        if changed.is_empty() {
            score.clean_deploys += 1;
            score.clean_deploys_alarmed += usize::from(!called.is_empty());
            score.service_false_alarms += usize::from(service.is_some());
            if let Some(line) = service {
                score
                    .mistakes
                    .push(format!("{name} service {}", figures(line)));
            }
        }
        if all_changed && deploy.effects[0].exp_m1().abs() >= SERVICE_CHANGE {
            score.service_changes += 1;
            score.service_found += usize::from(service.is_some());
        }
        for (endpoint, counted) in counted[at].iter().copied().enumerate() {
            let key = (name, Some(plan.endpoints[endpoint].as_str()));
            let effect = deploy.effects[endpoint];
            let line = last.get(&key).copied();
            let oracle = oracle_error(
                plan.spreads[endpoint].log_variance(),
                counted,
                shape,
                deploy.roll_out,
            );
            let alarmed = line.filter(|line| is_alarm(line));
            let interval = line.and_then(|line| line.low.zip(line.high));
            score.pairs.push(ScoredPair {
                start: deploy.start,
                effect,
                is_planted: effect != 0.0 && !all_changed,
                oracle_error: oracle,
                interval: interval.map(|(low, high)| (low.ln_1p(), high.ln_1p())),
                ruling: line.map_or(Ruling::NoData, |line| line.verdict),
                called: first.get(&key).copied(),
            });
            if let Some((low, high)) = interval {
                let holds = low <= effect.exp_m1() && effect.exp_m1() <= high;
                score.intervals += 1;
                score.covered += usize::from(holds);
                if alarmed.is_some() {
                    score.alarmed_intervals += 1;
                    score.alarmed_covered += usize::from(holds);
                }
                if oracle.is_finite() {
                    score.widths.0 += high.ln_1p() - low.ln_1p();
                    score.widths.1 += 2.0 * 1.96 * oracle;
                }
            }
            if effect == 0.0 {
                score.clean_pairs += 1;
                score.ever_false += usize::from(first.contains_key(&key));
                if let Some(line) = alarmed {
                    score.false_alarms += 1;
                    score.mistakes.push(format!(
                        "{name} {:?} {} {}: false, oracle's error {:.3} %, first after {} minutes",
                        deploy.roll_out,
                        plan.endpoints[endpoint],
                        figures(line),
                        100.0 * oracle,
                        first.get(&key).map_or(0, |minute| minute - deploy.start)
                    ));
                }
            } else if !all_changed {
                let is_found =
                    alarmed.is_some_and(|line| line.effect.unwrap_or(0.0) * effect > 0.0);
                score.planted += 1;
                score.planted_found += usize::from(is_found);
                if effect.abs() >= DETECTABLE_FROM * oracle {
                    score.detectable += 1;
                    score.found += usize::from(is_found);
                    score.found_alone += usize::from(is_found && called.len() == 1);
                    if is_found {
                        score
                            .minutes
                            .extend(first.get(&key).map(|minute| minute - deploy.start));
                    } else {
                        score.mistakes.push(format!(
                            "{name} {:?} {} {:+.2} %: missed, oracle's error {:.3} %, {}",
                            deploy.roll_out,
                            plan.endpoints[endpoint],
                            100.0 * effect.exp_m1(),
                            100.0 * oracle,
                            line.map_or("no line".to_owned(), figures)
                        ));
                    }
                }
            }
        }
    }
}

/// Counts a deploy's clean pairs by the traps that are near them.
fn score_traps(
    plan: &Plan,
    deploy: usize,
    called: &BTreeSet<usize>,
    regressed: &BTreeSet<usize>,
    traps: &mut BTreeMap<Trap, [usize; 3]>,
) {
    let effects = &plan.deploys[deploy].effects;
    let mut fell_into: BTreeSet<Trap> = BTreeSet::new();
    for endpoint in (0..plan.endpoints.len()).filter(|endpoint| effects[*endpoint] == 0.0) {
        for trap in Trap::near(plan, deploy, endpoint) {
            let counts = traps.entry(trap).or_default();
            counts[0] += 1;
            counts[1] += usize::from(called.contains(&endpoint));
            if regressed.contains(&endpoint) {
                fell_into.insert(trap);
            }
        }
    }
    for trap in fell_into {
        traps.entry(trap).or_default()[2] += 1;
    }
}

fn figures(line: &VerdictLine) -> String {
    let percent =
        |value: Option<f64>| value.map_or("?".to_owned(), |value| format!("{:+.2}", 100.0 * value));
    format!(
        "{:?} {} [{}, {}] ({})",
        line.verdict,
        percent(line.effect),
        percent(line.low),
        percent(line.high),
        line.checks.join("; ")
    )
}

/// The standard error of one who knows the noise, the hosts' speeds, the day's shape and every other change.
fn oracle_error(log_variance: f64, counted: Counted, shape: &Shape, roll_out: RollOut) -> f64 {
    let requests = log_variance * (1.0 / counted.old + 1.0 / counted.new);
    let cells =
        shape.host_minute_shock.powi(2) * (1.0 / counted.old_cells + 1.0 / counted.new_cells);
    let restarts = 2.0 * shape.restart_spread.powi(2) / shape.hosts() as f64;
    let shocks = match roll_out {
        RollOut::HostByHost => 0.0,
        RollOut::ClusterByCluster | RollOut::Instant => {
            2.0 * shape.minute_shock.powi(2) / ORACLE_MINUTES as f64
        }
    };
    (requests + cells + restarts + shocks).sqrt()
}

fn score_flags(simulation: &Simulation, told: &[VerdictLine], score: &mut Score) {
    let plan = &simulation.plan;
    let mut last: BTreeMap<(&str, &str), &VerdictLine> = BTreeMap::new();
    for line in told {
        if let (Some(flag), Some(endpoint)) = (line.flag.as_deref(), line.endpoint.as_deref()) {
            last.insert((flag, endpoint), line);
        }
    }
    for ((flag, endpoint), line) in last {
        let truth = plan.truth.iter().find(|truth| {
            truth.cause == Cause::Flag
                && truth.flag.as_deref() == Some(flag)
                && truth.endpoint.as_deref() == Some(endpoint)
        });
        let Some((low, high)) = line.low.zip(line.high) else {
            continue;
        };
        match truth {
            Some(truth) => {
                let error = (high.ln_1p() - low.ln_1p()) / 3.92;
                if truth.effect.ln_1p().abs() >= DETECTABLE_FROM * error {
                    score.flag_changes += 1;
                    score.flags_found += usize::from(is_alarm(line));
                }
            }
            None => {
                score.clean_flag_pairs += 1;
                score.flag_false_alarms += usize::from(is_alarm(line));
            }
        }
    }
}
