use appweight_wire::CounterStatus;

use crate::SamplingStatus;

/// What an agent counts with, and what it did since its start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentStatus {
    /// Whether requests are measured: not if the agent is disabled or was shut down.
    pub enabled: bool,
    /// Which counters there are, and why one is missing.
    pub counters: Vec<CounterStatus>,
    /// Whether requests of some endpoint pass uncounted at present, for whom others stand: where 1 in K is asked for, or the
    /// CPU clock is not cheap and the endpoint busy. Numbers of requests are exact all the same.
    pub thins: bool,
    /// Times that the cheap CPU clock was compared with the system call.
    pub clock_checks: u64,
    /// Times that they were too far apart.
    pub clock_disagreements: u64,
    /// Differences of two readings that cannot be, as a negative one: what would have been told of them is absent. Of the
    /// process, whichever of its agents measured.
    pub impossible_differences: u64,
    /// Requests that ended.
    pub requests: u64,
    /// Tasks that ended.
    pub tasks: u64,
    /// Cells that are open, in all threads.
    pub cells: u64,
    /// Records (cells, requests, processes) that a collector has taken.
    pub sent: u64,
    /// Batches that a collector has taken.
    pub sent_batches: u64,
    /// Bytes of those batches.
    pub sent_bytes: u64,
    /// Bytes of batches that wait in memory to be sent.
    pub queued_bytes: u64,
    /// Batches that wait in the spool, also those that dead processes left.
    pub spooled_batches: u64,
    /// Bytes of the disk that they take.
    pub spooled_bytes: u64,
    /// Files in the spool that could not be read and were set aside.
    pub spool_unreadable: u64,
    /// Attempts to send a batch that failed and were, or will be, repeated.
    pub retries: u64,
    /// Records that were given up: refused by the collector, or no room was left for them.
    pub dropped: u64,
    /// The requests and tasks in the cells among them. Together with those that the collector has, and
    /// what still waits, they are all that were counted.
    pub dropped_requests: u64,
    /// Requests and tasks that were counted as `other`, because there were too many endpoints.
    pub other_endpoint: u64,
    /// Flags of requests that were not counted, because their endpoint had too many values.
    pub uncounted_flags: u64,
    /// How the stacks of profiled requests are sampled.
    pub sampling: SamplingStatus,
}
