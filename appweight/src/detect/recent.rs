use std::collections::VecDeque;

use super::learn::{LEAST_MOVE, Prepared};
use super::noise::Noise;

/// Minutes that are kept: those for which a deploy is watched, and of its roll-out.
const KEPT: usize = 90;
/// Minutes on either side of a step over which means are taken. Endpoints that few ask for need many.
const BEFORE: [i64; 3] = [4, 8, 16];
const AFTER: [i64; 4] = [2, 4, 8, 16];
/// The longest of these.
pub(crate) const LONGEST: i64 = 16;
/// The level stepped back from so many standard errors on, as in a minute's jump.
const STEP_AT: f64 = 5.0;

/// An endpoint's last minutes, in which a step is looked for that is too small for a single minute to show.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recent {
    minutes: VecDeque<(i64, Vec<Value>)>,
}

#[derive(Debug, Clone, Copy)]
struct Value {
    host: u32,
    deploy: u32,
    log_cost: f32,
    precision: f32,
}

/// Sums of precision, and of log cost × precision, on both sides.
#[derive(Debug, Clone, Copy, Default)]
struct Sides {
    deploy: Option<u32>,
    before: (f64, f64),
    after: (f64, f64),
}

impl Recent {
    /// Takes a minute up. One in which a flag's share moves tells nothing of the level.
    pub(crate) fn add(&mut self, minute: i64, prepared: &[Prepared], cell: f64) {
        let is_ramp = |part: &Prepared| part.columns.iter().any(|x| *x > 0.0 && *x < 1.0);
        if prepared.iter().any(is_ramp) {
            self.interrupt();
            return;
        }
        if self.minutes.len() >= KEPT {
            self.minutes.pop_front();
        }
        let value = |part: &Prepared| Value {
            host: part.cell.host as u32,
            deploy: part.cell.deploy as u32,
            log_cost: part.value as f32,
            precision: (1.0 / (part.sampling + cell)) as f32,
        };
        self.minutes
            .push_back((minute, prepared.iter().map(value).collect()));
    }

    /// No step is looked for across this minute.
    pub(crate) fn interrupt(&mut self) {
        self.minutes.clear();
    }

    /// By how much the level stepped in the direction of `towards`, in any minute after `first`, if it did beyond doubt. Minutes before
    /// `since` are not looked at. Only hosts count that ran the same deploy on both sides, so that neither a deploy nor a
    /// restart can move them.
    pub(crate) fn step(&self, towards: f64, since: i64, first: i64, noise: &Noise) -> Option<f64> {
        let since = since.max(self.minutes.front()?.0);
        let last = self.minutes.back()?.0;
        let mut most: Option<(f64, f64)> = None;
        for split in first.max(since) + 1..=last {
            for after in AFTER {
                if split + after > last + 1 {
                    break;
                }
                for before in BEFORE {
                    let from = split - before;
                    if from < since {
                        break;
                    }
                    let step = self.moved(from, split, split + after, noise);
                    let Some((by, variance)) = step else {
                        continue;
                    };
                    let z = by * towards.signum() / variance.sqrt();
                    if z > most.map_or(STEP_AT, |most| most.0) && by.abs() > LEAST_MOVE {
                        most = Some((z, by));
                    }
                }
            }
        }
        most.map(|(_, by)| by)
    }

