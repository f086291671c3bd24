use std::collections::BTreeMap;

use crate::detect::{CellLine, DeployLine, Detector};
use crate::median::median;

/// Minutes after the start of a roll-out for which power is told.
const MINUTES: [i64; 3] = [5, 15, 60];

/// What traffic lets a detector see: by endpoint the errors that it has some minutes after roll-outs began, from cells that it was given as
/// well.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Power {
    starts: BTreeMap<String, i64>,
    metric: Option<String>,
    minutes: Option<(i64, i64)>,
    by_endpoint: BTreeMap<String, Seen>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Seen {
    requests: f64,
    minutes: f64,
    errors: [Vec<f64>; MINUTES.len()],
}

impl Power {
    /// Notes when a roll-out begins.
    pub fn note_deploy(&mut self, line: &DeployLine) {
        self.starts.insert(line.deploy.clone(), line.start);
    }

    /// Counts a cell's requests, if it is of the metric that is judged and not told by a flag.
    pub fn note_cell(&mut self, cell: &CellLine<'_>) {
        let metric = self.metric.get_or_insert_with(|| cell.metric.to_string());
        if *metric != cell.metric || cell.flag.is_some() {
            return;
        }
        let (first, last) = self.minutes.get_or_insert((cell.minute, cell.minute));
        (*first, *last) = (cell.minute.min(*first), cell.minute.max(*last));
        let requests = cell.weight.max(cell.n);
        match self.by_endpoint.get_mut(cell.endpoint.as_ref()) {
            Some(seen) => seen.requests += requests,
            None => {
                let seen = Seen {
                    requests,
                    ..Seen::default()
                };
                self.by_endpoint.insert(cell.endpoint.to_string(), seen);
            }
        }
    }

    /// Notes the errors of roll-outs that began 5, 15 or 60 minutes before the last minute that the detector has closed.
    pub fn look(&mut self, detector: &Detector, closed: i64) {
        for (at, after) in MINUTES.iter().enumerate() {
            if !self.starts.values().any(|start| start + after == closed) {
                continue;
            }
            for (deploy, endpoint, error) in detector.standard_errors() {
                let is_due = self
                    .starts
                    .get(deploy)
                    .is_some_and(|start| start + after == closed);
                if let Some(endpoint) = endpoint.filter(|_| is_due) {
                    let seen = self.by_endpoint.entry(endpoint.to_owned()).or_default();
                    seen.errors[at].push(error);
                }
            }
        }
    }

    /// By endpoint of which something is known: requests a minute, and the median standard errors 5, 15 and 60 minutes after starts.
    pub fn median_errors(&self) -> impl Iterator<Item = (&str, f64, [Option<f64>; MINUTES.len()])> {
        let own = self
            .minutes
            .map_or(0.0, |(first, last)| (last - first + 1) as f64);
        let known = self.by_endpoint.iter();
        let known = known.filter(|(_, seen)| seen.errors.iter().any(|errors| !errors.is_empty()));
        known.map(move |(endpoint, seen)| {
            let errors = seen
                .errors
                .each_ref()
                .map(|errors| (!errors.is_empty()).then(|| median(&mut errors.clone())));
            (
                endpoint.as_str(),
                seen.requests / (seen.minutes + own).max(1.0),
                errors,
            )
        })
    }

    /// Adds what was seen on other days.
    pub fn absorb(&mut self, other: Self) {
        self.close();
        let mut other = other;
        other.close();
        for (endpoint, seen) in other.by_endpoint {
            let own = self.by_endpoint.entry(endpoint).or_default();
            own.requests += seen.requests;
            own.minutes += seen.minutes;
            for (own, errors) in own.errors.iter_mut().zip(seen.errors) {
                own.extend(errors);
            }
        }
    }

    /// Days of their own do not follow each other: the minutes of each are counted.
    fn close(&mut self) {
        if let Some((first, last)) = self.minutes.take() {
            for seen in self.by_endpoint.values_mut() {
                seen.minutes += (last - first + 1) as f64;
            }
        }
    }
}
