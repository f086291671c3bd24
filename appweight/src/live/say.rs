//! What a detector's lines say of one roll-out.

use appweight_wire::Deploy;

use super::{Live, MIN_HOSTS, MINUTE_US, Pair, UNFIT_MINUTES, Unfit};
use crate::api::{Change, Detected, DetectedChange, DetectedVerdict};
use crate::detect::{Ruling, VerdictLine, Z_95};

impl Live {
    /// What it said of a roll-out when it looked last.
    #[must_use]
    pub fn says(&self, deploy: &Deploy) -> Detected {
        let number = self.roll_outs.number(deploy);
        let watch = number.and_then(|number| *self.watches.get(number)?);
        let is_open = watch.is_some_and(|watch| watch.is_open);
        let mut detected = Detected::silent(String::new(), is_open);
        detected.metric = self.counted.map(|counted| counted.metric);
        detected.until_us = self.counted.map(|_| us(self.next));
        detected.left_out_minutes = self.left_out;
        match self.judged(number) {
            Ok((number, hosts)) => {
                detected.judges = true;
                detected.because = format!(
                    "cells of minutes from {} groups of hosts before and {} since",
                    hosts[0], hosts[1]
                );
                self.tell(number, &mut detected);
            }
            Err(because) => {
                // What is never judged is not waited for.
                detected.watches &= self.hosts_of(number).is_ok() && self.unfit_now().is_none();
                detected.because = because;
            }
        }
        detected
    }

    /// The roll-out's number and how many hosts there are before and since, or why nothing can be said.
    fn judged(&self, number: Option<usize>) -> Result<(usize, [usize; 2]), String> {
        if let Some(unfit) = self.unfit_now() {
            return Err(unfit);
        }
        let (number, hosts) = self.hosts_of(number)?;
        let watch = self.watches.get(number).copied().flatten();
        if watch.is_some_and(|watch| watch.is_left_out) {
            return Err("too many other changes were under watch when it began".to_owned());
        }
        if !watch.is_some_and(|watch| watch.is_judged) {
            return Err(format!(
                "fewer than {MIN_HOSTS} groups of hosts have warmed up with it"
            ));
        }
        let said = self.lines(number).any(|(_, line)| line.effect.is_some());
        if said {
            Ok((number, hosts))
        } else {
            Err("no minute could be compared yet".to_owned())
        }
    }

    fn hosts_of(&self, number: Option<usize>) -> Result<(usize, [usize; 2]), String> {
        let number = number.ok_or("no minute of it is complete")?;
        let parent = self.roll_outs.of(number).parent;
        let parent = parent.ok_or("nothing is known of what ran before")?;
        let hosts = [parent, number].map(|of| self.hosts[of].len());
        if hosts.iter().any(|hosts| *hosts < MIN_HOSTS) {
            return Err(format!(
                "{} groups of hosts before and {} since, {MIN_HOSTS} each are needed",
                hosts[0], hosts[1]
            ));
        }
        Ok((number, hosts))
    }

    fn unfit_now(&self) -> Option<String> {
        let (_, unfit) = self
            .unfit
            .filter(|(minute, _)| minute + UNFIT_MINUTES > self.next)?;
        Some(match unfit {
            Unfit::Width(us) => format!("cells of {} s, not of a minute", us as f64 / 1e6),
            Unfit::Folded => "cells that were folded over all hosts".to_owned(),
            Unfit::TooMany(cells) => format!("{cells} cells in a minute are too many"),
        })
    }

    fn lines(&self, number: usize) -> impl Iterator<Item = (&Pair, &VerdictLine)> {
        let pairs = (number, None)..(number + 1, None);
        let now = self.now.range(pairs.clone());
        let is_over = now.clone().next().is_none();
        now.chain(self.last.range(pairs).filter(move |_| is_over))
    }

    fn tell(&self, number: usize, detected: &mut Detected) {
        for (pair, line) in self.lines(number) {
            let since = self.sure_since.get(pair);
            let change = DetectedChange {
                kind: pair.1.as_ref().map(|(kind, _)| *kind),
                endpoint: pair.1.as_ref().map(|(_, endpoint)| endpoint.clone()),
                verdict: verdict_of(line.verdict),
                change: change_of(line),
                sure_since_us: since.map(|minute| us(*minute)),
                more_requests: line.more_requests,
                cost: line.cost,
                checks: line.checks.clone(),
            };
            if pair.1.is_none() {
                detected.total = Some(change);
            } else {
                detected.endpoints.push(change);
            }
        }
        let size = |change: &DetectedChange| change.change.map_or(0.0, |change| change.relative);
        detected.endpoints.sort_by(|a, b| {
            let rank = |change: &DetectedChange| (rank(change.verdict), -size(change).abs());
            let (a, b) = (rank(a), rank(b));
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
        });
    }
}

/// What changed comes first.
pub(crate) fn rank(verdict: DetectedVerdict) -> u8 {
    match verdict {
        DetectedVerdict::Regressed => 0,
        DetectedVerdict::Improved | DetectedVerdict::Withheld => 1,
        DetectedVerdict::Withdrawn => 2,
        DetectedVerdict::Undecided => 3,
        DetectedVerdict::Unchanged => 4,
        DetectedVerdict::NoData => 5,
    }
}

pub(crate) fn us(minute: i64) -> u64 {
    u64::try_from(minute).unwrap_or(0).saturating_mul(MINUTE_US)
}

pub(crate) fn verdict_of(ruling: Ruling) -> DetectedVerdict {
    match ruling {
        Ruling::Regressed => DetectedVerdict::Regressed,
        Ruling::Improved => DetectedVerdict::Improved,
        Ruling::Unchanged => DetectedVerdict::Unchanged,
        Ruling::Undecided => DetectedVerdict::Undecided,
        Ruling::NoData => DetectedVerdict::NoData,
        Ruling::Withdrawn => DetectedVerdict::Withdrawn,
    }
}

pub(crate) fn change_of(line: &VerdictLine) -> Option<Change> {
    let (relative, low, high) = (line.effect?, line.low?, line.high?);
    let standard_error = (high.ln_1p() - low.ln_1p()) / (2.0 * Z_95);
    // A report that holds what JSON cannot is one that no store takes.
    let is_told = [relative, low, high, standard_error]
        .iter()
        .all(|number| number.is_finite());
    is_told.then_some(Change {
        relative,
        low,
        high,
        confidence: 0.95,
        standard_error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_that_are_left_out_are_told_and_counted() {
        let mut live = Live::new(&crate::thresholds::Thresholds::default(), 10);
        live.leave_out(10, 9_000);
        live.leave_out(11, 8_000);
        assert_eq!(live.next_minute(), 12);
        let said = live.says(&Deploy::default());
        assert_eq!((said.judges, said.left_out_minutes), (false, 2));
        assert_eq!(said.because, "8000 cells in a minute are too many");
    }

    #[test]
    fn the_standard_error_is_that_of_the_logarithm() {
        let (log, error) = (0.4_f64, 0.1);
        let at = |errors: f64| Some((log + errors * error).exp_m1());
        let line = VerdictLine {
            deploy: None,
            flag: None,
            value: None,
            endpoint: None,
            verdict: Ruling::Regressed,
            effect: at(0.0),
            low: at(-Z_95),
            high: at(Z_95),
            at_minute: 0,
            more_requests: None,
            cost: None,
            checks: Vec::new(),
        };
        let change = change_of(&line).unwrap();
        assert!((change.standard_error - error).abs() < 1e-9, "{change:?}");
    }
}
