//! Which of a deploy's profiles is meant.

use std::collections::BTreeSet;

use appweight::api::{ProfileOf, ProfileSummary};
use appweight_wire::{Age, InstructionSource, Kind, Taken};
use http::StatusCode;

use crate::problem::Refusal;
use crate::query::params::Params;

/// Names in a refusal: enough to find a typing error by.
const MOST_NAMES: usize = 20;

/// What was asked for; what was left out is chosen.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    endpoint: Option<String>,
    timer: Option<String>,
    unit: Option<String>,
    taken: Option<Taken>,
    kind: Option<Kind>,
    age: Option<Age>,
    instruction_source: Option<InstructionSource>,
}

impl Wanted {
    /// The parameters that say it.
    pub(super) const PARAMS: &[&str] = &[
        "endpoint",
        "timer",
        "unit",
        "taken",
        "kind",
        "age",
        "instruction_source",
    ];

    pub(super) fn of(params: &Params) -> Result<Self, Refusal> {
        Ok(Self {
            endpoint: params.given("endpoint"),
            timer: params.text("timer"),
            unit: params.text("unit"),
            taken: params.one_of("taken", &Taken::ALL.map(|taken| (taken.as_str(), taken)))?,
            kind: params.one_of("kind", &Kind::ALL.map(|kind| (kind.as_str(), kind)))?,
            age: params.one_of("age", &Age::ALL.map(|age| (age.as_str(), age)))?,
            instruction_source: params.one_of(
                "instruction_source",
                &InstructionSource::ALL.map(|source| (source.as_str(), source)),
            )?,
        })
    }

    fn fits(&self, of: &ProfileOf) -> bool {
        fn is<T: PartialEq>(wanted: &Option<T>, there: &T) -> bool {
            wanted.as_ref().is_none_or(|wanted| wanted == there)
        }
        is(&self.unit, &of.unit)
            && is(&self.taken, &of.taken)
            && is(&self.kind, &of.kind)
            && is(&self.age, &of.age)
            && is(&self.instruction_source, &of.instruction_source)
    }
}

/// Those of a deploy's profiles that fit, all of one endpoint. If there are none, the refusal names what there is.
pub(super) fn offered(
    mut all: Vec<ProfileSummary>,
    wanted: &Wanted,
    param: &str,
    deploy: &str,
) -> Result<Vec<ProfileSummary>, Refusal> {
    let missing =
        |field: &str, detail: String| Err(Refusal::of(StatusCode::NOT_FOUND, field, detail));
    if all.is_empty() {
        let detail = format!(
            "There is no profile of deploy {deploy:?}: none came, or it was so long ago that they were forgotten."
        );
        return missing(param, detail);
    }
    let endpoints = names(&all, |of| {
        if of.endpoint.is_empty() {
            "(whole process)"
        } else {
            &of.endpoint
        }
    });
    match &wanted.endpoint {
        Some(endpoint) => all.retain(|summary| summary.of.endpoint == *endpoint),
        None if endpoints.len() > 1 => {
            let detail = format!(
                "It must be given: there are profiles of {}.",
                told(&endpoints)
            );
            return Err(Refusal::of(StatusCode::BAD_REQUEST, "endpoint", detail));
        }
        None => {}
    }
    if all.is_empty() {
        let detail = format!(
            "Under {deploy} it was not profiled; there are profiles of {}.",
            told(&endpoints)
        );
        return missing("endpoint", detail);
    }
    let timers = names(&all, |of| &of.timer);
    if let Some(timer) = &wanted.timer {
        all.retain(|summary| summary.of.timer == *timer);
    }
    if all.is_empty() {
        let detail = format!(
            "Under {deploy} this endpoint was not profiled by it; there are {}.",
            told(&timers)
        );
        return missing("timer", detail);
    }
    let ways: Vec<String> = all.iter().map(|summary| way(&summary.of)).collect();
    all.retain(|summary| wanted.fits(&summary.of));
    if all.is_empty() {
        let detail = format!(
            "Under {deploy} none was taken like that; there is {}.",
            ways.join("; ")
        );
        return missing("taken", detail);
    }
    Ok(all)
}

/// What there is in the order in which it is shown: by the surest timer first, then of warm processes, with every call
/// counted, of requests. Only what counts the same kind of thing as the first is left: memory is no answer to who
/// is asked about time.
pub(super) fn ranked(mut offers: Vec<ProfileSummary>) -> Vec<ProfileSummary> {
    offers.sort_by_cached_key(|summary| {
        let of = &summary.of;
        (
            rank(&of.timer),
            of.timer.clone(),
            of.age != Age::Warm,
            of.taken != Taken::Scopes,
            of.kind != Kind::Request,
            std::cmp::Reverse(summary.requests),
        )
    });
    let counted = |of: &ProfileOf| (rank(&of.timer) == OTHER).then(|| of.timer.clone());
    if let Some(first) = offers.first().map(|first| counted(&first.of)) {
        offers.retain(|summary| counted(&summary.of) == first);
    }
    offers
}

