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
                cluster: String::new(),
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
    cells_of("", 1.0)
}

fn cells_of(cluster: &str, factor: f64) -> Vec<PlacedCell> {
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
            cell.cpu_ns
                .get_or_insert_default()
                .observe((mean * factor) as u64);
            cells.push(PlacedCell {
                deploy: deploy.to_owned(),
                cluster: cluster.to_owned(),
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

/// Two clusters, of which the second has slower machines.
struct Clusters {
    points: Vec<ProcessPoint>,
    cells: Vec<PlacedCell>,
}

const EAST: usize = 12;

impl Clusters {
    /// That many hosts are in the second one, and one of all costs more by that factor under the new deploy.
    fn of(west: usize, bad: (usize, f64), seed: u64) -> Self {
        let mut hosts = fleet(EAST + west, 0.01, seed);
        for host in &mut hosts[EAST..] {
            host.0 *= 1.5;
        }
        let mut points = processes("old", 0, &hosts, seed);
        hosts[bad.0].0 *= bad.1;
        points.extend(processes("new", 1_000, &hosts, seed + 1));
        for point in &mut points {
            let at: usize = point.host["web-".len()..].parse().unwrap();
            point.cluster = if at < EAST { "east" } else { "west" }.to_owned();
        }
        let mut cells = cells_of("east", 1.0);
        cells.extend(cells_of("west", 1.5));
        Self { points, cells }
    }

    fn found(&self) -> HostsOfDeploy {
        odd_hosts(&self.points, &self.cells, "old", "new", 1_000 * SECOND_US).unwrap()
    }
}

#[test]
fn a_cluster_of_slower_machines_makes_no_host_odd() {
    let mut named = 0;
    for seed in 0..100 {
        let found = Clusters::of(4, (0, 1.0), seed).found();
        assert_eq!(found.hosts, 16);
        assert!(found.spread < 0.02, "{found:?}");
        named += found.odd.len();
    }
    assert!(named <= 1, "{named} of 100");
}

#[test]
fn a_bad_host_is_held_against_those_of_its_cluster() {
    for (bad, cluster) in [(3, "east"), (EAST + 5, "west")] {
        let found = Clusters::of(8, (bad, 1.4), 7).found();
        let [odd] = found.odd.as_slice() else {
            panic!("{cluster}: {found:?}");
        };
        assert_eq!(
            (odd.host.as_str(), odd.cluster.as_str()),
            (&*format!("web-{bad}"), cluster)
        );
        assert!((odd.relative - 0.4).abs() < 0.08, "{odd:?}");
        assert!(odd.relative_before.unwrap().abs() < 0.08, "{odd:?}");
    }
}

#[test]
fn hosts_of_one_name_in_two_clusters_are_two() {
    let mut clusters = Clusters::of(8, (EAST + 5, 1.4), 8);
    for point in &mut clusters.points {
        let at: usize = point.host["web-".len()..].parse().unwrap();
        point.host = format!("web-{}", at % EAST);
    }
    let found = clusters.found();
    assert_eq!((found.hosts, found.odd.len()), (20, 1), "{found:?}");
    assert_eq!(
        (&*found.odd[0].host, &*found.odd[0].cluster),
        ("web-5", "west")
    );
}

#[test]
fn a_cluster_of_few_hosts_is_left_out() {
    let found = Clusters::of(3, (EAST + 1, 1.4), 9).found();
    assert_eq!((found.hosts, found.odd.len()), (12, 0), "{found:?}");
}

#[test]
fn records_without_a_cluster_are_held_against_each_other() {
    let mut clusters = Clusters::of(4, (0, 1.0), 10);
    for point in &mut clusters.points {
        point.cluster.clear();
    }
    let found = clusters.found();
    assert_eq!((found.hosts, found.odd.len()), (16, 4), "{found:?}");
    assert!(found.odd.iter().all(|odd| odd.cluster.is_empty()));
}
