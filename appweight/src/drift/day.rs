//! What is kept of a day when its records are gone.

use std::collections::BTreeMap;

use appweight_wire::{Age, Cell, Distribution, InstructionSource, Kind};
use serde::{Deserialize, Serialize};

use super::DAY_US;
use crate::evidence::ProcessPoint;
use crate::weight::weigh;

/// The peak's window, µs.
const MINUTE_US: u64 = 60_000_000;

/// A service's day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Day {
    /// The service.
    pub service: String,
    /// When it begins, 0:00 UTC, µs.
    pub start_us: u64,
    /// The minute with most active users; absent if the service does not say who its requests are from, or its process records
    /// were gone.
    pub peak: Option<Peak>,
    /// What was counted, endpoint by endpoint.
    pub endpoints: Vec<EndpointDay>,
}

/// The minute of a day with most active users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peak {
    /// When it begins, µs.
    pub start_us: u64,
    /// Users with at least one request in it.
    pub active_users: u64,
    /// Requests that ended in it.
    pub requests: u64,
    /// CPU time of all processes in it, ns.
    pub cpu_ns: u64,
    /// Instructions of all processes in it, if all of the day's records have them.
    pub instructions: Option<u64>,
    /// Of how many of the day's minutes there are process records: the peak is that of those.
    pub minutes: u32,
}

/// An endpoint's day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointDay {
    /// Requests or tasks.
    pub kind: Kind,
    /// The endpoint.
    pub endpoint: String,
    /// All of its requests.
    pub requests: u64,
    /// CPU time, ns, of those of warm processes.
    pub cpu_ns: Option<Cost>,
    /// Their instructions.
    pub instructions: Option<InstructionCost>,
}

/// What some requests cost together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// How many.
    pub requests: u64,
    /// The sum.
    pub total: u64,
}

impl Cost {
    /// The mean of a request.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.total as f64 / self.requests.max(1) as f64
    }

    /// Adds requests of that distribution, which stands for `weight` of them.
    fn add(&mut self, weight: u64, distribution: &Distribution) {
        let Some(mean) = distribution.mean() else {
            return;
        };
        self.requests = self.requests.saturating_add(weight);
        let total = (mean * weight as f64).round() as u64;
        self.total = self.total.saturating_add(total);
    }
}

/// Instructions, counted in one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstructionCost {
    /// How they were counted. Where a day has several ways, the one of most requests.
    pub source: InstructionSource,
    /// What they cost.
    #[serde(flatten)]
    pub cost: Cost,
}

/// Adds a day up, cell by cell.
#[derive(Debug, Default)]
pub struct DaySums(BTreeMap<(Kind, String), EndpointSums>);

#[derive(Debug, Default)]
struct EndpointSums {
    requests: u64,
    cpu_ns: Cost,
    instructions: BTreeMap<InstructionSource, Cost>,
}

impl DaySums {
    /// Adds a cell of the day; those kept per flag are passed over.
    pub fn add(&mut self, cell: &Cell) {
        let key = &cell.key;
        if key.flag.is_some() {
            return;
        }
        let sums = self.0.entry((key.kind, key.endpoint.clone())).or_default();
        sums.requests = sums.requests.saturating_add(cell.weight);
        // A day with more restarts would else look dearer.
        if key.age != Age::Warm {
            return;
        }
        if let Some(cpu_ns) = &cell.cpu_ns {
            sums.cpu_ns.add(cell.weight, cpu_ns);
        }
        if let Some(instructions) = &cell.instructions {
            let of_source = sums.instructions.entry(key.instruction_source);
            of_source.or_default().add(cell.weight, instructions);
        }
    }

    /// The day that begins then, with what its process records tell, if they are there for all of it.
    #[must_use]
    pub fn into_day(self, service: &str, start_us: u64, processes: &[ProcessPoint]) -> Day {
        let endpoints = self.0.into_iter().map(|((kind, endpoint), sums)| {
            let most = sums
                .instructions
                .into_iter()
                .max_by_key(|(_, cost)| cost.requests);
            EndpointDay {
                kind,
                endpoint,
                requests: sums.requests,
                cpu_ns: Some(sums.cpu_ns).filter(|cost| cost.requests > 0),
                instructions: most.map(|(source, cost)| InstructionCost { source, cost }),
            }
        });
        Day {
            service: service.to_owned(),
            start_us,
            peak: peak(start_us, processes),
            endpoints: endpoints.collect(),
        }
    }
}

fn peak(start_us: u64, processes: &[ProcessPoint]) -> Option<Peak> {
    let in_day = |at_us: u64| (start_us..start_us + DAY_US).contains(&at_us);
    let weighed = weigh(processes, MINUTE_US);
    let peak = weighed.peak.filter(|peak| in_day(peak.start_us))?;
    let in_peak = || {
        let end_us = peak.start_us + MINUTE_US;
        let during = peak.start_us..end_us;
        processes
            .iter()
            .filter(move |point| during.contains(&point.start_us))
    };
    let counted = processes.iter().all(|point| point.instructions.is_some());
    let sum = |of: fn(&ProcessPoint) -> u64| in_peak().map(of).fold(0, u64::saturating_add);
    let instructions = sum(|point| point.instructions.unwrap_or(0));
    let minutes = weighed.points.iter();
    let minutes = minutes.filter(|point| in_day(point.start_us)).count();
    Some(Peak {
        start_us: peak.start_us,
        active_users: peak.active_users.unwrap_or(0.0).round() as u64,
        requests: peak.requests,
        cpu_ns: sum(|point| point.cpu_ns),
        instructions: counted.then_some(instructions),
        minutes: minutes as u32,
    })
}
