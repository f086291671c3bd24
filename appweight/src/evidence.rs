//! What the judge is shown.

use std::cmp::Ordering;

use appweight_wire::{ActiveUsers, Cell, EndpointCount};

use crate::api::Comparison;

/// The host group of a cell that was folded over all hosts.
pub const ALL_HOSTS: u8 = 255;

/// A cell with the facts that its batch's origin adds.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacedCell {
    /// The deploy that served its requests.
    pub deploy: String,
    /// The part of the fleet.
    pub cluster: String,
    /// The group of hosts, 0 to 15, or [`ALL_HOSTS`].
    pub host_group: u8,
    /// What was counted.
    pub cell: Cell,
}

/// A process record with the facts that its batch's origin adds.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessPoint {
    /// The process's random id.
    pub source: String,
    /// The instance that it runs on; empty where processes were added up.
    pub host: String,
    /// The deploy that it runs.
    pub deploy: String,
    /// The part of the fleet; empty where there is only one, where processes were added up, and where the record was kept before it was.
    pub cluster: String,
    /// The start of the record's span, µs.
    pub start_us: u64,
    /// The width of the span, µs.
    pub width_us: u64,
    /// The process's age at the end of the span, µs.
    pub age_us: u64,
    /// Requests since the process began.
    pub requests_total: u64,
    /// Resident memory at the end of the span, bytes: the process's own (anonymous) where that is
    /// known, else all of it.
    pub memory_bytes: Option<u64>,
    /// CPU time of the process in the span, ns.
    pub cpu_ns: u64,
    /// Instructions of the process in the span.
    pub instructions: Option<u64>,
    /// Why instructions are absent, if the process says so.
    pub instructions_absent_because: Option<String>,
    /// Who was active in the span.
    pub active_users: Option<ActiveUsers>,
    /// Requests and errors by endpoint in the span.
    pub endpoints: Vec<EndpointCount>,
}

/// Everything that a deploy is judged by.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    /// Cells of the service, of any deploy, from some time before the roll-out until its end.
    /// Cells kept per flag may be among them and are passed over.
    pub cells: Vec<PlacedCell>,
    /// Process records of the same span of time.
    pub processes: Vec<ProcessPoint>,
    /// How the service's earlier roll-outs compared, the newest first: what restarts do by themselves
    /// is learned from them.
    pub earlier: Vec<Comparison>,
}

/// The order of clusters: that of their names. Most services name none, and to compare two texts of no length is to read
/// from where nothing is, which takes some CPUs a microsecond.
#[must_use]
pub fn by_cluster(one: &str, other: &str) -> Ordering {
    match (one.is_empty(), other.is_empty()) {
        (false, false) => one.cmp(other),
        (one_is, other_is) => other_is.cmp(&one_is),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_are_in_the_order_of_their_names() {
        for one in ["", "a", "b", "ab"] {
            for other in ["", "a", "b", "ab"] {
                assert_eq!(by_cluster(one, other), one.cmp(other));
            }
        }
    }
}
