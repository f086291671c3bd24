use std::collections::BTreeMap;

use appweight_wire::Kind;

use super::collect::{Counts, FlagCells};
use super::given::given;
use super::judge::{Split, Watched, requests, splits, watch};
use crate::api::Arm as Requests;
use crate::api::{
    AddedCost, DetectedChange, DetectedVerdict, FlagReading, FlagReport, FlagValue, FlagsReport,
    Metric,
};
use crate::compare::verdict::errors_rose;
use crate::detect::{
    Arm, CORE_NS_BY_MINUTE, Estimate, SERVICE_LEVEL, VerdictLine, part_of_level, verdict, z_of,
};
use crate::live::{change_of, minute_of, rank, us, verdict_of};
use crate::text::percent;
use crate::thresholds::Thresholds;

/// What is known of the values of a service's flags.
///
/// `said` is what somebody said of how flags are given: `random`, or by what.
#[must_use]
pub fn report(
    service: &str,
    [from_us, until_us]: [u64; 2],
    read_since_us: u64,
    mut cells: FlagCells,
    said: &BTreeMap<String, String>,
    thresholds: &Thresholds,
) -> FlagsReport {
    let (splits, left_out_values) = splits(&mut cells);
    let watched = watch(&splits, thresholds.false_discoveries, minute_of(until_us));
    let service_spent = cells.whole.values().map(Counts::spent).sum();
    let judge = Judge {
        cells: &cells,
        watched: &watched,
        thresholds,
        service_spent,
    };
    let mut flags: Vec<FlagReport> = splits
        .iter()
        .map(|split| judge.flag(split, said.get(&split.flag).map(String::as_str)))
        .collect();
    flags.sort_by_key(|flag| flag.values.iter().map(value_rank).min());
    FlagsReport {
        service: service.to_owned(),
        from_us,
        until_us,
        read_since_us,
        metric: (!flags.is_empty())
            .then(|| cells.counted.map(|counted| counted.metric))
            .flatten(),
        left_out_values,
        flags,
    }
}

struct Judge<'a> {
    cells: &'a FlagCells,
    watched: &'a Watched,
    thresholds: &'a Thresholds,
    /// What all requests of the service cost in the minutes that were read.
    service_spent: f64,
}

/// An endpoint's requests with a value, those without it, and what is known of their difference.
struct Compared {
    endpoint: usize,
    with: Counts,
    without: Counts,
    estimate: Estimate,
}

