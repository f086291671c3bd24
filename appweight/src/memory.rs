//! Whether a deploy leaks: growth of resident memory per request, at equal process age.
//!
//! Resident memory is the process's, not a request's, and every process grows while it is young.
//! So the growth of the new deploy's processes is set against that of the old one's *when they were
//! as old*, step by step of process age; the spread between the steps is the error.

use std::collections::BTreeMap;

use crate::api::{Gate, MemoryComparison};
use crate::compare::quantile;
use crate::evidence::ProcessPoint;
use crate::text::{bytes, percent};
use crate::thresholds::{MIN_AGE_STEPS, SKIPPED_AGE_STEPS, Thresholds};

/// Growth in one step of process age: bytes and requests, all processes of one side together.
#[derive(Debug, Clone, Copy, Default)]
struct Growth {
    bytes: f64,
    requests: f64,
}

/// Compares the memory of two deploys' processes; `None` where too few steps of process age are
/// known on both sides.
#[must_use]
pub fn compare_memory(
    processes: &[ProcessPoint],
    base: &str,
    head: &str,
    head_since_us: u64,
    thresholds: &Thresholds,
) -> Option<MemoryComparison> {
    let before = Side::new(processes.iter().filter(|point| point.deploy == base));
    // A process of the same id from before the roll-out belongs to an earlier one.
    let young = |point: &&ProcessPoint| {
        point.deploy == head && started_us(point) + point.width_us >= head_since_us
    };
    let after = Side::new(processes.iter().filter(young));

    let steps: Vec<[Growth; 2]> = after
        .by_age
        .iter()
        .filter_map(|(age, new)| Some([*before.by_age.get(age)?, *new]))
        .filter(|pair| pair.iter().all(|growth| growth.requests > 0.0))
        .collect();
    if steps.len() < MIN_AGE_STEPS {
        return None;
    }
    let weight_of = |pair: &[Growth; 2]| {
        pair[0].requests * pair[1].requests / (pair[0].requests + pair[1].requests)
    };
    let total: f64 = steps.iter().map(weight_of).sum();
    let rate = |side: usize| {
        let weighted =
            |pair: &[Growth; 2]| weight_of(pair) * pair[side].bytes / pair[side].requests;
        steps.iter().map(weighted).sum::<f64>() / total
    };
    let rates = [rate(0), rate(1)];
    let difference = rates[1] - rates[0];
    let squares: f64 = steps
        .iter()
        .map(|pair| {
            let here = pair[1].bytes / pair[1].requests - pair[0].bytes / pair[0].requests;
            (weight_of(pair) * (here - difference)).powi(2)
        })
        .sum();
    let count = steps.len() as f64;
    let error = (squares * count / (count - 1.0)).sqrt() / total;
    let reach = error * quantile(count - 1.0, thresholds.confidence, 1);
    let (low, high) = (difference - reach, difference + reach);

    let requests = |side: usize| steps.iter().map(|pair| pair[side].requests).sum::<f64>();
    let grown = |side: usize, of: &Side| {
        let per_process = difference.abs() * requests(side) / f64::from(of.processes.max(1));
        per_process / of.typical_bytes.max(1.0)
    };
    let mut gates = vec![Gate {
        name: "interval_apart_from_zero".to_owned(),
        passed: low > 0.0 || high < 0.0,
        detail: format!(
            "{} … {} per request over {} steps of age",
            bytes(low),
            bytes(high),
            steps.len()
        ),
    }];
    let share = if difference > 0.0 {
        grown(1, &after)
    } else {
        grown(0, &before)
    };
    gates.push(Gate {
        name: "grew_enough".to_owned(),
        passed: share > thresholds.min_leak_growth,
        detail: format!(
            "{} of the process's memory in the time compared, against {}",
            percent(share),
            percent(thresholds.min_leak_growth)
        ),
    });
    let certain = gates.iter().all(|gate| gate.passed);
    Some(MemoryComparison {
        before_bytes_per_request: rates[0],
        after_bytes_per_request: rates[1],
        low,
        high,
        confidence: thresholds.confidence,
        processes: (before.processes, after.processes),
        leaks: certain && difference > 0.0,
        leak_gone: certain && difference < 0.0,
        gates,
    })
}

