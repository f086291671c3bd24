use super::draw::Spread;
use super::random::Random;
use super::shape::Shape;
use super::truth::{Cause, Truth};

/// The first minute of every simulated day: noon of no particular day, in unix minutes.
pub(crate) const FIRST_MINUTE: i64 = 29_000_160;
/// The first deploy comes after so many minutes, so that there is something to compare with.
const QUIET_START: i64 = 60;

/// How a deploy reaches the hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RollOut {
    /// One host after another.
    HostByHost,
    /// One cluster after another, all its hosts within a minute.
    ClusterByCluster,
    /// All hosts within a minute.
    Instant,
}

/// One deploy of a simulated day.
#[derive(Debug, Clone)]
pub struct PlannedDeploy {
    /// Its name.
    pub name: String,
    /// How it reaches the hosts.
    pub roll_out: RollOut,
    /// First minute of the roll-out.
    pub start: i64,
    /// Last minute of the roll-out.
    pub end: i64,
    /// The minute in which each host restarts with it.
    pub restarts: Vec<i64>,
    /// What it does to each endpoint, in logs.
    pub effects: Vec<f64>,
}

/// All that happens in some simulated days, before any cell is drawn.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The shape it was planned for.
    pub shape: Shape,
    /// First minute.
    pub start: i64,
    /// The minute after the last.
    pub end: i64,
    /// Endpoints' names, the most asked for first.
    pub endpoints: Vec<String>,
    /// Hosts' names, cluster after cluster.
    pub hosts: Vec<String>,
    /// Deploys in order; the first one ran before the file begins.
    pub deploys: Vec<PlannedDeploy>,
    /// All that is to be found and all traps.
    pub truth: Vec<Truth>,
    pub(crate) flags: Vec<PlannedFlag>,
    pub(crate) shares: Vec<f64>,
    pub(crate) spreads: Vec<Spread>,
    pub(crate) day_shapes: Vec<(f64, f64)>,
    pub(crate) host_speeds: Vec<f64>,
}

/// A flag that is ramped up for more and more users.
#[derive(Debug, Clone)]
pub(crate) struct PlannedFlag {
    pub(crate) name: String,
    pub(crate) start: i64,
    /// Minutes that each step of the ramp lasts.
    pub(crate) step: i64,
    /// What it does to each endpoint, in logs.
    pub(crate) effects: Vec<f64>,
}

impl PlannedFlag {
    /// The share of requests that have it on; none while its cells are not written.
    pub(crate) fn share(&self, minute: i64) -> Option<f64> {
        const RAMP: [f64; 5] = [0.01, 0.1, 0.5, 1.0, 1.0];
        let step = usize::try_from((minute - self.start).div_euclid(self.step)).ok()?;
        RAMP.get(step).copied()
    }

    /// Whether more and more users get it.
    pub(crate) fn is_ramping(&self, minute: i64) -> bool {
        minute >= self.start && !self.is_over(minute)
    }

    /// Whether the ramp is over: on for all.
    pub(crate) fn is_over(&self, minute: i64) -> bool {
        minute >= self.start + 3 * self.step
    }
}

impl Plan {
    /// Plans so many days.
    #[must_use]
    pub fn new(shape: &Shape, seed: u64, days: u32) -> Self {
        let mut random = Random::new(seed ^ 0x005e_ed0f_ada7);
        let end = FIRST_MINUTE + i64::from(days) * 1440;
        let zipf: f64 = (1..=shape.endpoints).map(|rank| 1.0 / rank as f64).sum();
        let mut plan = Self {
            start: FIRST_MINUTE,
            end,
            endpoints: (0..shape.endpoints)
                .map(|at| format!("/e{at:02}"))
                .collect(),
            hosts: (0..shape.hosts()).map(|at| format!("h{at:02}")).collect(),
            deploys: Vec::new(),
            truth: Vec::new(),
            flags: Vec::new(),
            shares: (1..=shape.endpoints)
                .map(|rank| 1.0 / rank as f64 / zipf)
                .collect(),
            spreads: (0..shape.endpoints)
                .map(|_| Spread {
                    log_mean: random.log_between(1e6, 1e8).ln(),
                    log_deviation: random.between(0.3, 1.0),
                    tail_share: shape.tail_share,
                    tail_factor: shape.tail_factor,
                })
                .collect(),
            day_shapes: (0..shape.endpoints)
                .map(|_| {
                    let size = random.between(0.0, 0.04);
                    (size, random.between(0.0, std::f64::consts::TAU))
                })
                .collect(),
            host_speeds: (0..shape.hosts())
                .map(|_| shape.host_spread * random.normal())
                .collect(),
            shape: shape.clone(),
        };
        plan.plan_deploys(&mut random, days);
        if shape.traps {
            for day in 0..days {
                plan.plan_traps(&mut random, FIRST_MINUTE + i64::from(day) * 1440);
            }
        }
        plan
    }

