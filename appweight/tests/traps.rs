//! What looks like a deploy's doing and is not, what is a deploy's or a flag's, one at a time on quiet days.

#[cfg(test)]
mod days;

use appweight::detect::{Ruling, VerdictLine};
use appweight::simulate::{Cause, RollOut, Shape, Simulation, Truth, score};
use days::told;

/// Few endpoints and hosts, many requests: quick, and noise hides nothing.
fn shape() -> Shape {
    Shape {
        endpoints: 6,
        hosts_per_cluster: 4,
        deploys_per_day: 14,
        ..Shape::usual(600.0)
    }
}

fn last<'a>(told: &'a [VerdictLine], deploy: &str, endpoint: Option<&str>) -> &'a VerdictLine {
    let is_it = |line: &&VerdictLine| {
        line.deploy.as_deref() == Some(deploy) && line.endpoint.as_deref() == endpoint
    };
    told.iter().rfind(is_it).expect("every pair has a line")
}

/// Pairs that stand as changed by more than a per cent in the end: of less, chance may call one.
fn standing(told: &[VerdictLine]) -> Vec<&VerdictLine> {
    let of_deploys = told.iter().filter(|line| line.deploy.is_some());
    let stands = |line: &&VerdictLine| {
        let deploy = line.deploy.as_deref().unwrap_or_default();
        let is_last = std::ptr::eq(*line, last(told, deploy, line.endpoint.as_deref()));
        let is_called = matches!(line.verdict, Ruling::Regressed | Ruling::Improved);
        is_last && is_called && line.effect.is_some_and(|effect| effect.abs() > 0.01)
    };
    of_deploys.filter(stands).collect()
}

/// The third endpoint of that deploy and of all that follow costs more.
fn change(simulation: &mut Simulation, deploy: usize, effect: f64) -> [String; 2] {
    let plan = &mut simulation.plan;
    plan.deploys[deploy].effects[2] = effect.ln_1p();
    [plan.deploys[deploy].name.clone(), plan.endpoints[2].clone()]
}

#[test]
fn an_instant_deploy_is_told_from_the_time_of_day() {
    let mut changed = None;
    let told = told(&shape(), 61, |simulation| {
        for deploy in &mut simulation.plan.deploys {
            deploy.roll_out = RollOut::Instant;
            deploy.end = deploy.start;
            for restart in deploy.restarts.iter_mut().filter(|restart| **restart > 0) {
                *restart = deploy.start;
            }
        }
        changed = Some(change(simulation, 8, 0.08));
    });
    let [deploy, endpoint] = changed.unwrap();
    let standing = standing(&told);
    let of_endpoints: Vec<&&VerdictLine> = standing
        .iter()
        .filter(|line| line.endpoint.is_some())
        .collect();
    let [line] = of_endpoints.as_slice() else {
        panic!("{standing:#?}");
    };
    assert_eq!(line.deploy, Some(deploy));
    assert_eq!(line.endpoint, Some(endpoint));
    assert!(line.low < Some(0.08) && line.high > Some(0.08), "{line:?}");
    let is_instant = |check: &String| check.contains("old and new never served at once");
    assert!(line.checks.iter().any(is_instant), "{line:#?}");
}

#[test]
fn a_shift_of_the_mix_a_drift_and_a_bad_host_are_charged_to_no_deploy() {
    let told = told(&shape(), 62, |simulation| {
        let plan = &mut simulation.plan;
        let at = |deploy: usize, after: i64| plan.deploys[deploy].start + after;
        let [mix, drift, bad] = [at(4, 3), at(6, -20), at(11, 2)];
        let mix = Truth {
            endpoint: Some(plan.endpoints[1].clone()),
            ..Truth::trap(Cause::MixShift, 3.0, mix, mix + 200)
        };
        let drift = Truth {
            endpoint: Some(plan.endpoints[2].clone()),
            ..Truth::trap(Cause::Drift, 0.04, drift, drift + 240)
        };
        let bad = Truth {
            host: Some(plan.hosts[5].clone()),
            ..Truth::trap(Cause::BadHost, 0.3, bad, bad + 40)
        };
        plan.truth.extend([mix, drift, bad]);
    });
    assert!(told.len() >= 14 * 7, "{}", told.len());
    assert_eq!(standing(&told), Vec::<&VerdictLine>::new());
}

#[test]
fn what_hosts_cost_by_themselves_is_taken_off() {
    let mut changed = None;
    let mut of = |shape: &Shape| {
        told(shape, 63, |simulation| {
            changed = Some(change(simulation, 7, 0.05));
        })
    };
    let (alike, apart) = (of(&shape()), of(&shape().in_cpu_time()));
    assert_eq!(alike.len(), apart.len());
    for (alike, apart) in alike.iter().zip(&apart) {
        assert_eq!(
            (&alike.deploy, &alike.endpoint, alike.verdict),
            (&apart.deploy, &apart.endpoint, apart.verdict)
        );
        let (one, other) = (alike.effect.unwrap_or(0.0), apart.effect.unwrap_or(0.0));
        assert!((one - other).abs() < 1e-3, "{alike:?} {apart:?}");
    }
    let [deploy, endpoint] = changed.unwrap();
    let line = last(&apart, &deploy, Some(&endpoint));
    assert_eq!(line.verdict, Ruling::Regressed);
    let told = |check: &String| check.contains("they differ by 1"); // 10 % and more
    assert!(line.checks.iter().any(told), "{line:#?}");
}

#[test]
fn of_a_sample_the_cost_is_that_of_all_requests() {
    let (mut changed, mut of_cores) = (None, Vec::new());
    for counted_share in [1.0, 0.2] {
        let shape = Shape {
            counted_share,
            ..shape().in_cpu_time()
        };
        let told = told(&shape, 64, |simulation| {
            changed = Some(change(simulation, 7, 0.15));
        });
        let [deploy, endpoint] = changed.clone().unwrap();
        let line = last(&told, &deploy, Some(&endpoint));
        assert_eq!(line.verdict, Ruling::Regressed, "{counted_share} {line:?}");
        of_cores.push(line.cost.unwrap().of_cores.unwrap());
    }
    assert!(
        (of_cores[1] / of_cores[0] - 1.0).abs() < 0.05,
        "{of_cores:?}"
    );
}

#[test]
fn flags_are_found_and_none_is_made_up() {
    let shape = Shape {
        traps: true,
        changed_share: 0.0,
        peak_requests_per_second: 2_000.0,
        ..shape()
    };
    let (mut changes, mut found, mut clean) = (0, 0, 0);
    for seed in [65, 66, 67] {
        let score = score(&shape, seed, 1);
        changes += score.flag_changes;
        found += score.flags_found;
        clean += score.clean_flag_pairs;
        assert_eq!(score.flag_false_alarms, 0, "seed {seed}");
    }
    assert!(changes >= 1 && clean >= 10, "{changes} {clean}");
    assert_eq!(found, changes);
}
