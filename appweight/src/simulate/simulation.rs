use std::borrow::Cow;

use super::draw::{Sums, draw};
use super::plan::Plan;
use super::random::Random;
use super::shape::Shape;
use super::truth::{Cause, Truth};
use crate::detect::{CellLine, DeployLine};

/// Draws the cells of a [`Plan`].
#[derive(Debug, Clone)]
pub struct Simulation {
    /// What happens.
    pub plan: Plan,
    random: Random,
    minute: i64,
    /// What each host's last restart did to each endpoint of its own accord.
    restart_shifts: Vec<Vec<f64>>,
}

impl Simulation {
    /// Plans so many days of that shape from a seed.
    #[must_use]
    pub fn new(shape: &Shape, seed: u64, days: u32) -> Self {
        let plan = Plan::new(shape, seed, days);
        Self {
            random: Random::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0xce11),
            minute: plan.start,
            restart_shifts: vec![vec![0.0; plan.endpoints.len()]; plan.hosts.len()],
            plan,
        }
    }

    /// The lines of all deploys.
    #[must_use]
    pub fn deploy_lines(&self) -> Vec<DeployLine> {
        let deploys = &self.plan.deploys;
        deploys
            .iter()
            .enumerate()
            .map(|(at, deploy)| DeployLine {
                deploy: deploy.name.clone(),
                service: "photo".to_owned(),
                replaces: at.checked_sub(1).map(|before| deploys[before].name.clone()),
                start: deploy.start,
                end: deploy.end,
            })
            .collect()
    }

    /// Draws the next minute and hands each of its cells over; false if the last day is over.
    pub fn next_minute(&mut self, write: &mut dyn FnMut(&CellLine<'_>)) -> bool {
        if self.minute >= self.plan.end {
            return false;
        }
        let minute = self.minute;
        self.minute += 1;
        let plan = &self.plan;
        let random = &mut self.random;
        let shape = &plan.shape;
        let time_of_day = minute.rem_euclid(1440) as f64 / 1440.0 * std::f64::consts::TAU;
        let load = 0.6 - 0.4 * time_of_day.cos();
        let serving: Vec<usize> = (0..plan.hosts.len())
            .map(|host| {
                let runs = |deploy: &&super::PlannedDeploy| deploy.restarts[host] <= minute;
                plan.deploys.iter().take_while(runs).count() - 1
            })
            .collect();
        for (host, &deploy) in serving.iter().enumerate() {
            if plan.deploys[deploy].restarts[host] == minute {
                for shift in &mut self.restart_shifts[host] {
                    *shift = shape.restart_spread * random.normal();
                }
            }
        }
        let active: Vec<&Truth> = plan
            .truth
            .iter()
            .filter(|truth| truth.start <= minute)
            .collect();
        let current = |cause: Cause| {
            active.iter().filter(move |truth| {
                truth.cause == cause && truth.end.is_none_or(|end| minute <= end)
            })
        };
        let bad_hosts: Vec<f64> = plan
            .hosts
            .iter()
            .map(|host| {
                current(Cause::BadHost)
                    .filter(|bad| bad.host.as_ref() == Some(host))
                    .map(|bad| bad.effect.ln_1p())
                    .sum()
            })
            .collect();
        let mut code = vec![0.0; plan.deploys.len()];
        for (at, name) in plan.endpoints.iter().enumerate() {
            let mut so_far = 0.0;
            for (sum, deploy) in code.iter_mut().zip(&plan.deploys) {
                so_far += deploy.effects[at];
                *sum = so_far;
            }
            let of_this = |truth: &&&Truth| truth.endpoint.as_ref() == Some(name);
            let drift: f64 = active
                .iter()
                .filter(|truth| truth.cause == Cause::Drift)
                .filter(of_this)
                .map(|drift| {
                    let length = (drift.end.unwrap_or(drift.start) - drift.start).max(1) as f64;
                    ((minute - drift.start) as f64 / length).min(1.0) * drift.effect.ln_1p()
                })
                .sum();
            let spike: f64 = current(Cause::Spike)
                .filter(|spike| spike.endpoint.is_none() || of_this(spike))
                .map(|spike| spike.effect.ln_1p())
                .sum();
            let traffic: f64 = current(Cause::MixShift)
                .filter(of_this)
                .map(|shift| 1.0 + shift.effect)
                .product();
            let (size, phase) = plan.day_shapes[at];
            let common = size * (time_of_day + phase).sin()
                + drift
                + spike
                + shape.minute_shock * random.normal();
            let flags: Vec<(&str, f64, Option<f64>, f64)> = plan
                .flags
                .iter()
                .map(|flag| {
                    let share = flag.share(minute);
                    let over = if flag.is_over(minute) { 1.0 } else { 0.0 };
                    (
                        flag.name.as_str(),
                        share.unwrap_or(over),
                        share,
                        flag.effects[at],
                    )
                })
                .collect();
            let per_host = shape.peak_requests_per_second * 60.0 * load * plan.shares[at] * traffic
                / plan.hosts.len() as f64;
            let mut by_flag: Vec<FlagCell> = Vec::new();
            for (host, &deploy) in serving.iter().enumerate() {
                let age = (minute - plan.deploys[deploy].restarts[host]) as f64;
                let warm_up = shape.warm_up * (-age / shape.warm_up_minutes).exp();
                let shift = common
                    + code[deploy]
                    + plan.host_speeds[host]
                    + self.restart_shifts[host][at]
                    + bad_hosts[host]
                    + warm_up.ln_1p()
                    + shape.host_minute_shock * random.normal();
                // A flag's requests are a part of the whole: drawn apart, then added up.
                let mut parts: Vec<(usize, f64, f64)> = vec![(usize::MAX, 1.0, 0.0)];
                if let Some(flag) = flags.iter().position(|(_, _, share, _)| share.is_some()) {
                    let (_, share, _, effect) = flags[flag];
                    parts = vec![(flag, share, effect), (usize::MAX, 1.0 - share, 0.0)];
                }
                let settled: f64 = flags
                    .iter()
                    .filter(|(_, _, cells, _)| cells.is_none())
                    .map(|(_, share, _, effect)| share * effect)
                    .sum();
                let mut whole: Option<Sums> = None;
                for (flag, share, effect) in parts.clone() {
                    let n = random.poisson(per_host * shape.counted_share * share);
                    if n == 0 {
                        continue;
                    }
                    let drawn = draw(random, n, plan.spreads[at], shift + settled + effect);
                    if parts.len() > 1 {
                        let on = flag != usize::MAX;
                        let cluster = host / shape.hosts_per_cluster;
                        add_flag_cell(&mut by_flag, cluster, deploy, on, &drawn);
                    }
                    whole = Some(whole.map_or(drawn, |whole| together(&whole, &drawn)));
                }
                if let Some(sums) = whole {
                    write(&line(plan, minute, deploy, name, host, &sums));
                }
            }
            let flag = flags.iter().find(|(_, _, share, _)| share.is_some());
            if let Some((flag, ..)) = flag {
                for cell in &by_flag {
                    let host = cell.cluster * shape.hosts_per_cluster;
                    write(&CellLine {
                        host: Cow::Borrowed("*"),
                        flag: Some(Cow::Borrowed(flag)),
                        value: Some(Cow::Borrowed(if cell.on { "on" } else { "off" })),
                        ..line(plan, minute, cell.deploy, name, host, &cell.sums)
                    });
                }
            }
        }
        true
    }
}