    fn plan_deploys(&mut self, random: &mut Random, days: u32) {
        let count = self.shape.deploys_per_day * days as usize;
        let endpoints = self.endpoints.len();
        self.deploys.push(PlannedDeploy {
            name: "d00000".to_owned(),
            roll_out: RollOut::Instant,
            start: self.start,
            end: self.start,
            restarts: vec![i64::MIN / 2; self.hosts.len()],
            effects: vec![0.0; endpoints],
        });
        let span = (self.end - self.start - QUIET_START - 60) as f64;
        let mut to_roll_back: Option<Vec<f64>> = None;
        for at in 0..count {
            let jitter = random.between(0.0, 0.75);
            let start =
                self.start + QUIET_START + ((at as f64 + jitter) * span / count as f64) as i64;
            let roll_out = match random.below(10) {
                0 => RollOut::Instant,
                1 => RollOut::ClusterByCluster,
                _ => RollOut::HostByHost,
            };
            let restarts = self.restarts(random, roll_out, start);
            let mut effects = vec![0.0; endpoints];
            let name = format!("d{:05}", at + 1);
            let mut told = Vec::new();
            if let Some(undo) = to_roll_back.take() {
                for (endpoint, (effect, undone)) in effects.iter_mut().zip(&undo).enumerate() {
                    *effect = -undone;
                    if *undone != 0.0 {
                        told.push((Some(endpoint), -undone));
                    }
                }
            } else if self.shape.traps && random.happens(0.025) {
                let effect = random.sign() * random.log_between(0.02, 0.1);
                effects.fill(effect.ln_1p());
                told.push((None, effect.ln_1p()));
            } else if random.happens(self.shape.changed_share) {
                let (least, most) = self.shape.changes;
                let effect = (random.sign() * random.log_between(least, most)).ln_1p();
                let endpoint = random.below(endpoints);
                effects[endpoint] = effect;
                told.push((Some(endpoint), effect));
                if self.shape.traps && effect > 0.03 && random.happens(0.25) {
                    to_roll_back = Some(effects.clone());
                }
            }
            for (endpoint, effect) in told {
                self.truth.push(Truth {
                    deploy: Some(name.clone()),
                    endpoint: endpoint.map(|at| self.endpoints[at].clone()),
                    end: None,
                    ..Truth::trap(Cause::Deploy, effect.exp_m1(), start, start)
                });
            }
            self.deploys.push(PlannedDeploy {
                name,
                roll_out,
                start,
                end: restarts.iter().copied().max().unwrap_or(start),
                restarts,
                effects,
            });
        }
    }

    fn restarts(&self, random: &mut Random, roll_out: RollOut, start: i64) -> Vec<i64> {
        let hosts = self.hosts.len();
        let mut order: Vec<usize> = (0..hosts).collect();
        for at in (1..hosts).rev() {
            order.swap(at, random.below(at + 1));
        }
        let minutes = i64::from(self.shape.roll_out_minutes);
        let mut restarts = vec![start; hosts];
        for (place, &host) in order.iter().enumerate() {
            let after = match roll_out {
                RollOut::Instant => 0,
                RollOut::ClusterByCluster => (host / self.shape.hosts_per_cluster) as i64 * minutes,
                RollOut::HostByHost => place as i64 * minutes / hosts as i64,
            };
            restarts[host] = start + after;
        }
        // A host that has not yet restarted with the last deploy skips it only if it must.
        if let Some(last) = self.deploys.last() {
            for (restart, before) in restarts.iter_mut().zip(&last.restarts) {
                *restart = (*restart).max(before + 1);
            }
        }
        restarts
    }

    fn plan_traps(&mut self, random: &mut Random, day: i64) {
        let any_minute = |random: &mut Random| day + 90 + random.below(1200) as i64;
        let endpoint = self.endpoints[random.below(self.endpoints.len())].clone();
        let start = any_minute(random);
        self.truth.push(Truth {
            endpoint: Some(endpoint),
            ..Truth::trap(
                Cause::MixShift,
                random.between(0.3, 2.0),
                start,
                start + 300,
            )
        });
        let start = any_minute(random);
        self.truth.push(Truth::trap(
            Cause::Spike,
            random.between(0.05, 0.3),
            start,
            start + 5 + random.below(25) as i64,
        ));
        let start = any_minute(random);
        let host = self.hosts[random.below(self.hosts.len())].clone();
        self.truth.push(Truth {
            host: Some(host),
            ..Truth::trap(
                Cause::BadHost,
                random.between(0.1, 0.4),
                start,
                start + 30 + random.below(90) as i64,
            )
        });
        let endpoint = self.endpoints[random.below(self.endpoints.len())].clone();
        let start = any_minute(random);
        self.truth.push(Truth {
            endpoint: Some(endpoint),
            ..Truth::trap(Cause::Drift, random.between(0.02, 0.08), start, start + 240)
        });
        let (start, step) = (any_minute(random), 12 + random.below(20) as i64);
        let mut effects = vec![0.0; self.endpoints.len()];
        let name = format!("flag-{}", self.flags.len() + 1);
        if random.happens(0.6) {
            let endpoint = random.below(self.endpoints.len() / 2);
            let effect: f64 = random.sign() * random.log_between(0.01, 0.15);
            effects[endpoint] = effect.ln_1p();
            self.truth.push(Truth {
                flag: Some(name.clone()),
                endpoint: Some(self.endpoints[endpoint].clone()),
                end: None,
                ..Truth::trap(Cause::Flag, effect, start, start)
            });
        }
        self.flags.push(PlannedFlag {
            name,
            start,
            step,
            effects,
        });
    }
}
