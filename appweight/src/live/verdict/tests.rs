use super::*;
use crate::api::{AddedCost, Change, OddHost};
use DetectedVerdict::{Improved, NoData, Regressed, Unchanged, Undecided, Withdrawn, Withheld};

fn change(endpoint: Option<&str>, verdict: DetectedVerdict, relative: f64) -> DetectedChange {
    let change = Change {
        relative,
        low: relative - 0.01,
        high: relative + 0.01,
        confidence: 0.95,
        standard_error: 0.005,
    };
    DetectedChange {
        kind: endpoint.map(|_| appweight_wire::Kind::Request),
        endpoint: endpoint.map(str::to_owned),
        verdict,
        change: (verdict != NoData).then_some(change),
        sure_since_us: None,
        more_requests: (verdict == Undecided).then_some(12_000),
        cost: (verdict == Regressed).then_some(AddedCost {
            share: 0.0131,
            cores: Some(2.1),
            of_cores: Some(160.0),
        }),
        checks: Vec::new(),
    }
}

fn detected(endpoints: &[(&str, DetectedVerdict, f64)], total: DetectedVerdict) -> Detected {
    Detected {
        judges: true,
        endpoints: endpoints
            .iter()
            .map(|(name, verdict, relative)| change(Some(name), *verdict, *relative))
            .collect(),
        total: Some(change(None, total, -0.05)),
        ..Detected::silent(String::new(), false)
    }
}

/// A report whose comparison has 10,000 requests of each endpoint on each side, of which so many failed.
fn report(errors: &[(&str, [u64; 2])]) -> DeployReport {
    let arm = |requests: u64, errors: u64| {
        serde_json::json!({
            "requests": requests, "weight": requests, "errors": errors, "host_groups": 4, "mean": 1e6,
        })
    };
    let endpoints: Vec<serde_json::Value> = errors
        .iter()
        .map(|(name, [before, after])| {
            serde_json::json!({
                "kind": "request", "endpoint": name, "metric": "cpu", "instruction_source": "none",
                "control": "side_by_side", "before": arm(10_000, *before), "after": arm(10_000, *after),
                "share": 0.5, "verdict": "no_change", "gates": [],
            })
        })
        .collect();
    let json = serde_json::json!({
        "summary": {
            "deploy": {"service": "photos", "id": "b", "started_us": 0, "replaced": "a"},
            "status": "judged", "verdict": "no_change", "headline": "", "findings": [],
        },
        "comparison": {
            "service": "photos", "base": "a", "head": "b", "metric": "cpu", "control": "side_by_side",
            "endpoints": endpoints, "total": {"before": 1e6, "after": 1e6},
        },
    });
    serde_json::from_value(json).unwrap()
}

fn judged(detected: Detected, errors: &[(&str, [u64; 2])]) -> DeployReport {
    judged_by(detected, report(errors), &Thresholds::default())
}

#[test]
fn a_deploys_verdict_is_what_its_endpoints_say() {
    let verdict = |endpoints: &[(&str, DetectedVerdict, f64)]| {
        let summary = judged(detected(endpoints, Undecided), &[]).summary;
        (summary.verdict, summary.headline)
    };
    let (undecided, told) = verdict(&[("/a", Undecided, 0.002), ("/b", Undecided, 0.01)]);
    assert_eq!(undecided, DeployVerdict::Undecided);
    assert!(
        told.contains("at least 12000 more requests of /a"),
        "{told}"
    );
    let (same, told) = verdict(&[("/a", Undecided, 0.002), ("/b", Unchanged, 0.0)]);
    assert_eq!(same, DeployVerdict::NoChange);
    assert!(
        told.starts_with("No change found: −5.0 % (−6.0 … −4.0)"),
        "{told}"
    );
    let (gone, told) = verdict(&[("/a", Withdrawn, 0.05), ("/b", Unchanged, 0.0)]);
    assert_eq!(gone, DeployVerdict::Withdrawn);
    assert!(told.starts_with("What /a showed went away"), "{told}");
    let (heavier, told) = verdict(&[("/a", Withdrawn, 0.05), ("/b", Regressed, 0.04)]);
    assert_eq!(heavier, DeployVerdict::Regressed);
    assert!(
        told.ends_with(": +1.3 % of the service's CPU, 2.1 of 160 cores"),
        "{told}"
    );
}

#[test]
fn what_has_no_data_is_not_undecided() {
    let mut silent = detected(&[("/a", NoData, 0.0)], NoData);
    assert_eq!(
        judged(silent.clone(), &[]).summary.verdict,
        DeployVerdict::NotEnoughData
    );
    silent.judges = false;
    assert_eq!(judged(silent, &[]).summary.verdict, DeployVerdict::NoChange);
}

#[test]
fn lighter_is_withheld_while_errors_rose_and_of_all_together_too() {
    let said = |errors: &[(&str, [u64; 2])], endpoint: DetectedVerdict| {
        let report = judged(detected(&[("/a", endpoint, -0.1)], Improved), errors);
        let detected = report.detected.unwrap();
        let total = detected.total.unwrap();
        assert!(!total.checks.is_empty());
        (
            detected.endpoints[0].verdict,
            total.verdict,
            report.summary.verdict,
        )
    };
    let steady = [("/a", [20, 25]), ("/b", [20, 20])];
    assert_eq!(
        said(&steady, Improved),
        (Improved, Improved, DeployVerdict::Improved)
    );
    let failing = [("/a", [20, 500]), ("/b", [20, 20])];
    assert_eq!(
        said(&failing, Improved),
        (Withheld, Withheld, DeployVerdict::Withheld)
    );
    // It is too small a part for the share of all requests to rise.
    let one_of_many = [
        ("/a", [20, 140]),
        ("/b", [0, 0]),
        ("/c", [0, 0]),
        ("/d", [0, 0]),
    ];
    assert_eq!(
        said(&one_of_many, Improved),
        (Withheld, Withheld, DeployVerdict::Withheld)
    );
    // Nobody called the endpoint, and all together are lighter since it fails.
    assert_eq!(
        said(&failing, Undecided),
        (Undecided, Withheld, DeployVerdict::Withheld)
    );
}

#[test]
fn a_bad_host_is_named_beside_what_went_away() {
    let mut report = report(&[]);
    report.hosts = Some(HostsOfDeploy {
        hosts: 8,
        spread: 0.012,
        odd: vec![OddHost {
            host: "web-5".to_owned(),
            cluster: String::new(),
            relative: 0.4,
            spreads: 28.04,
            cpu_ns_per_request: 1_840_000.0,
            others_cpu_ns_per_request: 1_310_000.0,
            relative_before: Some(0.003),
        }],
    });
    let gone = || detected(&[("/a", Withdrawn, 0.05)], Undecided);
    let headline = |report| {
        let judged = judged_by(gone(), report, &Thresholds::default());
        judged.summary.headline
    };
    let told = headline(report.clone());
    assert_eq!(
        told,
        "What /a showed went away: −5.0 % (−6.0 … −4.0) per request over all endpoints; host web-5 costs +40.0 % for the same requests as the others, 28 times their spread (1.84 ms CPU time per request against 1.31 ms), not so before the roll-out"
    );
    for odd in report.hosts.iter_mut().flat_map(|hosts| &mut hosts.odd) {
        odd.cluster = "east".to_owned();
    }
    let told = headline(report);
    assert!(
        told.contains(
            "; host web-5 of cluster east costs +40.0 % for the same requests as the others there, 28 times"
        ),
        "{told}"
    );
}
