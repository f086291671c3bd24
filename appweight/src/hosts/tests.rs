use appweight_wire::{Age, Cell, CellKey, EndpointCount, InstructionSource, Kind};

use super::*;

const SECOND_US: u64 = 1_000_000;
const ENDPOINTS: [(&str, f64); 2] = [("/feed", 400_000.0), ("/upload", 4_000_000.0)];

fn normal(random: &mut fastrand::Rng) -> f64 {
    (0..12).map(|_| random.f64()).sum::<f64>() - 6.0
}

/// Ten minutes of a deploy's hosts, each with that factor on its CPU and that share of uploads.
fn processes(deploy: &str, from_s: u64, hosts: &[(f64, f64)], seed: u64) -> Vec<ProcessPoint> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut points = Vec::new();
    for (at, (factor, uploads)) in hosts.iter().enumerate() {
        // Restarted one after the other, and dearer while young.
        for span in at as u64..60 {
            let age = span - at as u64 + 1;
            let counts = [(1000.0 * (1.0 - uploads)) as u64, (1000.0 * uploads) as u64];
            let cost: f64 = counts
                .iter()
                .zip(ENDPOINTS)
                .map(|(count, (_, mean))| *count as f64 * mean)
                .sum();
            let warming = 1.0 + 0.5 * (-(age as f64) / 3.0).exp();
            let noise = (0.03 * normal(&mut random)).exp();
            points.push(ProcessPoint {
                source: format!("{deploy} {at}"),
                host: format!("web-{at}"),
                deploy: deploy.to_owned(),
                start_us: (from_s + span * 10) * SECOND_US,
                width_us: 10 * SECOND_US,
                age_us: age * 10 * SECOND_US,
                requests_total: age * 1000,
                memory_bytes: None,
                cpu_ns: (cost * factor * warming * noise) as u64,
                instructions: None,
                instructions_absent_because: None,
                active_users: None,
                endpoints: ENDPOINTS
                    .iter()
                    .zip(counts)
                    .map(|((endpoint, _), requests)| EndpointCount {
                        endpoint: (*endpoint).to_owned(),
                        requests,
                        errors: 0,
                    })
                    .collect(),
            });
        }
    }
    points
}

fn cells() -> Vec<PlacedCell> {
    let mut cells = Vec::new();
    for deploy in ["old", "new"] {
        for (endpoint, mean) in ENDPOINTS {
            let mut cell = Cell::new(CellKey {
                start_us: 0,
                width_us: 60 * SECOND_US,
                kind: Kind::Request,
                endpoint: endpoint.to_owned(),
                instruction_source: InstructionSource::None,
                age: Age::Warm,
                flag: None,
            });
            cell.cpu_ns.get_or_insert_default().observe(mean as u64);
            cells.push(PlacedCell {
                deploy: deploy.to_owned(),
                cluster: String::new(),
                host_group: 0,
                cell,
            });
        }
    }
    cells
}

/// Hosts of different speed and of different traffic.
fn fleet(count: usize, spread: f64, seed: u64) -> Vec<(f64, f64)> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count)
        .map(|_| ((spread * normal(&mut random)).exp(), 0.3 * random.f64()))
        .collect()
}

fn found(old: &[(f64, f64)], new: &[(f64, f64)], seed: u64) -> HostsOfDeploy {
    let mut points = processes("old", 0, old, seed);
    points.extend(processes("new", 1_000, new, seed + 1));
    odd_hosts(&points, &cells(), "old", "new", 1_000 * SECOND_US).unwrap()
}

#[test]
fn one_bad_host_of_eight_is_named() {
    for seed in 0..40 {
        let old = fleet(8, 0.01, seed);
        let mut new = old.clone();
        new[5].0 *= 1.4;
        let found = found(&old, &new, seed);
        assert_eq!(found.hosts, 8);
        let [odd] = found.odd.as_slice() else {
            panic!("seed {seed}: {found:?}");
        };
        assert_eq!(odd.host, "web-5");
        assert!((odd.relative - 0.4).abs() < 0.08, "{odd:?}");
        assert!(odd.relative_before.unwrap().abs() < 0.08, "{odd:?}");
        assert!(odd.cpu_ns_per_request > 0.0 && odd.spreads > 9.3);
    }
}

#[test]
fn among_hosts_that_differ_as_hosts_do_none_is_named() {
    let mut named = 0;
    for seed in 0..300 {
        let hosts = fleet(8, 0.01, seed);
        named += found(&hosts, &hosts, seed).odd.len();
    }
    // Once in a thousand at most where nothing is less than the least that is told.
    assert!(named <= 1, "{named} of 300");
    let mut named = 0;
    for seed in 0..300 {
        let hosts = fleet(8, 0.15, seed);
        named += found(&hosts, &hosts, seed).odd.len();
    }
    assert!(named <= 2, "{named} of 300");
}

#[test]
fn a_host_that_was_slow_before_is_told_as_one() {
    let mut hosts = fleet(8, 0.01, 3);
    hosts[2].0 *= 1.3;
    let found = found(&hosts, &hosts, 3);
    assert_eq!(found.odd[0].host, "web-2");
    assert!((found.odd[0].relative_before.unwrap() - 0.3).abs() < 0.08);
}

#[test]
fn two_of_eight_do_not_hide_each_other() {
    let old = fleet(8, 0.01, 4);
    let mut new = old.clone();
    new[0].0 *= 1.4;
    new[7].0 *= 1.5;
    let mut names: Vec<String> = found(&old, &new, 4)
        .odd
        .into_iter()
        .map(|odd| odd.host)
        .collect();
    names.sort();
    assert_eq!(names, ["web-0", "web-7"]);
}

#[test]
fn few_hosts_and_idle_ones_are_not_compared() {
    let points = processes("new", 0, &fleet(3, 0.01, 1), 1);
    assert_eq!(odd_hosts(&points, &cells(), "old", "new", 0), None);
    let hosts = fleet(8, 0.01, 2);
    let mut points = processes("new", 0, &hosts, 2);
    // It answers one request in a while, and its runtime costs more than that.
    for point in points.iter_mut().filter(|point| point.host == "web-1") {
        point.endpoints[0].requests = 1;
        point.endpoints[1].requests = 0;
        point.cpu_ns = 3_000_000;
    }
    let found = odd_hosts(&points, &cells(), "old", "new", 0).unwrap();
    assert_eq!((found.hosts, found.odd.len()), (7, 0));
}