impl Judge<'_> {
    fn flag(&self, split: &Split, said: Option<&str>) -> FlagReport {
        let mut values: Vec<FlagValue> = split
            .judged
            .iter()
            .map(|value| self.value(split, value, said))
            .collect();
        values.sort_by_key(value_rank);
        FlagReport {
            flag: split.flag.clone(),
            base: split.is_base_told.then(|| split.base.clone()),
            values,
        }
    }

    fn value(&self, split: &Split, value: &str, said: Option<&str>) -> FlagValue {
        let (reads_as, because) = given(split, value, self.cells, said);
        let had = split.parts.get(value).map(requests).unwrap_or_default();
        let all = (split.parts.values().map(requests)).fold(0, u64::saturating_add);
        let arms = self.watched.flags.arms.iter().enumerate();
        let mut arms = arms.filter(|(_, arm)| arm.flag == split.flag && arm.value == value);
        let (mut endpoints, mut total) = (Vec::new(), None);
        if let Some((at, arm)) = arms.next() {
            let compared = self.compared(split, value, arm);
            let told = compared.iter().map(|of| self.endpoint(at, arm, of));
            endpoints = told.collect();
            endpoints.sort_by(|a, b| {
                let size = |change: &DetectedChange| {
                    -change.change.map_or(0.0, |change| change.relative.abs())
                };
                rank(a.verdict)
                    .cmp(&rank(b.verdict))
                    .then(size(a).total_cmp(&size(b)))
            });
            total = self.total(arm, &compared, &endpoints);
        }
        if reads_as == FlagReading::Association {
            // What comes along with a value is no cost of it.
            for change in endpoints.iter_mut().chain(&mut total) {
                change.cost = None;
            }
        }
        FlagValue {
            value: value.to_owned(),
            requests: had,
            share: if all > 0 {
                had as f64 / all as f64
            } else {
                0.0
            },
            reads_as,
            because,
            total,
            endpoints,
        }
    }

    fn compared(&self, split: &Split, value: &str, arm: &Arm) -> Vec<Compared> {
        let mut sides: BTreeMap<usize, [Counts; 2]> = BTreeMap::new();
        for (name, part) in &split.parts {
            let side = usize::from(name != value);
            for (place, counts) in &part.places {
                sides.entry(place.endpoint).or_default()[side].join(counts);
            }
        }
        let pairs = sides.into_iter().filter_map(|(endpoint, [with, without])| {
            let pair = arm.pairs.get(&endpoint).filter(|pair| !pair.is_empty())?;
            Some(Compared {
                endpoint,
                with,
                without,
                estimate: pair.estimate(),
            })
        });
        pairs.collect()
    }

    fn endpoint(&self, at: usize, arm: &Arm, of: &Compared) -> DetectedChange {
        let (kind, endpoint) = &self.cells.endpoints.all[of.endpoint];
        let is_called = arm.alarms.contains(&of.endpoint);
        let enough = self.is_enough(of);
        let since = self.watched.sure_since.get(&(at, of.endpoint));
        let line = verdict(
            Some(of.estimate),
            is_called && enough,
            false,
            self.thresholds.min_change_of(endpoint),
            0,
        );
        let mut checks = vec![
            checked(
                enough,
                &format!(
                    "requests: {} with the value and {} without, {} each are needed",
                    of.with.requests, of.without.requests, self.thresholds.min_requests
                ),
            ),
            evidence(
                of.estimate,
                arm.called_at,
                is_called,
                "LORD++, shared by its endpoints",
            ),
        ];
        let verdict = self.withheld(verdict_of(line.verdict), of, &mut checks);
        let added = self.added(&line, of);
        change(
            Some((*kind, endpoint)),
            verdict,
            &line,
            since,
            added,
            checks,
        )
    }

    fn is_enough(&self, of: &Compared) -> bool {
        of.with.requests.min(of.without.requests) >= self.thresholds.min_requests
    }

    /// Failing fast is no improvement.
    fn withheld(
        &self,
        verdict: DetectedVerdict,
        of: &Compared,
        checks: &mut Vec<String>,
    ) -> DetectedVerdict {
        if verdict != DetectedVerdict::Improved {
            return verdict;
        }
        let arms = [of.without, of.with].map(|counts| Requests {
            requests: counts.requests,
            errors: counts.errors,
            ..Requests::default()
        });
        let (rose, detail) = errors_rose(arms, self.thresholds);
        let detail = detail.replace("before", "without").replace("after", "with");
        checks.push(checked(!rose, &format!("errors do not rise: {detail}")));
        if rose {
            DetectedVerdict::Withheld
        } else {
            verdict
        }
    }

    /// All endpoints together, each counted by what its requests cost.
    fn total(
        &self,
        arm: &Arm,
        compared: &[Compared],
        endpoints: &[DetectedChange],
    ) -> Option<DetectedChange> {
        let known: Vec<&Compared> = compared.iter().filter(|of| self.is_enough(of)).collect();
        let spent = |of: &Compared| of.with.spent() + of.without.spent();
        let all: f64 = known.iter().map(|of| spent(of)).sum();
        if all <= 0.0 {
            return None;
        }
        let sum = |part: &dyn Fn(&Compared, f64) -> f64| {
            known
                .iter()
                .map(|of| part(of, spent(of) / all))
                .sum::<f64>()
        };
        let estimate = Estimate {
            effect: sum(&|of, weight| weight * of.estimate.effect),
            variance: sum(&|of, weight| weight * weight * of.estimate.variance),
        };
        let (last, is_over) = *self.watched.last.get(&arm.flag)?;
        let part = part_of_level(last - arm.place?.since, is_over);
        let called_at = z_of(SERVICE_LEVEL * part);
        let is_called = estimate.z().abs() >= called_at;
        let line = verdict(
            Some(estimate),
            is_called,
            false,
            self.thresholds.min_change,
            0,
        );
        let mut checks = vec![evidence(
            estimate,
            called_at,
            is_called,
            "one in a thousand values",
        )];
        let is_any_withheld = endpoints
            .iter()
            .any(|change| change.verdict == DetectedVerdict::Withheld);
        let mut verdict = verdict_of(line.verdict);
        if verdict == DetectedVerdict::Improved && is_any_withheld {
            verdict = DetectedVerdict::Withheld;
            checks.push("failed: errors of an endpoint that became lighter rise".to_owned());
        }
        let (mut with, mut without) = (Counts::default(), Counts::default());
        for of in known {
            with.join(&of.with);
            without.join(&of.without);
        }
        let together = Compared {
            endpoint: 0,
            with,
            without,
            estimate,
        };
        let added = self.added(&line, &together);
        Some(change(None, verdict, &line, None, added, checks))
    }

    /// What the value costs the service if all requests have it, against none.
    fn added(&self, line: &VerdictLine, of: &Compared) -> Option<AddedCost> {
        use crate::detect::Ruling::{Improved, Regressed};
        let effect = line.effect?;
        if !matches!(line.verdict, Regressed | Improved) || self.service_spent <= 0.0 {
            return None;
        }
        let base = of.without.spent() + of.with.spent() / (1.0 + effect);
        let minutes = self.cells.minutes.len() as f64;
        let is_cpu = self.cells.counted?.metric == Metric::Cpu;
        let cores = |spent: f64| is_cpu.then(|| spent / (minutes * CORE_NS_BY_MINUTE));
        Some(AddedCost {
            share: effect * base / self.service_spent,
            cores: cores(effect * base),
            of_cores: cores(self.service_spent),
        })
        .filter(|cost| cost.share.is_finite())
    }
}

