use super::endpoint::Endpoint;
use super::lines::{Ruling, VerdictLine};
use super::regression::Estimate;

/// The smallest change that is worth a word, in logs.
const MIN_CHANGE: f64 = 0.01;
/// Normal quantile of a 95 % interval.
const Z_95: f64 = 1.959_964;

/// A deploy with the one that it replaced.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step<'a> {
    pub(crate) name: &'a str,
    pub(crate) number: usize,
    pub(crate) parent: Option<usize>,
}

/// Raises an alarm that is due, and takes back one that went away.
pub(crate) fn raise(
    endpoint: &mut Endpoint,
    column: usize,
    is_sure: bool,
    minute: i64,
    step: Step<'_>,
    told: &mut Vec<VerdictLine>,
) {
    let pair = &mut endpoint.pairs[column];
    let mut is_news = false;
    match (pair.alarm, pair.estimate) {
        (None, Some(estimate)) if is_sure => {
            pair.alarm = Some((minute, estimate.effect));
            pair.jumps = 0.0;
            is_news = true;
        }
        (Some(_), _) if !pair.is_withdrawn && pair.went_away() => {
            pair.is_withdrawn = true;
            is_news = true;
        }
        _ => {}
    }
    if is_news {
        pair.told = Some(minute);
        told.push(deploy_line(endpoint, column, minute, step));
    }
}

/// What is said of a deploy's endpoint now.
pub(crate) fn deploy_line(
    endpoint: &Endpoint,
    column: usize,
    minute: i64,
    step: Step<'_>,
) -> VerdictLine {
    let pair = &endpoint.pairs[column];
    let tail = step
        .parent
        .and_then(|parent| endpoint.tail.change(parent, step.number));
    let estimate = pair.estimate.map(|estimate| match tail {
        Some((change, variance)) => Estimate {
            effect: estimate.effect + change,
            variance: estimate.variance + variance,
        },
        None => estimate,
    });
    let mut line = VerdictLine {
        deploy: Some(step.name.to_owned()),
        endpoint: endpoint.name.clone(),
        ..verdict(estimate, pair.alarm.is_some(), pair.is_withdrawn, minute)
    };
    if let Some(estimate) = pair.estimate {
        line.checks.push(format!(
            "evidence: {:.1} standard errors, e-value {:.2e}",
            estimate.z(),
            pair.log_e.min(700.0).exp()
        ));
    }
    if let Some((since, _)) = pair.alarm {
        line.checks.push(format!("sure since minute {since}"));
    }
    let others = endpoint
        .chosen
        .iter()
        .filter(|chosen| **chosen != column)
        .count();
    if others > 0 {
        line.checks.push(format!(
            "beside {others} other changes that the data demand"
        ));
    }
    if pair.is_withdrawn {
        line.checks.push(format!(
            "withdrawn: the level moved by {:+.2} % since, without a deploy",
            100.0 * pair.jumps.exp_m1()
        ));
    }
    if let Some((change, _)) = tail {
        line.checks.push(format!(
            "the tail changed: the mean moved by {:+.2} % more than usual requests",
            100.0 * change.exp_m1()
        ));
    }
    line
}

/// A line without names: the interval, and what follows from it.
pub(crate) fn verdict(
    estimate: Option<Estimate>,
    is_alarmed: bool,
    is_withdrawn: bool,
    minute: i64,
) -> VerdictLine {
    let ends = estimate.map(|estimate| {
        let half = Z_95 * estimate.variance.sqrt();
        (estimate.effect - half, estimate.effect + half)
    });
    let verdict = match (estimate, ends) {
        (Some(_), Some(_)) if is_withdrawn => Ruling::Withdrawn,
        (Some(estimate), Some(_)) if is_alarmed && estimate.effect > 0.0 => Ruling::Regressed,
        (Some(_), Some(_)) if is_alarmed => Ruling::Improved,
        (Some(_), Some((low, high)))
            if low.exp_m1() > -MIN_CHANGE && high.exp_m1() < MIN_CHANGE =>
        {
            Ruling::Unchanged
        }
        (Some(_), Some(_)) => Ruling::Undecided,
        _ => Ruling::NoData,
    };
    VerdictLine {
        deploy: None,
        flag: None,
        value: None,
        endpoint: None,
        verdict,
        effect: estimate.map(|estimate| estimate.effect.exp_m1()),
        low: ends.map(|(low, _)| low.exp_m1()),
        high: ends.map(|(_, high)| high.exp_m1()),
        at_minute: minute,
        checks: Vec::new(),
    }
}
