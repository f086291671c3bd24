use super::*;
use crate::detect::verdict;

/// Three deploys of three endpoints: the second makes the first endpoint dearer by 10 %, the third changes all by 5 %.
fn simulation() -> Simulation {
    let shape = Shape {
        endpoints: 3,
        hosts_per_cluster: 2,
        deploys_per_day: 3,
        ..Shape::usual(100.0).unchanged()
    };
    let mut simulation = Simulation::new(&shape, 1, 1);
    simulation.plan.deploys[2].effects[0] = 0.1_f64.ln_1p();
    simulation.plan.deploys[3].effects = vec![0.05_f64.ln_1p(); 3];
    simulation
}

fn line(deploy: &str, endpoint: Option<&str>, ruling: Ruling, effect: f64) -> VerdictLine {
    VerdictLine {
        deploy: Some(deploy.to_owned()),
        endpoint: endpoint.map(str::to_owned),
        effect: Some(effect),
        low: Some(effect - 0.02),
        high: Some(effect + 0.02),
        verdict: ruling,
        ..verdict(None, false, false, 0.0, 0)
    }
}

fn scored(lines: &[VerdictLine]) -> Score {
    let simulation = simulation();
    let sure = Counted {
        old: 1e9,
        old_cells: 1e9,
        new: 1e9,
        new_cells: 1e9,
    };
    let counted = vec![vec![sure; 3]; simulation.plan.deploys.len()];
    let mut score = Score::default();
    score_deploys(&simulation, lines, &counted, &mut score);
    score
}

#[test]
fn lines_that_are_right_have_no_mistake() {
    let start = simulation().plan.deploys[2].start;
    let mut early = line("d00002", Some("/e00"), Ruling::Regressed, 0.09);
    early.at_minute = start + 7;
    let mut lines = vec![
        early,
        line("d00002", Some("/e00"), Ruling::Regressed, 0.1),
        line("d00003", None, Ruling::Regressed, 0.05),
    ];
    for deploy in ["d00001", "d00002"] {
        for endpoint in ["/e01", "/e02"] {
            lines.push(line(deploy, Some(endpoint), Ruling::Unchanged, 0.0));
        }
    }
    let score = scored(&lines);
    assert_eq!((score.planted, score.detectable), (1, 1));
    assert_eq!(
        (score.found, score.found_alone, score.planted_found),
        (1, 1, 1)
    );
    assert_eq!(score.minutes, [7], "that of the first alarm");
    assert_eq!((score.clean_pairs, score.false_alarms), (5, 0));
    assert_eq!((score.clean_deploys, score.clean_deploys_alarmed), (1, 0));
    assert_eq!((score.service_changes, score.service_found), (1, 1));
    assert_eq!((score.intervals, score.covered), (5, 5));
    assert_eq!((score.alarmed_intervals, score.alarmed_covered), (1, 1));
    assert_eq!(score.mistakes, [""; 0]);
}

#[test]
fn each_kind_of_mistake_is_counted() {
    let score = scored(&[
        // Of the wrong sign, and another endpoint of a deploy that changed one.
        line("d00002", Some("/e00"), Ruling::Improved, -0.1),
        line("d00002", Some("/e01"), Ruling::Regressed, 0.05),
        // A clean deploy: one withdrawn, one that stands; and its service's line.
        line("d00001", Some("/e00"), Ruling::Regressed, 0.05),
        line("d00001", Some("/e00"), Ruling::Withdrawn, 0.01),
        line("d00001", Some("/e02"), Ruling::Improved, -0.05),
        line("d00001", None, Ruling::Regressed, 0.05),
        line("d00003", None, Ruling::Undecided, 0.05),
    ]);
    assert_eq!(
        (score.found, score.found_alone, score.planted_found),
        (0, 0, 0)
    );
    assert_eq!(
        (score.clean_pairs, score.false_alarms, score.ever_false),
        (5, 2, 3)
    );
    assert_eq!((score.clean_deploys, score.clean_deploys_alarmed), (1, 1));
    assert_eq!(score.service_false_alarms, 1);
    assert_eq!((score.service_changes, score.service_found), (1, 0));
    // Only the withdrawn one holds the truth, which is nothing.
    assert_eq!((score.intervals, score.covered), (4, 1));
    assert_eq!((score.alarmed_intervals, score.alarmed_covered), (3, 0));
    assert_eq!(score.mistakes.len(), 4, "{:#?}", score.mistakes);
}