    /// How far the level moved from `from..split` to `split..until`, and the variance of that.
    fn moved(&self, from: i64, split: i64, until: i64, noise: &Noise) -> Option<(f64, f64)> {
        let mut hosts: Vec<Sides> = Vec::new();
        let mut minutes = (0.0, 0.0);
        let begin = self.minutes.partition_point(|(minute, _)| *minute < from);
        let end = self.minutes.partition_point(|(minute, _)| *minute < until);
        for (minute, values) in self.minutes.range(begin..end).rev() {
            let is_after = *minute >= split;
            *(if is_after {
                &mut minutes.1
            } else {
                &mut minutes.0
            }) += 1.0;
            for value in values {
                let at = value.host as usize;
                if hosts.len() <= at {
                    hosts.resize(at + 1, Sides::default());
                }
                let host = &mut hosts[at];
                if *host.deploy.get_or_insert(value.deploy) == value.deploy {
                    let side = if is_after {
                        &mut host.after
                    } else {
                        &mut host.before
                    };
                    let precision = f64::from(value.precision);
                    side.0 += precision;
                    side.1 += precision * f64::from(value.log_cost);
                }
            }
        }
        let (mut sum, mut weights) = (0.0, 0.0);
        for host in &hosts {
            let (before, after) = (host.before, host.after);
            if before.0 > 0.0 && after.0 > 0.0 {
                let weight = 1.0 / (1.0 / before.0 + 1.0 / after.0);
                sum += weight * (after.1 / after.0 - before.1 / before.0);
                weights += weight;
            }
        }
        let (before, after) = minutes;
        let apart = (before + after) / 2.0;
        let variance = 1.0 / weights
            + noise.shock * (1.0 / before + 1.0 / after)
            // Means of a walk's neighbouring stretches, and of a slope's.
            + noise.level * (before + after) / 3.0
            + noise.slope * apart * apart;
        (weights > 0.0).then(|| (sum / weights, variance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::endpoint::Cell;
    use crate::detect::noise::ASSUMED;

    fn part(host: usize, deploy: usize, value: f64, columns: Vec<f64>) -> Prepared {
        Prepared {
            cell: Cell {
                endpoint: 0,
                cluster: host % 2,
                host,
                deploy,
                n: 100.0,
                sum: 100.0,
                sum_log: 0.0,
                sum_square_log: 0.0,
                spent: 0.0,
            },
            value,
            sampling: 0.01,
            warming: 0.0,
            is_settled: true,
            columns,
        }
    }

    /// Forty minutes of four hosts, which differ; in minute 20 what `to` says happens to log costs, and hosts from `restarting` on restart.
    fn recent(to: f64, restarting: usize) -> Recent {
        let mut recent = Recent::default();
        for minute in 0..40 {
            let host = |host: usize| {
                let is_after = minute >= 20;
                let deploy = usize::from(is_after && host >= restarting);
                // A wave in place of noise, within a minute's error of 5 %.
                let wave = 0.04 * f64::from((minute as i32 * 7 + host as i32 * 3) % 5 - 2) / 2.0;
                let value = 14.0 + 0.1 * host as f64 + wave + if is_after { to } else { 0.0 };
                part(host, deploy, value, vec![deploy as f64])
            };
            let prepared: Vec<Prepared> = (0..4).map(host).collect();
            recent.add(minute, &prepared, ASSUMED.cell);
        }
        recent
    }

    #[test]
    fn a_step_that_no_minute_shows_is_seen_in_both_directions() {
        for to in [-0.12, 0.12] {
            let recent = recent(to, 4);
            let by = recent.step(to, 0, 0, &ASSUMED).unwrap();
            assert!((by / to - 1.0).abs() < 0.3, "{by}");
            assert_eq!(recent.step(-to, 0, 0, &ASSUMED), None);
            assert_eq!(recent.step(to, 25, 25, &ASSUMED), None, "it was before");
            let small = self::recent(to / 5.0, 4).step(to, 0, 0, &ASSUMED);
            assert_eq!(small, None, "within the error");
        }
    }

    #[test]
    fn what_comes_with_a_restart_is_no_step() {
        assert_eq!(recent(0.5, 0).step(0.5, 0, 0, &ASSUMED), None);
        // Two hosts that were not restarted took it too.
        assert!(recent(0.5, 2).step(0.5, 0, 0, &ASSUMED).is_some());
    }

    #[test]
    fn no_step_is_looked_for_across_a_ramp_of_a_flag() {
        let mut recent = recent(0.0, 4);
        recent.add(40, &[part(0, 0, 14.0, vec![0.4])], ASSUMED.cell);
        for minute in 41..60 {
            let host = |host| part(host, 0, 14.5 + 0.1 * host as f64, vec![0.0]);
            let prepared: Vec<Prepared> = (0..4).map(host).collect();
            recent.add(minute, &prepared, ASSUMED.cell);
        }
        assert_eq!(recent.step(0.5, 0, 0, &ASSUMED), None);
    }
}
