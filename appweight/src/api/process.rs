use appweight_wire::{CounterStatus, RequestRecord};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A service in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServiceSummary {
    /// Its name.
    pub service: String,
    /// The start of its first cell, µs.
    pub first_us: u64,
    /// The end of its last cell, µs.
    pub last_us: u64,
    /// The id of its newest deploy.
    pub deploy: Option<String>,
}

/// The newest record of one process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProcessView {
    /// The process's random id.
    pub source: String,
    /// The instance.
    pub host: String,
    /// What it runs.
    pub deploy: String,
    /// The part of the fleet; absent where there is only one, or where its record was kept before it was.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    /// The end of its newest record, µs.
    pub last_us: u64,
    /// How long it had been running then, µs.
    pub age_us: u64,
    /// Resident memory, bytes.
    pub rss_bytes: Option<u64>,
    /// Requests since it started.
    pub requests_total: u64,
    /// CPU time in that record's span, ns.
    pub cpu_ns: u64,
    /// The CPU time of the agent's own thread in that span, ns.
    pub agent_cpu_ns: u64,
    /// The span's width, µs.
    pub width_us: u64,
    /// Records that its agent gave up.
    pub dropped_total: u64,
    /// How far its clock was ahead of the collector's, µs, less than 0 if behind. Absent where it could not be told from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ahead_us: Option<i64>,
    /// Page faults of the process in the span of that record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_faults: Option<u64>,
    /// Times that a thread of the process gave its CPU up in that span, to wait or because others had to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_switches: Option<u64>,
    /// Times that its agent set the cheap CPU clock against the system call since it started.
    #[serde(default)]
    pub clock_checks_total: u64,
    /// How often the two were further apart than they may be.
    #[serde(default)]
    pub clock_disagreements_total: u64,
    /// Which counters it has.
    pub counters: Vec<CounterStatus>,
}

/// One recorded request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RequestView {
    /// The instance that served it.
    pub host: String,
    /// The deploy that served it.
    pub deploy: String,
    /// Its facts.
    pub request: RequestRecord,
}

/// How the hosts that run a deploy compare with each other, from their processes' CPU time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HostsOfDeploy {
    /// How many could be compared, each with those of its cluster.
    pub hosts: u32,
    /// The relative standard deviation, inside a cluster, between those that do not stand out.
    pub spread: f64,
    /// Those that stand out, the farthest first.
    pub odd: Vec<OddHost>,
}

/// A host that costs more, or less, than the others of its cluster do for the same requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OddHost {
    /// The instance.
    pub host: String,
    /// Its cluster, where the deploy runs in more than one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    /// By how much, for the same requests.
    pub relative: f64,
    /// How many times the others' standard deviation that is.
    pub spreads: f64,
    /// CPU time of its processes per request, ns.
    pub cpu_ns_per_request: f64,
    /// The same of the median one of the others, ns.
    pub others_cpu_ns_per_request: f64,
    /// How much more it cost than the median host under the old deploy: one that was slow before is no matter of this one. Absent where
    /// there are no records of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relative_before: Option<f64>,
}