fn change(
    of: Option<(Kind, &String)>,
    verdict: DetectedVerdict,
    line: &VerdictLine,
    since: Option<&i64>,
    cost: Option<AddedCost>,
    checks: Vec<String>,
) -> DetectedChange {
    let is_called = matches!(
        verdict,
        DetectedVerdict::Regressed | DetectedVerdict::Improved | DetectedVerdict::Withheld
    );
    DetectedChange {
        kind: of.map(|(kind, _)| kind),
        endpoint: of.map(|(_, endpoint)| endpoint.clone()),
        verdict,
        change: change_of(line),
        sure_since_us: since.filter(|_| is_called).map(|minute| us(*minute)),
        more_requests: None,
        cost: cost.filter(|_| verdict != DetectedVerdict::Withheld),
        checks,
    }
}

fn checked(passed: bool, what: &str) -> String {
    format!("{}: {what}", if passed { "passed" } else { "failed" })
}

fn evidence(estimate: Estimate, called_at: f64, is_called: bool, level: &str) -> String {
    let z = estimate.z();
    let error = percent(estimate.variance.sqrt());
    checked(
        is_called,
        &format!(
            "evidence: {z:.1} standard errors of {error}, called from {called_at:.1} at the last look on ({level})"
        ),
    )
}

/// Flags come first of which something is called.
fn value_rank(value: &FlagValue) -> u8 {
    let changes = value.endpoints.iter().chain(&value.total);
    changes
        .map(|change| rank(change.verdict))
        .min()
        .unwrap_or(9)
}
