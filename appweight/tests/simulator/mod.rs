//! A made-up fleet, for testing the judge: requests with a long-tailed cost, processes that differ
//! a little from each other, a load that drifts, and a roll-out host by host.

use std::collections::BTreeMap;

use appweight::evidence::PlacedCell;
use appweight_wire::{Age, Cell, CellKey, Deploy, InstructionSource, Kind, host_group};

pub const SECOND_US: u64 = 1_000_000;
pub const START_US: u64 = 1_700_000_000 * SECOND_US;

pub struct Fleet {
    pub hosts: usize,
    pub requests_per_second: f64,
    /// Relative standard deviation of one request's cost.
    pub spread: f64,
    /// Relative standard deviation between processes.
    pub between_processes: f64,
    /// Relative standard deviation of the whole machine from second to second.
    pub drift: f64,
    pub seconds: u64,
}

impl Default for Fleet {
    fn default() -> Self {
        Self {
            hosts: 2,
            requests_per_second: 600.0,
            spread: 0.6,
            between_processes: 0.01,
            drift: 0.1,
            seconds: 20,
        }
    }
}

pub const ENDPOINTS: [(&str, f64, f64); 5] = [
    ("/feed", 0.4, 700_000.0),
    ("/users/{id}/timeline", 0.25, 400_000.0),
    ("/inbox", 0.2, 300_000.0),
    ("/seen", 0.1, 80_000.0),
    ("/media", 0.05, 4_000_000.0),
];

pub fn deploy() -> Deploy {
    Deploy {
        service: "photos".into(),
        id: "new".into(),
        started_us: START_US,
        ended_us: Some(START_US + 20 * SECOND_US),
        replaced: Some("old".into()),
        ..Deploy::default()
    }
}

fn normal(rng: &mut fastrand::Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.f64()).cos()
}

impl Fleet {
    /// Rolls the hosts one after the other; `/feed` of the new code costs `factor` times the old.
    pub fn roll_out(&self, factor: f64, seed: u64) -> Vec<PlacedCell> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let process = |rng: &mut fastrand::Rng| 1.0 + self.between_processes * normal(rng);
        let speeds: Vec<[f64; 2]> = (0..self.hosts)
            .map(|_| [process(&mut rng), process(&mut rng)])
            .collect();
        let mut cells: BTreeMap<(String, usize, usize, u64), Cell> = BTreeMap::new();
        for second in 0..self.seconds {
            let machine = 1.0 + self.drift * normal(&mut rng).clamp(-3.0, 3.0);
            for _ in 0..self.requests_per_second as u64 {
                let host = rng.usize(0..self.hosts);
                let new = usize::from(
                    (second as f64 + 0.5) / self.seconds as f64 * self.hosts as f64
                        > host as f64 + 0.5,
                );
                let mut pick = rng.f64();
                let (endpoint, _, cost) = *ENDPOINTS
                    .iter()
                    .find(|(_, share, _)| {
                        pick -= share;
                        pick < 0.0
                    })
                    .unwrap_or(&ENDPOINTS[0]);
                let sigma = (1.0 + self.spread * self.spread).ln().sqrt();
                let tail = (sigma * normal(&mut rng) - sigma * sigma / 2.0).exp();
                let slower = if new == 1 && endpoint == "/feed" {
                    factor
                } else {
                    1.0
                };
                let cpu = cost * tail * machine * speeds[host][new] * slower;
                let start_us = START_US + second * SECOND_US;
                let cell = cells
                    .entry((endpoint.to_owned(), host, new, start_us))
                    .or_insert_with(|| Cell::new(key(endpoint, start_us)));
                cell.n += 1;
                cell.weight += 1;
                cell.cpu_ns.get_or_insert_default().observe(cpu as u64);
            }
        }
        cells
            .into_iter()
            .map(|((_, host, new, _), cell)| PlacedCell {
                deploy: ["old", "new"][new].to_owned(),
                cluster: String::new(),
                host_group: host_group(&format!("web-{host}")),
                cell,
            })
            .collect()
    }
}

pub fn key(endpoint: &str, start_us: u64) -> CellKey {
    CellKey {
        start_us,
        width_us: SECOND_US,
        kind: Kind::Request,
        endpoint: endpoint.to_owned(),
        instruction_source: InstructionSource::None,
        age: Age::Warm,
        flag: None,
    }
}
