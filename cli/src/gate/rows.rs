use appweight::api::{Arm, Comparison, Detected, DetectedChange, EndpointComparison, Metric};
use appweight::text;

use super::evidence::Evidence;

pub(super) const HEADS: [&str; 5] = ["endpoint", "before", "after", "change", "requests"];

/// Endpoint, before, after, change, requests: one row each, the total last.
pub(super) fn rows(evidence: &Evidence) -> Vec<[String; 5]> {
    match (&evidence.detected, &evidence.comparison) {
        (Some(detected), comparison) => detected_rows(detected, comparison.as_ref()),
        (None, Some(comparison)) => compared_rows(comparison),
        (None, None) => Vec::new(),
    }
}

fn compared_rows(comparison: &Comparison) -> Vec<[String; 5]> {
    let shown = |metric: Metric, arm: &Arm| text::cost(metric, arm.mean);
    let mut rows: Vec<[String; 5]> = comparison
        .endpoints
        .iter()
        .map(|endpoint| {
            [
                endpoint.endpoint.clone(),
                shown(endpoint.metric, &endpoint.before),
                shown(endpoint.metric, &endpoint.after),
                endpoint
                    .change
                    .as_ref()
                    .map_or_else(|| "too few requests".to_owned(), text::change),
                requests(endpoint),
            ]
        })
        .collect();
    let total = &comparison.total;
    rows.push([
        "all endpoints".to_owned(),
        text::cost(comparison.metric, total.before),
        text::cost(comparison.metric, total.after),
        total
            .change
            .as_ref()
            .map_or_else(|| "too few requests".to_owned(), text::change),
        String::new(),
    ]);
    rows
}

fn requests(endpoint: &EndpointComparison) -> String {
    format!("{} / {}", endpoint.before.requests, endpoint.after.requests)
}

/// Means and requests are those of the comparison, as far as it has them.
fn detected_rows(detected: &Detected, comparison: Option<&Comparison>) -> Vec<[String; 5]> {
    let row = |said: &DetectedChange, means: Option<(Metric, [f64; 2])>, requests: String| {
        let mean = |side: usize| {
            means.map_or_else(String::new, |(metric, means)| {
                text::cost(metric, means[side])
            })
        };
        let verdict = text::detected(said.verdict);
        [
            said.endpoint
                .as_deref()
                .unwrap_or("all endpoints")
                .to_owned(),
            mean(0),
            mean(1),
            match &said.change {
                Some(change) => format!("{}, {verdict}", text::change(change)),
                None => verdict.to_owned(),
            },
            requests,
        ]
    };
    let of_endpoint = |said: &DetectedChange| {
        let mut compared = comparison.iter().flat_map(|all| &all.endpoints);
        let same = compared.find(|compared| {
            Some(compared.kind) == said.kind && Some(&compared.endpoint) == said.endpoint.as_ref()
        });
        let means = same.filter(|same| Some(same.metric) == detected.metric);
        let means = means.map(|same| (same.metric, [same.before.mean, same.after.mean]));
        row(said, means, same.map_or_else(String::new, requests))
    };
    let endpoints = detected.endpoints.iter().map(of_endpoint);
    let total = detected.total.iter().map(|said| {
        let compared = comparison.filter(|all| Some(all.metric) == detected.metric);
        let means = compared.map(|all| (all.metric, [all.total.before, all.total.after]));
        row(said, means, String::new())
    });
    endpoints.chain(total).collect()
}