/// Timers by how sure they tell what a request takes of a CPU.
fn rank(timer: &str) -> usize {
    const OF_CPU: [&str; OTHER] = ["instructions", "cpu", "user_cpu"];
    let known = OF_CPU.iter().position(|known| *known == timer);
    known.unwrap_or(OTHER)
}

/// The rank of those that tell something else.
const OTHER: usize = 3;

fn way(of: &ProfileOf) -> String {
    let json = |value: serde_json::Result<serde_json::Value>| {
        value
            .ok()
            .and_then(|value| value.as_str().map(str::to_owned))
            .unwrap_or_default()
    };
    format!(
        "taken={}, kind={}, age={}, instruction_source={}, unit={}",
        json(serde_json::to_value(of.taken)),
        json(serde_json::to_value(of.kind)),
        json(serde_json::to_value(of.age)),
        json(serde_json::to_value(of.instruction_source)),
        of.unit,
    )
}

fn names<'a>(all: &'a [ProfileSummary], name: impl Fn(&'a ProfileOf) -> &'a str) -> Vec<String> {
    let names: BTreeSet<&str> = all.iter().map(|summary| name(&summary.of)).collect();
    names.into_iter().map(str::to_owned).collect()
}

fn told(names: &[String]) -> String {
    match names.len().checked_sub(MOST_NAMES) {
        Some(more @ 1..) => format!("{} and {more} more", names[..MOST_NAMES].join(", ")),
        _ => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(endpoint: &str, timer: &str, taken: Taken, age: Age) -> ProfileSummary {
        ProfileSummary {
            of: ProfileOf {
                endpoint: endpoint.into(),
                timer: timer.into(),
                taken,
                age,
                ..ProfileOf::default()
            },
            requests: 1,
            samples: 0,
            lost_samples: 0,
            from_us: 0,
            until_us: 1,
        }
    }

    fn chosen(all: Vec<ProfileSummary>, wanted: &Wanted) -> (String, Taken, Age) {
        let offers = offered(all, wanted, "deploy", "a").unwrap();
        let of = ranked(offers).remove(0).of;
        (of.timer, of.taken, of.age)
    }

    #[test]
    fn what_was_left_out_is_chosen_and_what_was_asked_for_is_not_replaced() {
        use {Age::*, Taken::*};
        let all = vec![
            summary("/feed", "allocated", Scopes, Warm),
            summary("/feed", "cpu", Sampled, Warm),
            summary("/feed", "cpu", Scopes, WarmingUp),
            summary("/feed", "wall", Scopes, Warm),
        ];
        let left_out = Wanted::default();
        assert_eq!(
            chosen(all.clone(), &left_out),
            ("cpu".into(), Sampled, Warm)
        );
        let scopes = Wanted {
            taken: Some(Scopes),
            timer: Some("cpu".into()),
            ..Wanted::default()
        };
        assert_eq!(
            chosen(all.clone(), &scopes),
            ("cpu".into(), Scopes, WarmingUp)
        );
        let rest: Vec<_> = all
            .into_iter()
            .filter(|summary| summary.of.timer != "cpu")
            .collect();
        assert_eq!(chosen(rest, &left_out), ("allocated".into(), Scopes, Warm));
    }

    #[test]
    fn sampled_time_goes_before_memory_and_is_what_there_is_besides() {
        use {Age::*, Taken::*};
        let all = vec![
            summary("/feed", "allocated", Scopes, Warm),
            summary("/feed", "live", Sampled, Warm),
            summary("/feed", "user_cpu", Sampled, Warm),
        ];
        let in_order = |all: &[ProfileSummary]| -> Vec<(String, Taken)> {
            let ranked = ranked(all.to_vec()).into_iter();
            ranked.map(|one| (one.of.timer, one.of.taken)).collect()
        };
        assert_eq!(in_order(&all), [("user_cpu".into(), Sampled)]);
        assert_eq!(in_order(&all[..2]), [("allocated".into(), Scopes)]);
        let mut all = all;
        all.push(summary("/feed", "cpu", Scopes, Warm));
        all.push(summary("/feed", "instructions", Sampled, WarmingUp));
        let names = ["instructions", "cpu", "user_cpu"];
        let found = in_order(&all).into_iter().map(|(timer, _)| timer);
        assert_eq!(found.collect::<Vec<_>>(), names);
    }

    #[test]
    fn a_long_list_is_cut() {
        let names: Vec<String> = (0..25).map(|n| n.to_string()).collect();
        assert!(told(&names).ends_with("18, 19 and 5 more"));
        assert_eq!(told(&names[..20]).matches(", ").count(), 19);
    }
}
