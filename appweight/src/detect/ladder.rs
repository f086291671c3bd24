use super::endpoint::Endpoint;
use super::lines::VerdictLine;
use super::pair::Pair;
use super::tail::{FewGroups, MIN_GROUPS, TailChange};

/// The checks that a verdict rests on, each with its figures and with how it went.
#[derive(Debug, Default)]
pub(crate) struct Ladder {
    checks: Vec<String>,
}

impl Ladder {
    /// What has to hold for a change to be called, or for it to be called none.
    pub(crate) fn check(&mut self, is_passed: bool, detail: &str) {
        let word = if is_passed { "passed" } else { "failed" };
        self.checks.push(format!("{word}: {detail}"));
    }

    /// What was done to the figures, or came of them.
    pub(crate) fn note(&mut self, detail: &str) {
        self.checks.push(format!("noted: {detail}"));
    }

    pub(crate) fn into_checks(self) -> Vec<String> {
        self.checks
    }
}

/// What an endpoint's verdict of a deploy in that column rests on, beside what holds for all endpoints of the deploy.
pub(crate) fn climb(
    endpoint: &Endpoint,
    column: usize,
    tail: Option<TailChange>,
    few: Option<FewGroups>,
    line: &VerdictLine,
    is_beyond_requests: bool,
) -> Vec<String> {
    let pair = &endpoint.pairs[column];
    let mut ladder = Ladder::default();
    if let Some((hosts, spread)) = endpoint.filter.host_speeds() {
        ladder.note(&format!(
            "host speed: what {hosts} hosts cost by themselves is taken off, they differ by {:.2} %",
            100.0 * spread
        ));
    }
    neighbours(endpoint, column, &mut ladder);
    evidence(endpoint, pair, &mut ladder);
    if let (Some(low), Some(high)) = (line.low, line.high) {
        let most = endpoint.min_change;
        ladder.check(
            low > -most && high < most,
            &format!(
                "unchanged: the whole interval, {:+.2} to {:+.2} %, within ±{:.2} %",
                100.0 * low,
                100.0 * high,
                100.0 * most
            ),
        );
    }
    if is_beyond_requests {
        ladder.note("no number of requests would decide it: more hosts or more roll-outs would");
    }
    if let Some(tail) = tail {
        let moved = format!(
            "the mean moved by {:+.2} ± {:.2} % more than usual requests",
            100.0 * tail.change.exp_m1(),
            100.0 * tail.variance.sqrt()
        );
        if tail.is_believed {
            ladder.note(&format!("the tail changed: {moved}, which is added"));
        } else {
            ladder.check(true, &format!("tail: {moved}, which is nothing"));
        }
    }
    if let Some(few) = few {
        let seen = few.change.map_or_else(String::new, |change| {
            format!(
                ": the mean moved by {:+.2} % more than usual requests, with an error that is not known",
                100.0 * change.exp_m1()
            )
        });
        ladder.note(&format!(
            "tail: too few groups of hosts, {} of {MIN_GROUPS}{seen}; unchanged is only what stays within ±{:.2} % with that",
            few.groups,
            100.0 * endpoint.min_change
        ));
    }
    if pair.is_withdrawn {
        let why = if pair.withdrawn_after == 0.0 {
            "the evidence did not last".to_owned()
        } else {
            format!(
                "the level moved by {:+.2} % since, without a deploy",
                100.0 * pair.withdrawn_after.exp_m1()
            )
        };
        ladder.check(false, &format!("went away: withdrawn, {why}"));
    } else if pair.is_held_back {
        ladder.check(
            false,
            &format!(
                "went away: not called, the level moved by {:+.2} % without a deploy",
                100.0 * pair.withdrawn_after.exp_m1()
            ),
        );
    } else if pair.alarm.is_some() {
        let moved = pair.jumps.sum() + pair.common_jumps.sum();
        ladder.check(
            true,
            &format!(
                "went away: it stands, the level moved by {:+.2} % since without a deploy",
                100.0 * moved.exp_m1()
            ),
        );
    }
    ladder.into_checks()
}

fn neighbours(endpoint: &Endpoint, column: usize, ladder: &mut Ladder) {
    let chosen = endpoint.chosen.iter();
    let others = chosen.filter(|chosen| **chosen != column).count();
    let watched = endpoint.pairs.len().saturating_sub(1);
    ladder.note(&match (others, watched) {
        (_, 0) => "neighbours: no other change is under watch".to_owned(),
        (0, _) => format!("neighbours: of {watched} other changes under watch the data demand none"),
        _ => format!(
            "neighbours: beside {others} other changes that the data demand, of {watched} under watch"
        ),
    });
}

fn evidence(endpoint: &Endpoint, pair: &Pair, ladder: &mut Ladder) {
    let Some(estimate) = pair.estimate else {
        let missing = match pair.has_sides {
            [false, true] => {
                "no request without it could be used: there is nothing to compare with"
            }
            [true, false] => "no request with it could be used",
            _ => "no minute has requests of both sides",
        };
        ladder.check(false, &format!("data: {missing}"));
        return;
    };
    ladder.note(&format!(
        "noise: a standard error of {:.3} %, {:.2} times what its cells say by themselves",
        100.0 * estimate.variance.sqrt(),
        endpoint.scale
    ));
    let (now, in_the_end) = pair.called_at;
    let since = pair.alarm.map_or_else(String::new, |(since, _)| {
        format!(", sure since minute {since}")
    });
    ladder.check(
        pair.alarm.is_some(),
        &format!(
            "evidence: {:.1} standard errors, called from {now:.1} on now, from {in_the_end:.1} on in the end{since}",
            estimate.z()
        ),
    );
}
