//! The detector on simulated days: how often it is wrong, and that it never looks ahead.

#[cfg(test)]
mod days;

use appweight::detect::{CellLine, DeployLine, Detector, Ruling, VerdictLine};
use appweight::simulate::{Cause, PlannedDeploy, RollOut, Shape, Simulation, Truth, score};

fn small() -> Shape {
    Shape {
        endpoints: 8,
        hosts_per_cluster: 4,
        deploys_per_day: 16,
        changed_share: 0.6,
        changes: (0.05, 0.2),
        ..Shape::usual(400.0)
    }
}

fn day(seed: u64) -> (Vec<DeployLine>, Vec<CellLine<'static>>) {
    let mut simulation = Simulation::new(&small(), seed, 1);
    let deploys = simulation.deploy_lines();
    let mut cells = Vec::new();
    while simulation.next_minute(&mut |cell| {
        let text = serde_json::to_string(cell).expect("a cell is plain data");
        cells.push(serde_json::from_str(Box::leak(text.into_boxed_str())).expect("as written"));
    }) {}
    (deploys, cells)
}

fn judge(deploys: &[DeployLine], cells: &[CellLine<'_>]) -> Vec<VerdictLine> {
    let mut detector = Detector::new();
    for deploy in deploys {
        detector.add_deploy(deploy.clone());
    }
    let mut told = Vec::new();
    for cell in cells {
        told.extend(detector.add_cell(cell).expect("a simulated cell is sound"));
    }
    told.extend(detector.finish());
    told
}

fn name(line: &VerdictLine) -> [Option<&str>; 3] {
    [&line.deploy, &line.flag, &line.endpoint].map(Option::as_deref)
}

#[test]
fn a_verdict_is_the_same_when_the_file_ends_at_its_minute() {
    let (deploys, cells) = day(3);
    let whole = judge(&deploys, &cells);
    let mut checked = std::collections::BTreeSet::new();
    for line in whole.iter().step_by(whole.len().div_ceil(24)) {
        let known: Vec<DeployLine> = deploys
            .iter()
            .filter(|deploy| deploy.start <= line.at_minute)
            .cloned()
            .collect();
        let end = cells.partition_point(|cell| cell.minute <= line.at_minute);
        let cut = judge(&known, &cells[..end]);
        let last = cut.iter().rfind(|other| name(other) == name(line)).unwrap();
        assert_eq!(last, line);
        checked.insert(format!("{:?}", line.verdict));
    }
    assert!(
        checked.contains("Undecided") && checked.len() >= 3,
        "{checked:?}"
    );
}

#[test]
fn neither_the_order_within_a_minute_nor_the_hosts_names_matter() {
    let (deploys, cells) = day(4);
    let mut shuffled: Vec<CellLine<'_>> = cells
        .iter()
        .map(|cell| {
            let mut renamed = cell.clone();
            if cell.host != "*" {
                renamed.host =
                    format!("another-{}", cell.host.chars().rev().collect::<String>()).into();
            }
            renamed
        })
        .collect();
    for minute in shuffled.chunk_by_mut(|a, b| a.minute == b.minute) {
        minute.reverse();
    }
    let mut one = judge(&deploys, &cells);
    let mut other = judge(&deploys, &shuffled);
    let key = |line: &VerdictLine| {
        let name = name(line).map(|part| part.map(str::to_owned));
        (line.at_minute, name)
    };
    one.sort_by_key(key);
    other.sort_by_key(key);
    assert_eq!(one.len(), other.len());
    for (one, other) in one.iter().zip(&other) {
        assert_eq!((name(one), one.verdict), (name(other), other.verdict));
        let (one, other) = (one.effect.unwrap_or(0.0), other.effect.unwrap_or(0.0));
        assert!((one - other).abs() < 1e-6, "{one} {other}");
    }
}

/// What a quiet day's detector says once something is made to happen in it.
fn told_with(
    shape: &Shape,
    seed: u64,
    what: impl Fn(&Simulation) -> Vec<Truth>,
) -> Vec<VerdictLine> {
    days::told(shape, seed, |simulation| {
        let happens = what(simulation);
        simulation.plan.truth.extend(happens);
    })
}

/// The last word on each pair, of those that stand as changed.
fn standing(told: &[VerdictLine]) -> Vec<&VerdictLine> {
    let mut last = std::collections::BTreeMap::new();
    for line in told {
        last.insert(name(line), line);
    }
    let is_alarm =
        |line: &VerdictLine| matches!(line.verdict, Ruling::Regressed | Ruling::Improved);
    last.into_values().filter(|line| is_alarm(line)).collect()
}

/// All requests cost more from so many minutes after a roll-out's start on.
fn spike(deploy: &PlannedDeploy, from: i64, minutes: i64, effect: f64) -> Truth {
    let start = deploy.start + from;
    Truth::trap(Cause::Spike, effect, start, start + minutes)
}

/// Few requests, noisy minutes, three clusters, long warm-up: one cluster's minute hardly shows a spike.
fn quiet_and_noisy() -> Shape {
    Shape {
        endpoints: 8,
        hosts_per_cluster: 4,
        deploys_per_day: 16,
        ..Shape::held_out(100.0)
    }
}

#[test]
fn a_spike_that_one_cluster_shows_and_the_others_nearly_is_charged_to_no_deploy() {
    let mut alarms = Vec::new();
    for seed in [31, 32] {
        let told = told_with(&quiet_and_noisy(), seed, |simulation| {
            let deploys = simulation.plan.deploys.iter().skip(4);
            let gradual = deploys.filter(|deploy| deploy.roll_out == RollOut::HostByHost);
            gradual.map(|deploy| spike(deploy, -13, 19, 0.15)).collect()
        });
        assert!(told.len() > 16 * 8, "{}", told.len());
        alarms.extend(standing(&told).into_iter().cloned());
    }
    assert!(alarms.is_empty(), "{alarms:?}");
}

#[test]
fn a_spike_that_ends_while_all_hosts_are_cold_is_charged_to_no_deploy() {
    let mut alarms = Vec::new();
    let mut instant = 0;
    for seed in [33, 34, 35] {
        let told = told_with(&quiet_and_noisy(), seed, |simulation| {
            let deploys = simulation.plan.deploys.iter().skip(4);
            let at_once = deploys.filter(|deploy| deploy.roll_out == RollOut::Instant);
            at_once.map(|deploy| spike(deploy, -10, 16, 0.12)).collect()
        });
        instant += told.len();
        alarms.extend(standing(&told).into_iter().cloned());
    }
    assert!(instant > 0);
    assert!(alarms.is_empty(), "{alarms:?}");
}

#[test]
fn a_spike_across_the_edge_of_a_roll_out_is_charged_to_no_deploy() {
    let told = told_with(&small(), 21, |simulation| {
        // Begins within a roll-out, ends within one, lies within one; each of several kinds of roll-out.
        let deploys = &simulation.plan.deploys;
        (4..16)
            .map(|at| {
                let (from, minutes) = [(3, 25), (-15, 19), (2, 4)][at % 3];
                spike(&deploys[at], from, minutes, 0.15)
            })
            .collect()
    });
    assert!(told.len() > 16 * 8, "{}", told.len());
    let standing = standing(&told);
    assert!(standing.is_empty(), "{standing:?}");
}

#[test]
fn a_spike_of_one_endpoint_is_charged_until_it_ends() {
    let shape = Shape {
        peak_requests_per_second: 3_000.0,
        ..small()
    };
    let mut withdrawn = 0;
    // The busiest endpoint, which could pass for all, and others.
    for (seed, endpoint) in [(23, 0), (24, 1), (25, 3)] {
        let told = told_with(&shape, seed, |simulation| {
            let plan = &simulation.plan;
            let at_once = |deploy: &&PlannedDeploy| deploy.roll_out == RollOut::Instant;
            let deploys = plan.deploys.iter().skip(4).filter(at_once);
            let of_one = deploys.map(|deploy| Truth {
                endpoint: Some(plan.endpoints[endpoint].clone()),
                ..spike(deploy, 2, 30, 0.25)
            });
            of_one.collect()
        });
        // Chance may call a few per mille of an endpoint.
        let mut standing = standing(&told);
        standing.retain(|line| line.effect.is_some_and(|effect| effect.abs() > 0.01));
        assert!(standing.is_empty(), "seed {seed}: {standing:#?}");
        let is_withdrawn = |line: &&VerdictLine| line.verdict == Ruling::Withdrawn;
        for line in told.iter().filter(is_withdrawn) {
            let went_away = "failed: went away: withdrawn, the level moved by -";
            assert!(line.checks.iter().any(|check| check.starts_with(went_away)));
            withdrawn += usize::from(line.endpoint.is_some());
        }
    }
    assert!(withdrawn >= 3, "{withdrawn}");
}

#[test]
fn few_hosts_are_not_unchanged_where_their_mean_moved() {
    let shape = Shape {
        endpoints: 3,
        hosts_per_cluster: 2,
        deploys_per_day: 8,
        ..Shape::usual(400.0)
    };
    let mut simulation = Simulation::new(&shape.unchanged(), 41, 1);
    let dearer = simulation.plan.endpoints[0].clone();
    let changed = simulation.plan.deploys[5].clone();
    let after: Vec<String> = simulation.plan.deploys[5..]
        .iter()
        .map(|deploy| deploy.name.clone())
        .collect();
    let mut detector = Detector::new();
    for deploy in simulation.deploy_lines() {
        detector.add_deploy(deploy);
    }
    let mut told = Vec::new();
    while simulation.next_minute(&mut |cell| {
        let mut cell = cell.clone();
        if cell.endpoint == dearer && after.iter().any(|deploy| *deploy == cell.deploy) {
            cell.sum *= 1.3;
        }
        told.extend(detector.add_cell(&cell).expect("a simulated cell is sound"));
    }) {}
    told.extend(detector.finish());
    let last = |deploy: &str, endpoint: &str| {
        let name = [Some(deploy), None, Some(endpoint)];
        told.iter().rfind(|line| self::name(line) == name).unwrap()
    };
    let of_changed = last(&changed.name, &dearer);
    assert_eq!(of_changed.verdict, Ruling::Undecided, "{of_changed:#?}");
    let is_told =
        |check: &String| check.starts_with("noted: tail: too few groups of hosts, 4 of 6");
    assert!(of_changed.checks.iter().any(is_told), "{of_changed:#?}");
    let before = simulation.plan.deploys[2..5].iter();
    let unchanged = before.filter(|of| last(&of.name, &dearer).verdict == Ruling::Unchanged);
    assert!(
        unchanged.count() >= 2,
        "what did not move is said to be unchanged"
    );
}

/// The rate is in docs/performance.md.
#[test]
fn where_nothing_changes_there_is_at_most_one_alarm_a_day() {
    let shape = Shape {
        deploys_per_day: 40,
        ..small().unchanged()
    };
    let mut alarms = 0;
    for seed in 100..103 {
        let score = score(&shape, seed, 1);
        assert_eq!(score.clean_pairs, 320);
        alarms += score.ever_false + score.service_false_alarms;
    }
    assert!(alarms <= 3, "{alarms} alarms in 3 days without a change");
}

#[test]
fn what_is_large_is_found() {
    let shape = Shape {
        traps: false,
        ..small()
    };
    let score = score(&shape, 7, 1);
    assert!(score.detectable >= 5, "{score:?}");
    assert!(
        score.found * 10 >= score.detectable * 8,
        "{} of {}",
        score.found,
        score.detectable
    );
}

#[test]
fn a_cell_of_an_unknown_deploy_and_one_out_of_order_are_refused() {
    let (deploys, cells) = day(3);
    let mut detector = Detector::new();
    assert!(detector.add_cell(&cells[0]).is_err());
    detector.add_deploy(deploys[0].clone());
    let late = CellLine {
        minute: cells[0].minute + 1,
        ..cells[0].clone()
    };
    assert_eq!(detector.add_cell(&late), Ok(Vec::new()));
    assert!(detector.add_cell(&cells[0]).is_err());
}

#[test]
fn a_deploy_that_there_is_no_room_for_is_said_to_be_left_out() {
    let deploys: Vec<DeployLine> = (0..30)
        .map(|number: i64| DeployLine {
            deploy: format!("d{number}"),
            service: "photo".to_owned(),
            replaces: (number > 0).then(|| format!("d{}", number - 1)),
            start: 10 + 2 * number,
            end: 10 + 2 * number,
        })
        .collect();
    let cell = |minute: i64, host: usize| {
        let serving = ((minute - 10) / 2).clamp(0, 29);
        CellLine {
            minute,
            deploy: format!("d{serving}").into(),
            endpoint: "/feed".into(),
            host: format!("h{host}").into(),
            cluster: "c".into(),
            metric: "instructions".into(),
            n: 400.0,
            weight: 400.0,
            sum: 4_000.0,
            sumsq: 0.0,
            sumlog: 400.0 * 10.0_f64.ln(),
            sumsqlog: 400.0 * (10.0_f64.ln().powi(2) + 0.01),
            min: 0.0,
            max: 0.0,
            flag: None,
            value: None,
        }
    };
    let cells = (1..80).flat_map(|minute| (0..4).map(move |host| (minute, host)));
    let cells: Vec<CellLine<'_>> = cells.map(|(minute, host)| cell(minute, host)).collect();
    let told = judge(&deploys, &cells);
    let left_out = |deploy: &str| {
        told.iter().any(|line| {
            line.deploy.as_deref() == Some(deploy)
                && line.verdict == Ruling::NoData
                && line
                    .checks
                    .iter()
                    .any(|check| check.starts_with("failed: watch: 24 other"))
        })
    };
    assert!(!left_out("d24") && left_out("d25") && left_out("d29"));
}
