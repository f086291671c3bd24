//! Counts as large as a store's cells can hold: sums of them are the largest number, and nobody who judges them ends.

#![expect(unreachable_pub, reason = "a test has no outside")]

mod simulator;

use appweight::api::{DeployStatus, Detected, DetectedChange, DetectedVerdict};
use appweight::drift::DaySums;
use appweight::evidence::{Evidence, PlacedCell, ProcessPoint};
use appweight::gate::{Subject, gate};
use appweight::judge::judge;
use appweight::live::{MINUTE_US, judged_by};
use appweight::thresholds::Thresholds;
use appweight::weight::weigh;
use appweight_wire::{ActiveUsers, EndpointCount};
use simulator::{Fleet, SECOND_US, START_US, deploy};

/// A roll-out whose cells hold as much as they can.
fn cells() -> Vec<PlacedCell> {
    let mut cells = Fleet::default().roll_out(0.5, 1);
    for PlacedCell { cell, .. } in &mut cells {
        (cell.n, cell.weight, cell.errors) = (u64::MAX, u64::MAX, u64::MAX);
        let cpu_ns = cell.cpu_ns.as_mut().expect("all of them have it");
        (cpu_ns.n, cpu_ns.sum) = (u64::MAX, u64::MAX);
        for (_, count) in &mut cpu_ns.histogram {
            *count = u64::MAX;
        }
    }
    cells
}

fn process(deploy: &str, second: u64) -> ProcessPoint {
    ProcessPoint {
        source: format!("of {deploy}"),
        host: "web-0".to_owned(),
        deploy: deploy.to_owned(),
        cluster: String::new(),
        start_us: START_US + second * SECOND_US,
        width_us: SECOND_US,
        age_us: second * SECOND_US,
        requests_total: u64::MAX,
        memory_bytes: Some(u64::MAX),
        cpu_ns: u64::MAX,
        instructions: Some(u64::MAX),
        instructions_absent_because: None,
        active_users: Some(ActiveUsers::new()),
        endpoints: vec![
            EndpointCount {
                requests: u64::MAX,
                errors: u64::MAX,
                ..EndpointCount::default()
            };
            2
        ],
    }
}

fn processes() -> Vec<ProcessPoint> {
    let each = (0..180).flat_map(|second| [process("old", second), process("new", second)]);
    each.collect()
}

#[test]
fn a_deploy_is_judged_and_held_against_a_limit() {
    let evidence = Evidence {
        cells: cells(),
        processes: processes(),
        earlier: Vec::new(),
    };
    let judged = DeployStatus::Judged;
    let report = judge(&deploy(), judged, &evidence, &Thresholds::default());
    let comparison = report
        .comparison
        .as_ref()
        .expect("both deploys have requests");
    for endpoint in &comparison.endpoints {
        for arm in [endpoint.before, endpoint.after] {
            let counts = [arm.requests, arm.weight, arm.errors];
            assert_eq!(counts, [u64::MAX; 3], "{}", endpoint.endpoint);
        }
    }
    assert!(gate(comparison, &Subject::Total, 0.01, 0.99).is_some());
    let lighter = DetectedChange {
        kind: None,
        endpoint: None,
        verdict: DetectedVerdict::Improved,
        change: None,
        sure_since_us: None,
        more_requests: None,
        cost: None,
        checks: Vec::new(),
    };
    let detected = Detected {
        judges: true,
        total: Some(lighter),
        ..Detected::silent(String::new(), false)
    };
    let report = judged_by(detected, report, &Thresholds::default());
    let total = report.detected.and_then(|detected| detected.total);
    let checks = total.expect("it is there").checks;
    assert_eq!(
        checks,
        ["passed: errors did not rise: 100.0 % failed before, 100.0 % after"]
    );
}

#[test]
fn what_a_service_and_its_day_weighed_is_added_up() {
    let weighed = weigh(&processes(), MINUTE_US);
    assert!(
        weighed
            .points
            .iter()
            .all(|point| point.requests == u64::MAX)
    );
    let mut sums = DaySums::default();
    for placed in cells() {
        sums.add(&placed.cell);
    }
    let day = sums.into_day("photos", START_US, &processes());
    let peak = day.peak.expect("there are whole minutes");
    assert_eq!((peak.cpu_ns, peak.instructions), (u64::MAX, Some(u64::MAX)));
    assert!(day.endpoints.iter().all(|of| of.requests == u64::MAX));
}
