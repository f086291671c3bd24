//! A service's days as series, and what is found in them.

use std::collections::{BTreeMap, BTreeSet};

use appweight_wire::{InstructionSource, Kind};

use super::scan::scan;
use super::tell::tell;
use super::{DAY_US, Day, EndpointDay, Peak};
use crate::api::{DriftReport, DriftSeries, EndpointDrift, Metric};
use crate::thresholds::Thresholds;

/// Minutes of a day that must have process records, so that its peak is the day's: nine in ten.
const LEAST_MINUTES: u32 = 1_296;
/// The last days, by which endpoints are ranked.
const LATELY: u64 = 7;

/// Which days are looked at, counted since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first one.
    pub from: u64,
    /// The one after the last.
    pub until: u64,
}

impl Span {
    fn place(self, day: &Day) -> Option<usize> {
        let at = day.start_us / DAY_US;
        (self.from..self.until)
            .contains(&at)
            .then(|| (at - self.from) as usize)
    }

    fn len(self) -> usize {
        self.until.saturating_sub(self.from) as usize
    }
}

type Name = (Kind, String);

/// Looks at a service's days: at its weight, and at the `most` endpoints that cost most in the last seven days, or at that
/// one alone.
#[must_use]
pub fn report(
    service: &str,
    days: &[Day],
    span: Span,
    endpoint: Option<&str>,
    most: usize,
    thresholds: &Thresholds,
) -> DriftReport {
    let placed: Vec<(usize, &Day)> = days
        .iter()
        .filter_map(|day| Some((span.place(day)?, day)))
        .collect();
    let mut weight = weight(&placed, span);
    let shares = shares(&placed, span);
    let mut names: Vec<(&Name, f64)> = shares.iter().map(|(name, share)| (name, *share)).collect();
    let endpoint_count = names.len() as u32;
    names.retain(|((_, name), _)| endpoint.is_none_or(|only| only == name));
    names.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    names.truncate(most);
    let mut endpoints: Vec<EndpointDrift> = names
        .into_iter()
        .map(|((kind, endpoint), share)| EndpointDrift {
            cost: cost(&placed, span, *kind, endpoint, thresholds),
            endpoint: endpoint.clone(),
            kind: *kind,
            share,
        })
        .collect();
    let mut all: Vec<(&mut DriftSeries, f64)> = endpoints
        .iter_mut()
        .map(|of| (&mut of.cost, thresholds.min_change_of(&of.endpoint)))
        .collect();
    all.push((&mut weight, thresholds.min_change));
    tell(&mut all, span.until * DAY_US);
    let moved = |of: &EndpointDrift| of.cost.overall.unwrap_or(0.0).abs() * of.share;
    endpoints.sort_by(|a, b| {
        let told = b.cost.is_told().cmp(&a.cost.is_told());
        told.then_with(|| moved(b).total_cmp(&moved(a)))
    });
    DriftReport {
        service: service.to_owned(),
        from_us: span.from * DAY_US,
        until_us: span.until * DAY_US,
        kept_since_us: None,
        weight,
        endpoint_count,
        endpoints,
    }
}

/// The weight of each day's peak; in instructions if every day has them.
fn weight(placed: &[(usize, &Day)], span: Span) -> DriftSeries {
    let peaks: Vec<(usize, &Peak)> = placed
        .iter()
        .filter_map(|(at, day)| Some((*at, day.peak.as_ref()?)))
        .filter(|(_, peak)| peak.minutes >= LEAST_MINUTES && peak.active_users > 0)
        .collect();
    let counted = !peaks.is_empty() && peaks.iter().all(|(_, peak)| peak.instructions.is_some());
    let mut values = vec![None; span.len()];
    for (at, peak) in peaks {
        let total = if counted {
            peak.instructions.unwrap_or(0)
        } else {
            peak.cpu_ns
        };
        values[at] = Some(total as f64 / peak.active_users as f64);
    }
    scan(span.from, metric(counted), values)
}

/// What an endpoint's requests cost; in instructions if every day has them, counted in one way. Days of few requests are gaps:
/// one odd request would be their mean.
fn cost(
    placed: &[(usize, &Day)],
    span: Span,
    kind: Kind,
    endpoint: &str,
    thresholds: &Thresholds,
) -> DriftSeries {
    let of_endpoint = |day: &EndpointDay| day.kind == kind && day.endpoint == endpoint;
    let days: Vec<(usize, &EndpointDay)> = placed
        .iter()
        .filter_map(|(at, day)| Some((*at, day.endpoints.iter().find(|of| of_endpoint(of))?)))
        .filter(|(_, day)| day.requests >= thresholds.min_requests)
        .collect();
    let sources: BTreeSet<Option<InstructionSource>> = days
        .iter()
        .map(|(_, day)| day.instructions.map(|of| of.source))
        .collect();
    let counted = sources.len() == 1 && !sources.contains(&None);
    let mut values = vec![None; span.len()];
    for (at, day) in days {
        let cost = if counted {
            day.instructions.map(|of| of.cost)
        } else {
            day.cpu_ns
        };
        values[at] = cost.map(|cost| cost.mean());
    }
    scan(span.from, metric(counted), values)
}

fn metric(counted: bool) -> Metric {
    if counted {
        Metric::Instructions
    } else {
        Metric::Cpu
    }
}

/// Each endpoint's part of the CPU lately; 0 of those that were not asked lately.
fn shares(placed: &[(usize, &Day)], span: Span) -> BTreeMap<Name, f64> {
    let newest = placed.iter().map(|(at, _)| *at as u64 + 1).max();
    let lately = newest.unwrap_or(0).min(span.len() as u64);
    let mut shares: BTreeMap<Name, f64> = BTreeMap::new();
    for (at, day) in placed {
        for of in &day.endpoints {
            let share = shares.entry((of.kind, of.endpoint.clone())).or_default();
            if *at as u64 + LATELY >= lately {
                let mean = of.cpu_ns.map_or(0.0, |cost| cost.mean());
                *share += mean * of.requests as f64;
            }
        }
    }
    let all: f64 = shares.values().sum();
    if all > 0.0 {
        shares.values_mut().for_each(|share| *share /= all);
    }
    shares
}
