//! The judge's answers where people misread others: sparse data, errors, mixed sources, mix shifts.

#![expect(unreachable_pub, reason = "a test has no outside")]

mod simulator;

use appweight::api::{Control, DeployStatus, DeployVerdict, Metric, Verdict};
use appweight::compare::{CompareError, Question, compare};
use appweight::evidence::{Evidence, PlacedCell};
use appweight::judge::judge;
use appweight::thresholds::Thresholds;
use appweight_wire::{Age, Cell, InstructionSource};
use simulator::{Fleet, SECOND_US, START_US, deploy, key};

const QUESTION: Question<'_> = Question {
    service: "photos",
    base: "old",
    head: "new",
    metric: None,
};

fn judged(cells: Vec<PlacedCell>) -> appweight::api::DeployReport {
    let evidence = Evidence {
        cells,
        processes: Vec::new(),
        earlier: Vec::new(),
    };
    judge(
        &deploy(),
        DeployStatus::Judged,
        &evidence,
        &Thresholds::default(),
    )
}

fn constant(deploy: &str, second: u64, n: u64, value: u64) -> PlacedCell {
    let mut cell = Cell::new(key("/feed", START_US + second * SECOND_US));
    for _ in 0..n {
        cell.cpu_ns.get_or_insert_default().observe(value);
    }
    cell.n = n;
    cell.weight = n;
    PlacedCell {
        deploy: deploy.into(),
        cluster: String::new(),
        host_group: 0,
        cell,
    }
}

#[test]
fn too_few_requests_are_never_a_pass() {
    let report = judged(vec![
        constant("old", 0, 99, 5),
        constant("new", 0, 5_000, 500),
    ]);
    assert_eq!(report.summary.verdict, DeployVerdict::NotEnoughData);
    let report = judged(vec![constant("old", 0, 500, 5)]);
    assert_eq!(report.summary.verdict, DeployVerdict::NotEnoughData);
    assert!(
        report.summary.headline.contains("new"),
        "{}",
        report.summary.headline
    );
    assert_eq!(
        judged(Vec::new()).summary.verdict,
        DeployVerdict::NotEnoughData
    );
}

#[test]
fn failing_fast_is_no_improvement() {
    let mut cells = Fleet::default().roll_out(0.5, 1);
    assert_eq!(
        judged(cells.clone()).summary.verdict,
        DeployVerdict::Improved
    );
    for placed in cells.iter_mut().filter(|placed| placed.deploy == "new") {
        placed.cell.errors = placed.cell.n / 2;
    }
    assert_eq!(judged(cells).summary.verdict, DeployVerdict::Withheld);
}

#[test]
fn young_processes_and_flag_cells_are_passed_over() {
    let mut cells = Fleet::default().roll_out(1.0, 1);
    let slow: Vec<PlacedCell> = cells
        .iter()
        .filter(|placed| placed.deploy == "new")
        .cloned()
        .map(|mut placed| {
            placed.cell.key.age = Age::WarmingUp;
            placed.cell.cpu_ns = constant("new", 0, 50, 90_000_000).cell.cpu_ns;
            placed
        })
        .collect();
    cells.extend(slow);
    assert_eq!(judged(cells).summary.verdict, DeployVerdict::NoChange);
}

#[test]
fn the_load_that_moves_both_at_once_falls_out() {
    // The machine becomes three times slower while the new code spreads.
    let cells: Vec<PlacedCell> = (0..20)
        .flat_map(|second| {
            let cost = 100_000 * (10 + second);
            [
                constant("old", second, 10 * (20 - second), cost),
                constant("new", second, 10 * (1 + second), cost),
            ]
        })
        .collect();
    let report = judged(cells);
    assert_eq!(report.summary.verdict, DeployVerdict::NoChange);
    let change = report.comparison.unwrap().endpoints[0].change.unwrap();
    assert!(change.relative.abs() < 1e-9, "{change:?}");
}

#[test]
fn a_roll_out_all_at_once_says_that_its_control_is_weaker() {
    let cells: Vec<PlacedCell> = (0..20)
        .map(|second| {
            constant(
                if second < 10 { "old" } else { "new" },
                second,
                200,
                100_000 + 3_000 * (second / 10),
            )
        })
        .collect();
    let comparison = compare(QUESTION, &cells, &[], &Thresholds::default()).unwrap();
    assert_eq!(comparison.control, Control::BeforeAfter);
    assert_eq!(
        comparison.endpoints[0].verdict,
        Verdict::NoChange,
        "3 % is within what machines do meanwhile"
    );
}

#[test]
fn sources_of_instructions_are_not_mixed() {
    let counted = |deploy: &str, source| {
        let mut placed = constant(deploy, 0, 500, 1_000);
        placed.cell.key.instruction_source = source;
        placed.cell.instructions = placed.cell.cpu_ns.clone();
        placed
    };
    let thresholds = Thresholds::default();
    let same = [
        counted("old", InstructionSource::HardwareUser),
        counted("new", InstructionSource::HardwareUser),
    ];
    assert_eq!(
        compare(QUESTION, &same, &[], &thresholds).unwrap().metric,
        Metric::Instructions
    );
    let mixed = [
        counted("old", InstructionSource::HardwareUser),
        counted("new", InstructionSource::Simulated),
    ];
    assert!(matches!(
        compare(QUESTION, &mixed, &[], &thresholds),
        Err(CompareError::MixedSources { .. })
    ));
    let one_without = [
        counted("old", InstructionSource::HardwareUser),
        constant("new", 0, 500, 1_000),
    ];
    assert_eq!(
        compare(QUESTION, &one_without, &[], &thresholds)
            .unwrap()
            .metric,
        Metric::Cpu
    );
    let asked = Question {
        metric: Some(Metric::Instructions),
        ..QUESTION
    };
    assert!(compare(asked, &one_without, &[], &thresholds).is_err());
}

#[test]
fn a_shift_of_mix_is_no_change_of_cost() {
    // The new code's users ask for the light endpoint far more often.
    let mut cells = Fleet::default().roll_out(1.0, 5);
    let extra: Vec<PlacedCell> = cells
        .iter()
        .filter(|placed| placed.deploy == "new" && placed.cell.key.endpoint == "/seen")
        .cloned()
        .collect();
    for _ in 0..5 {
        cells.extend(extra.iter().cloned());
    }
    assert_eq!(judged(cells).summary.verdict, DeployVerdict::NoChange);
}

#[test]
fn every_verdict_carries_the_gates_that_led_to_it() {
    let report = judged(Fleet::default().roll_out(1.4, 1));
    let feed = &report.comparison.unwrap().endpoints[0];
    let gates: Vec<(&str, bool)> = feed
        .gates
        .iter()
        .map(|gate| (gate.name.as_str(), gate.passed))
        .collect();
    assert_eq!(
        gates,
        [("enough_requests", true), ("interval_above_floor", true)]
    );
    assert!(
        report.summary.headline.starts_with("/feed +"),
        "{}",
        report.summary.headline
    );
}

#[test]
fn the_first_deploy_is_not_judged() {
    let mut first = deploy();
    first.replaced = None;
    let report = judge(
        &first,
        DeployStatus::Judged,
        &Evidence::default(),
        &Thresholds::default(),
    );
    assert_eq!(report.summary.verdict, DeployVerdict::First);
}