struct FlagCell {
    cluster: usize,
    deploy: usize,
    on: bool,
    sums: Sums,
}

fn add_flag_cell(cells: &mut Vec<FlagCell>, cluster: usize, deploy: usize, on: bool, sums: &Sums) {
    let same = |cell: &&mut FlagCell| (cell.cluster, cell.deploy, cell.on) == (cluster, deploy, on);
    match cells.iter_mut().find(same) {
        Some(cell) => cell.sums = together(&cell.sums, sums),
        None => cells.push(FlagCell {
            cluster,
            deploy,
            on,
            sums: *sums,
        }),
    }
}

fn together(a: &Sums, b: &Sums) -> Sums {
    Sums {
        n: a.n + b.n,
        sum: a.sum + b.sum,
        sumsq: a.sumsq + b.sumsq,
        sumlog: a.sumlog + b.sumlog,
        sumsqlog: a.sumsqlog + b.sumsqlog,
        min: a.min.min(b.min),
        max: a.max.max(b.max),
    }
}

fn line<'a>(
    plan: &'a Plan,
    minute: i64,
    deploy: usize,
    endpoint: &'a str,
    host: usize,
    sums: &Sums,
) -> CellLine<'a> {
    const CLUSTERS: [&str; 8] = ["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"];
    let shape = &plan.shape;
    CellLine {
        minute,
        deploy: Cow::Borrowed(&plan.deploys[deploy].name),
        endpoint: Cow::Borrowed(endpoint),
        host: Cow::Borrowed(&plan.hosts[host]),
        cluster: Cow::Borrowed(CLUSTERS[host / shape.hosts_per_cluster % CLUSTERS.len()]),
        metric: Cow::Borrowed(if shape.cpu_time {
            "cpu_ns"
        } else {
            "instructions"
        }),
        n: sums.n as f64,
        weight: sums.n as f64 / shape.counted_share,
        sum: sums.sum,
        sumsq: sums.sumsq,
        sumlog: sums.sumlog,
        sumsqlog: sums.sumsqlog,
        min: sums.min,
        max: sums.max,
        flag: None,
        value: None,
    }
}
