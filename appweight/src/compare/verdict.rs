use super::strata::{AFTER, BEFORE};
use crate::api::{Arm, Change, Gate, RestartEffect, Verdict};
use crate::text::{percent, signed_percent};
use crate::thresholds::{ERROR_RISE_SIGMAS, Thresholds};

/// Climbs the ladder of gates and keeps what each of them said.
pub(crate) fn verdict(
    endpoint: &str,
    arms: [Arm; 2],
    change: Option<Change>,
    restart: Option<RestartEffect>,
    thresholds: &Thresholds,
) -> (Verdict, Vec<Gate>) {
    let mut gates = Vec::new();
    let mut gate = |name: &str, passed: bool, detail: String| {
        gates.push(Gate {
            name: name.to_owned(),
            passed,
            detail,
        });
        passed
    };

    let fewest = arms[BEFORE].requests.min(arms[AFTER].requests);
    let enough = gate(
        "enough_requests",
        fewest >= thresholds.min_requests,
        format!(
            "{} before and {} after, at least {} each",
            arms[BEFORE].requests, arms[AFTER].requests, thresholds.min_requests
        ),
    );
    let Some(change) = change.filter(|_| enough) else {
        if enough {
            gate(
                "served_together",
                false,
                "no span of time has requests of both".to_owned(),
            );
        }
        return (Verdict::NotEnoughData, gates);
    };

    if let Some(restart) = restart {
        gate(
            "restart_taken_off",
            true,
            format!(
                "{} ± {} is what {} earlier roll-out{} did by themselves",
                signed_percent(restart.relative),
                percent(restart.standard_error),
                restart.roll_outs,
                if restart.roll_outs == 1 { "" } else { "s" },
            ),
        );
    }
    let floor = thresholds.min_change_of(endpoint);
    let interval = format!(
        "{} … {}",
        signed_percent(change.low),
        signed_percent(change.high)
    );
    let heavier = gate(
        "interval_above_floor",
        change.low > floor,
        format!("{interval} against {}", signed_percent(floor)),
    );
    if heavier {
        return (Verdict::Regressed, gates);
    }
    let lighter = gate(
        "interval_below_floor",
        change.high < -floor,
        format!("{interval} against {}", signed_percent(-floor)),
    );
    if !lighter {
        return (Verdict::NoChange, gates);
    }
    let errors = errors_rose(arms, thresholds);
    let errors_steady = gate("errors_did_not_rise", !errors.0, errors.1);
    if errors_steady {
        (Verdict::Improved, gates)
    } else {
        (Verdict::Withheld, gates)
    }
}

/// Whether more requests fail than before, and the figures.
pub(crate) fn errors_rose(arms: [Arm; 2], thresholds: &Thresholds) -> (bool, String) {
    let shares = arms.map(|arm| arm.errors as f64 / arm.requests as f64);
    let both = |of: fn(&Arm) -> u64| arms.iter().map(|arm| of(arm) as f64).sum::<f64>();
    let pooled = both(|arm| arm.errors) / both(|arm| arm.requests);
    let error = (pooled
        * (1.0 - pooled)
        * arms
            .map(|arm| 1.0 / arm.requests as f64)
            .iter()
            .sum::<f64>())
    .sqrt();
    let rise = shares[AFTER] - shares[BEFORE];
    let rose = rise > thresholds.max_error_rise && rise > ERROR_RISE_SIGMAS * error;
    let detail = format!(
        "{} failed before, {} after",
        percent(shares[BEFORE]),
        percent(shares[AFTER])
    );
    (rose, detail)
}
