use super::endpoint::Endpoint;
use super::ladder::climb;
use super::lines::{Ruling, VerdictLine};
use super::pair::{ABOUT_THE_SAME, Jumps};
use super::regression::Estimate;

/// Normal quantile of a 95 % interval.
pub(crate) const Z_95: f64 = 1.959_964;

/// A deploy with the one that it replaced.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step<'a> {
    pub(crate) name: &'a str,
    pub(crate) number: usize,
    pub(crate) parent: Option<usize>,
}

/// Raises an alarm that is due, and takes back one that went away, until it comes again.
pub(crate) fn raise(
    endpoint: &mut Endpoint,
    column: usize,
    minute: i64,
    step: Step<'_>,
    service_effect: Option<f64>,
    told: &mut Vec<VerdictLine>,
) {
    let is_service = endpoint.name.is_none();
    endpoint.note_step_back(column, minute);
    let pair = &mut endpoint.pairs[column];
    let is_sure = pair.is_sure();
    let is_common = is_service
        || pair
            .called_effect()
            .zip(service_effect)
            .is_some_and(|(own, of_service)| ABOUT_THE_SAME.contains(&(of_service / own)));
    let went_away = pair.went_away(is_common);
    let mut is_news = false;
    pair.is_held_back = pair.alarm.is_none() && is_sure && went_away;
    if pair.is_held_back {
        pair.withdrawn_after = pair.moved(is_common);
    }
    match (pair.alarm, pair.estimate) {
        // What went away before there was evidence enough to call it is not called.
        (None, Some(estimate)) if is_sure && !pair.is_held_back => {
            pair.alarm = Some((minute, estimate.effect));
            (pair.jumps, pair.common_jumps) = (Jumps::default(), Jumps::default());
            is_news = true;
        }
        (Some(_), _) if pair.is_withdrawn != went_away => {
            pair.is_withdrawn = went_away;
            pair.withdrawn_after = pair.moved(is_common);
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
    let believed = tail.filter(|tail| tail.is_believed);
    let estimate = pair.estimate.map(|estimate| match believed {
        Some(tail) => Estimate {
            effect: estimate.effect + tail.change,
            variance: estimate.variance + tail.variance,
        },
        None => estimate,
    });
    let mut line = VerdictLine {
        deploy: Some(step.name.to_owned()),
        endpoint: endpoint.name.clone(),
        ..verdict(
            estimate,
            pair.alarm.is_some(),
            pair.is_withdrawn,
            endpoint.min_change,
            minute,
        )
    };
    // A tail without an error is not believed, but nor is it taken to have stayed. The service's line has no tail.
    let few = step
        .parent
        .filter(|_| tail.is_none() && endpoint.name.is_some());
    let few = few.map(|parent| endpoint.tail.few_groups(parent, step.number));
    let may_have_moved = few.zip(estimate).is_some_and(|(few, estimate)| {
        let within = |moved: f64| (estimate.effect + moved).exp_m1().abs() < endpoint.min_change;
        !few.change.is_some_and(within)
    });
    let is_unsure = line.verdict == Ruling::Unchanged && may_have_moved;
    if is_unsure {
        line.verdict = Ruling::Undecided;
    }
    let mut is_beyond_requests = false;
    if let (Ruling::Undecided, Some(estimate), Some(parent), false) = (
        line.verdict,
        estimate,
        step.parent,
        is_unsure || pair.is_held_back,
    ) {
        let new = endpoint.tail.seen(step.number);
        let fewest = new.requests.min(endpoint.tail.seen(parent).requests);
        // What restarts change by themselves is the part that surely does not fall with requests.
        let rest = endpoint.learner.noise.restart / new.groups;
        let z = pair.called_at.1;
        line.more_requests = more_requests(estimate, rest, fewest, endpoint.min_change, z);
        is_beyond_requests = endpoint.name.is_some() && line.more_requests.is_none();
    }
    line.checks = climb(endpoint, column, tail, few, &line, is_beyond_requests);
    line
}

/// A line without names: the interval, and what follows from it.
pub(crate) fn verdict(
    estimate: Option<Estimate>,
    is_alarmed: bool,
    is_withdrawn: bool,
    min_change: f64,
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
            if low.exp_m1() > -min_change && high.exp_m1() < min_change =>
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
        more_requests: None,
        cost: None,
        checks: Vec::new(),
    }
}

/// At least how many more requests on each side would decide, if the estimate stays where it is and `rest` is all of its variance
/// that does not fall with their number: would either draw the interval within the smallest change worth a word,
/// or bring the evidence that calls it. None: the rest is too large for both, or there are no requests yet.
fn more_requests(
    estimate: Estimate,
    rest: f64,
    fewest: f64,
    min_change: f64,
    called_at_z: f64,
) -> Option<u64> {
    let effect = estimate.effect.abs();
    let room = min_change.ln_1p() - effect;
    let wanted = (room.max(0.0) / Z_95).max(effect / called_at_z).powi(2);
    let times = (estimate.variance - rest) / (wanted - rest);
    let more = (fewest * (times - 1.0)).ceil();
    (fewest > 0.0 && wanted > rest && more < 1e12).then(|| more.max(1.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_requests_are_those_that_draw_the_interval_in() {
        let of_requests = 2.0 / 10_000.0;
        let more = |effect: f64, rest: f64| {
            let estimate = Estimate {
                effect,
                variance: of_requests + rest,
            };
            more_requests(estimate, rest, 10_000.0, 0.01, 4.5)
        };
        let wanted = (0.01_f64.ln_1p() / Z_95).powi(2);
        for rest in [0.0, wanted / 2.0] {
            let needed = 2.0 / (wanted - rest);
            let told = more(0.0, rest).unwrap() as f64 + 10_000.0;
            assert!((told - needed).abs() <= 1.0, "{told} {needed}");
        }
        // At ±d exactly only a call decides.
        let told = more(0.01_f64.ln_1p(), 0.0).unwrap() as f64 + 10_000.0;
        let called = 2.0 / (0.01_f64.ln_1p() / 4.5).powi(2);
        assert!((told - called).abs() <= 1.0, "{told} {called}");
        assert_eq!(more(0.001, 2.0 * wanted), None);
    }

    #[test]
    fn unchanged_is_what_lies_within_the_endpoints_own_change() {
        let estimate = Some(Estimate {
            effect: 0.001,
            variance: 1e-6,
        });
        let of = |min_change: f64| verdict(estimate, false, false, min_change, 7).verdict;
        assert_eq!(of(0.01), Ruling::Unchanged);
        assert_eq!(of(0.002), Ruling::Undecided);
    }

    #[test]
    fn what_came_back_before_it_could_be_called_is_not_called() {
        let told = |ended: Option<i64>| {
            let mut service = Endpoint::new(None, 0.01, 1);
            let pair = &mut service.pairs[0];
            pair.estimate = Some(Estimate {
                effect: 0.06,
                variance: 1e-4,
            });
            pair.called_at = (4.0, 4.0);
            (pair.since, pair.settled_at) = (10, 20);
            service.note_jump(0.05, true, None);
            service.note_jump(-0.06, true, ended);
            let step = Step {
                name: "b",
                number: 1,
                parent: Some(0),
            };
            let mut told = Vec::new();
            raise(&mut service, 0, 30, step, None, &mut told);
            assert_eq!(service.pairs[0].is_held_back, told.is_empty());
            told.len()
        };
        // It began while hosts restarted; nobody saw when; before; and once all were warm.
        assert_eq!(told(Some(15)), 0);
        assert_eq!(told(None), 0);
        assert_eq!(told(Some(5)), 1);
        assert_eq!(told(Some(25)), 1);
    }
}