fn started_us(point: &ProcessPoint) -> u64 {
    (point.start_us + point.width_us).saturating_sub(point.age_us)
}

/// One deploy's processes.
struct Side {
    by_age: BTreeMap<u64, Growth>,
    processes: u32,
    typical_bytes: f64,
}

impl Side {
    fn new<'a>(points: impl Iterator<Item = &'a ProcessPoint>) -> Self {
        let mut by_source: BTreeMap<&str, Vec<&ProcessPoint>> = BTreeMap::new();
        for point in points.filter(|point| point.memory_bytes.is_some()) {
            by_source.entry(&point.source).or_default().push(point);
        }
        let mut side = Self {
            by_age: BTreeMap::new(),
            processes: u32::try_from(by_source.len()).unwrap_or(u32::MAX),
            typical_bytes: 0.0,
        };
        let (mut sum, mut count) = (0.0, 0.0);
        for points in by_source.values_mut() {
            points.sort_by_key(|point| point.start_us);
            for pair in points.windows(2) {
                let (Some(old), Some(new)) = (pair[0].memory_bytes, pair[1].memory_bytes) else {
                    continue;
                };
                let step = pair[1].age_us / pair[1].width_us.max(1);
                if step <= SKIPPED_AGE_STEPS {
                    continue;
                }
                let growth = side.by_age.entry(step).or_default();
                growth.bytes += new as f64 - old as f64;
                growth.requests += pair[1]
                    .requests_total
                    .saturating_sub(pair[0].requests_total)
                    as f64;
                sum += old as f64;
                count += 1.0;
            }
        }
        side.typical_bytes = sum / f64::max(count, 1.0);
        side
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process that serves 100 requests a second, grows while young and then by `leak` bytes a request.
    fn process(
        deploy: &str,
        source: &str,
        born_s: u64,
        leak: u64,
        rng: &mut fastrand::Rng,
    ) -> Vec<ProcessPoint> {
        let mut rss = 40 << 20;
        (1..=20)
            .map(|second| {
                rss += 400_000 / second + leak * 100 + rng.u64(0..20) * 4096 / 10;
                ProcessPoint {
                    source: source.into(),
                    host: String::new(),
                    deploy: deploy.into(),
                    cluster: String::new(),
                    start_us: (born_s + second - 1) * 1_000_000,
                    width_us: 1_000_000,
                    age_us: second * 1_000_000,
                    requests_total: second * 100,
                    memory_bytes: Some(rss),
                    cpu_ns: 0,
                    instructions: None,
                    instructions_absent_because: None,
                    active_users: None,
                    endpoints: Vec::new(),
                }
            })
            .collect()
    }

    fn judged(leak_before: u64, leak_after: u64, seed: u64) -> MemoryComparison {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut points = Vec::new();
        points.extend(process("old", "a", 1_000, leak_before, &mut rng));
        points.extend(process("old", "b", 1_010, leak_before, &mut rng));
        points.extend(process("new", "c", 1_030, leak_after, &mut rng));
        points.extend(process("new", "d", 1_040, leak_after, &mut rng));
        compare_memory(&points, "old", "new", 1_030_000_000, &Thresholds::default()).unwrap()
    }

    #[test]
    fn a_leak_is_told_from_growth_in_youth() {
        for seed in 0..50 {
            let same = judged(0, 0, seed);
            assert!(!same.leaks && !same.leak_gone, "{same:?}");
            let leaking = judged(0, 6_000, seed);
            assert!(leaking.leaks, "{leaking:?}");
            assert!(
                (leaking.after_bytes_per_request - leaking.before_bytes_per_request - 6_000.0)
                    .abs()
                    < 500.0
            );
            assert!(judged(6_000, 0, seed).leak_gone);
        }
    }

    #[test]
    fn too_few_steps_say_nothing() {
        let mut rng = fastrand::Rng::with_seed(1);
        let old = process("old", "a", 1_000, 0, &mut rng);
        let mut new = process("new", "b", 1_030, 9_000, &mut rng);
        new.truncate(6);
        let points: Vec<_> = old.into_iter().chain(new).collect();
        assert_eq!(
            compare_memory(&points, "old", "new", 0, &Thresholds::default()),
            None
        );
    }
}
