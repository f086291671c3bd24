//! How often the judge is wrong, counted on made-up fleets whose truth is known. Seeds are fixed:
//! a change of these numbers is a change of the judge.

#![expect(unreachable_pub, reason = "a test has no outside")]

mod simulator;

use appweight::api::{Comparison, DeployReport, DeployStatus, DeployVerdict, Verdict};
use appweight::evidence::Evidence;
use appweight::judge::judge;
use appweight::thresholds::Thresholds;
use simulator::{Fleet, deploy};

fn judged(fleet: &Fleet, factor: f64, seed: u64) -> (DeployVerdict, Vec<(String, Verdict)>) {
    judged_after(fleet, factor, seed, &[])
}

fn judged_after(
    fleet: &Fleet,
    factor: f64,
    seed: u64,
    earlier: &[Comparison],
) -> (DeployVerdict, Vec<(String, Verdict)>) {
    let report = report(fleet, factor, seed, earlier.to_vec());
    let flagged = report
        .comparison
        .expect("both sides served")
        .endpoints
        .into_iter()
        .filter(|endpoint| matches!(endpoint.verdict, Verdict::Regressed | Verdict::Improved))
        .map(|endpoint| (endpoint.endpoint, endpoint.verdict))
        .collect();
    (report.summary.verdict, flagged)
}

/// Roll-outs one after the other that changed `/feed` by these factors, the newest first.
fn history(fleet: &Fleet, factors: &[f64]) -> Vec<Comparison> {
    let mut earlier = Vec::new();
    for (factor, seed) in factors.iter().zip(1_000..) {
        let report = report(fleet, *factor, seed, earlier.clone());
        earlier.insert(0, report.comparison.expect("both sides served"));
    }
    earlier
}

fn report(fleet: &Fleet, factor: f64, seed: u64, earlier: Vec<Comparison>) -> DeployReport {
    let evidence = Evidence {
        cells: fleet.roll_out(factor, seed),
        processes: Vec::new(),
        earlier,
    };
    judge(
        &deploy(),
        DeployStatus::Judged,
        &evidence,
        &Thresholds::default(),
    )
}

/// The default confidence of 0.999 promises 0.4 alarms in 400; over 4,000 seeds there was 1.
#[test]
fn equal_deploys_raise_no_more_alarms_than_promised() {
    let fleet = Fleet::default();
    let alarms: Vec<_> = (0..400)
        .map(|seed| judged(&fleet, 1.0, seed))
        .filter(|(verdict, _)| *verdict != DeployVerdict::NoChange)
        .collect();
    assert!(alarms.len() <= 1, "{alarms:?}");
}

/// Half a minute side by side, 600 requests a second: what `cargo demo` gives the judge.
#[test]
fn a_sixth_more_is_found_in_the_right_endpoint_and_nowhere_else() {
    let fleet = Fleet {
        seconds: 30,
        spread: 0.4,
        ..Fleet::default()
    };
    let (mut missed, mut wrong_endpoint) = (0, 0);
    for seed in 0..100 {
        let (verdict, flagged) = judged(&fleet, 1.17, seed);
        let named: Vec<&str> = flagged
            .iter()
            .map(|(endpoint, _)| endpoint.as_str())
            .collect();
        missed += usize::from(verdict != DeployVerdict::Regressed);
        wrong_endpoint += usize::from(named.iter().any(|endpoint| *endpoint != "/feed"));
    }
    assert!(missed <= 1, "{missed} of 100 missed");
    assert!(
        wrong_endpoint <= 1,
        "{wrong_endpoint} of 100 named another endpoint"
    );
}

#[test]
fn an_improvement_is_one() {
    let (verdict, flagged) = judged(&Fleet::default(), 0.75, 1);
    assert_eq!(verdict, DeployVerdict::Improved);
    assert_eq!(flagged, [("/feed".to_owned(), Verdict::Improved)]);
}

#[test]
fn a_fleet_sees_what_two_hosts_cannot() {
    let small = judged(&Fleet::default(), 1.06, 3);
    let fleet = Fleet {
        hosts: 40,
        requests_per_second: 6_000.0,
        ..Fleet::default()
    };
    assert_eq!(small.0, DeployVerdict::NoChange);
    assert_eq!(
        judged_after(&fleet, 1.06, 3, &history(&fleet, &[1.0; 5])).0,
        DeployVerdict::Regressed
    );
}

/// A heap that ages makes every new process cheaper than the old ones, whatever its code.
#[test]
fn what_every_restart_does_is_no_change() {
    let fleet = Fleet {
        hosts: 40,
        requests_per_second: 6_000.0,
        ..Fleet::default()
    };
    let aging = history(&fleet, &[0.93; 6]);
    for seed in 0..4 {
        let first = judged(&fleet, 0.93, seed);
        assert_eq!(
            first.0,
            DeployVerdict::Improved,
            "nothing else is known yet"
        );
        let later = judged_after(&fleet, 0.93, seed, &aging);
        assert_eq!(later, (DeployVerdict::NoChange, Vec::new()), "seed {seed}");
        let heavier = judged_after(&fleet, 0.93 * 1.1, seed, &aging);
        assert_eq!(
            heavier.1,
            [("/feed".to_owned(), Verdict::Regressed)],
            "seed {seed}"
        );
    }
}
