use super::{GateLine, Outcome, Subject, at_confidence};
use crate::api::{Change, Detected, DetectedChange, DetectedVerdict};
use crate::text;

/// Holds one subject of what the detector says against `max_increase` (0.01 is 1 %) with `confidence`; `None` if it says
/// nothing of such an endpoint.
///
/// An interval is of one look. So that who asks every minute is stopped no more often, only what the detector has called,
/// which holds for all its looks together, can be above a limit of zero or more.
#[must_use]
pub fn gate_detected(
    detected: &Detected,
    subject: &Subject,
    max_increase: f64,
    confidence: f64,
) -> Option<GateLine> {
    let cannot_tell =
        |reason| GateLine::cannot_tell(subject.name().to_owned(), max_increase, reason);
    if !detected.judges {
        let because = &detected.because;
        return Some(cannot_tell(format!(
            "the detector has not spoken yet: {because}"
        )));
    }
    let mut endpoints = detected.endpoints.iter();
    let said = match subject {
        Subject::Total => detected.total.as_ref(),
        Subject::Endpoint(name) => {
            Some(endpoints.find(|change| change.endpoint.as_ref() == Some(name))?)
        }
    };
    let Some((said, change)) = said.and_then(|said| Some((said, said.change?))) else {
        return Some(cannot_tell("no minute of it could be compared".to_owned()));
    };
    let change = at_confidence(change, confidence);
    let (outcome, reason) = outcome(detected, said, &change, max_increase);
    let is_told = outcome == Outcome::CannotTell;
    Some(GateLine {
        outcome,
        change: Some(change),
        more_requests: said.more_requests.filter(|_| is_told),
        sure_since_us: said.sure_since_us,
        cost: said.cost,
        checks: said.checks.clone(),
        ..cannot_tell(reason)
    })
}

fn outcome(
    detected: &Detected,
    said: &DetectedChange,
    change: &Change,
    max_increase: f64,
) -> (Outcome, String) {
    let (shown, limit) = (text::change(change), text::signed_percent(max_increase));
    if said.verdict == DetectedVerdict::Withheld {
        let reason = format!("{shown}, but more requests fail: failing fast is no improvement");
        return (Outcome::CannotTell, reason);
    }
    if change.high <= max_increase {
        return (Outcome::Below, format!("{shown} lies below {limit}"));
    }
    if said.verdict == DetectedVerdict::Withdrawn {
        let reason = format!("{shown}, which was seen for a while and went away");
        return (Outcome::CannotTell, reason);
    }
    let lies_above = change.low > max_increase;
    let is_called = said.verdict == DetectedVerdict::Regressed || max_increase < 0.0;
    if lies_above && is_called {
        return (Outcome::Above, format!("{shown} lies above {limit}"));
    }
    let unclear = if lies_above {
        format!("{shown} lies above {limit} by now, of which the detector is not sure yet")
    } else {
        format!("{shown} holds the limit {limit}")
    };
    let next = match said.more_requests {
        Some(more) => format!("at least {more} more requests on each side are needed"),
        None if detected.watches => "the next minutes may tell".to_owned(),
        None => "its watch is over".to_owned(),
    };
    (Outcome::CannotTell, format!("{unclear}: {next}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use DetectedVerdict::{Improved, NoData, Regressed, Unchanged, Undecided, Withdrawn, Withheld};
    use Outcome::{Above, Below, CannotTell};

    fn detected(verdict: DetectedVerdict, relative: f64, standard_error: f64) -> Detected {
        let change = Change {
            relative,
            low: relative - 2.0 * standard_error,
            high: relative + 2.0 * standard_error,
            confidence: 0.95,
            standard_error,
        };
        Detected {
            judges: true,
            because: "fewer than 3 groups of hosts".to_owned(),
            watches: true,
            metric: None,
            until_us: None,
            late_requests: 0,
            left_out_minutes: 0,
            endpoints: Vec::new(),
            total: Some(DetectedChange {
                kind: None,
                endpoint: None,
                verdict,
                change: (verdict != NoData).then_some(change),
                sure_since_us: None,
                more_requests: (verdict == Undecided).then_some(7_000),
                cost: None,
                checks: vec!["evidence".to_owned()],
            }),
        }
    }

    fn line(detected: &Detected, max_increase: f64) -> GateLine {
        gate_detected(detected, &Subject::Total, max_increase, 0.99).unwrap()
    }

    #[test]
    fn above_is_what_was_called_and_lies_above() {
        for (verdict, relative, limit, outcome) in [
            (Regressed, 0.05, 0.01, Above),
            (Regressed, 0.05, 0.06, CannotTell),
            (Regressed, 0.05, 0.09, Below),
            (Undecided, 0.05, 0.01, CannotTell),
            (Undecided, 0.0, 0.01, CannotTell),
            (Undecided, -0.03, 0.01, Below),
            (Unchanged, 0.0, 0.03, Below),
            (Unchanged, 0.0, -0.05, Above),
            (Improved, -0.05, 0.01, Below),
            (Withdrawn, 0.05, 0.01, CannotTell),
            (Withdrawn, 0.0, 0.03, Below),
            (Withheld, -0.05, 0.01, CannotTell),
            (NoData, 0.0, 0.01, CannotTell),
        ] {
            let line = line(&detected(verdict, relative, 0.01), limit);
            assert_eq!(
                line.outcome, outcome,
                "{verdict:?} {relative} {limit}: {line:?}"
            );
        }
    }

    #[test]
    fn what_cannot_be_told_says_what_would_tell() {
        let unsure = line(&detected(Undecided, 0.05, 0.01), 0.01);
        assert_eq!(unsure.more_requests, Some(7_000));
        assert!(
            unsure.reason.contains("not sure yet: at least 7000"),
            "{unsure:?}"
        );
        assert_eq!(unsure.checks, ["evidence"]);
        let mut close = detected(Regressed, 0.02, 0.01);
        assert!(line(&close, 0.02).reason.contains("next minutes"));
        close.watches = false;
        assert!(line(&close, 0.02).reason.contains("watch is over"));
    }

    #[test]
    fn before_its_first_word_nothing_passes() {
        let mut silent = detected(Unchanged, 0.0, 0.001);
        silent.judges = false;
        let line = line(&silent, 0.5);
        assert_eq!(line.outcome, CannotTell);
        assert!(
            line.reason
                .contains("not spoken yet: fewer than 3 groups of hosts"),
            "{line:?}"
        );
    }

    #[test]
    fn an_unknown_endpoint_has_no_answer() {
        let subject = Subject::Endpoint("/nowhere".to_owned());
        let known = detected(Unchanged, 0.0, 0.001);
        assert_eq!(gate_detected(&known, &subject, 0.01, 0.99), None);
    }
}
