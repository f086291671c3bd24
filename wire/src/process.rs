use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ActiveUsers;
use crate::cell::is_zero;

/// Whether a counter is there, and how it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CounterStatus {
    /// The counter: `instructions`, `cpu`, `rss`, …
    pub name: String,
    /// How it is read (`perf_event read`, `clock_gettime`, …), absent if it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_by: Option<String>,
    /// Why it is not there, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent_because: Option<String>,
}

/// Requests and errors of one endpoint since the record before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EndpointCount {
    /// The route's template.
    pub endpoint: String,
    /// Requests that ended.
    pub requests: u64,
    /// How many of them failed.
    pub errors: u64,
}

/// What one process did in one span of time (10 s, or a cell's width if that is shorter). Spans
/// begin at multiples of their width, so that those of many processes fall together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProcessRecord {
    /// When the span begins, µs since the Unix epoch.
    pub start_us: u64,
    /// How long it lasts, µs. The last span of a process may end early; this stays the nominal width.
    pub width_us: u64,
    /// How long the process had been running at the end of the span, µs.
    pub process_age_us: u64,
    /// CPU time of the whole process in the span, ns.
    pub cpu_ns: u64,
    /// Instructions of the whole process in the span.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<u64>,
    /// CPU time outside any request or task: accept loop, runtime, agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_outside_ns: Option<u64>,
    /// Resident memory at the end of the span.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rss_bytes: Option<u64>,
    /// The part of it that is the process's own: without mapped files and shared memory, which come
    /// and go with what the kernel caches. A leak is judged by this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anonymous_bytes: Option<u64>,
    /// Page faults of all threads of the process in the span, those that read from a disk and those that did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_faults: Option<u64>,
    /// Times that a thread of the process gave its CPU up in the span, to wait or because others had to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_switches: Option<u64>,
    /// All requests since the process began.
    pub requests_total: u64,
    /// Requests and errors by endpoint in the span.
    #[serde(default)]
    pub endpoints: Vec<EndpointCount>,
    /// Who was active in the span; absent if the service does not say who a request is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_users: Option<ActiveUsers>,
    /// The CPU's model, as the kernel names it.
    #[serde(default)]
    pub cpu_model: String,
    /// The kernel's release.
    #[serde(default)]
    pub kernel: String,
    /// Which counters there are, and why one is missing.
    #[serde(default)]
    pub counters: Vec<CounterStatus>,
    /// Times that the agent set its cheap CPU clock against the system call since the process began.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub clock_checks_total: u64,
    /// How often the two were further apart than they may be: a few are the hypervisor's or an interrupt's time.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub clock_disagreements_total: u64,
    /// CPU time of all the agent's own threads in the span, ns: those that collect, ship, and look up what samples are called.
    #[serde(default)]
    pub agent_cpu_ns: u64,
    /// Bytes that the agent sent in the span.
    #[serde(default)]
    pub agent_bytes_sent: u64,
    /// Records (cells, requests, processes) that the agent gave up since the process began.
    #[serde(default)]
    pub dropped_total: u64,
}
