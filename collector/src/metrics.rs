//! What the collector says about itself, in the Prometheus text format.

use std::time::Duration;

use appweight::api::DeployVerdict;
use appweight_wire::Batch;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

type Labels = [(&'static str, &'static str); 1];

/// What became of a batch, as its label says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Stored,
    Duplicate,
    Conflict,
    Refused,
    Busy,
    Failed,
}

/// Counters and gauges of one collector.
pub(crate) struct Metrics {
    registry: Registry,
    batches: Family<Labels, Counter>,
    records: Family<Labels, Counter>,
    bytes: Counter,
    commits: Histogram,
    groups: Histogram,
    queue: Gauge,
    verdicts: Family<Labels, Counter>,
    store_size: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("appweight_collector"),
            batches: Family::default(),
            records: Family::default(),
            bytes: Counter::default(),
            // From half a millisecond to 16 s.
            commits: Histogram::new(exponential_buckets(0.000_5, 2.0, 16)),
            groups: Histogram::new(exponential_buckets(1.0, 2.0, 13)),
            queue: Gauge::default(),
            verdicts: Family::default(),
            store_size: Gauge::default(),
        };
        let registry = &mut metrics.registry;
        registry.register(
            "batches",
            "Batches by what became of them",
            metrics.batches.clone(),
        );
        registry.register(
            "records",
            "Records of stored batches by kind",
            metrics.records.clone(),
        );
        registry.register_with_unit(
            "received",
            "Bodies of batches",
            Unit::Bytes,
            metrics.bytes.clone(),
        );
        registry.register_with_unit(
            "commit",
            "From a checked batch to its commit",
            Unit::Seconds,
            metrics.commits.clone(),
        );
        registry.register(
            "commit_batches",
            "Batches in a commit",
            metrics.groups.clone(),
        );
        registry.register(
            "queue_batches",
            "Batches that wait for the next commit",
            metrics.queue.clone(),
        );
        registry.register(
            "verdicts",
            "Roll-outs judged for good, by verdict",
            metrics.verdicts.clone(),
        );
        registry.register_with_unit(
            "store_size",
            "The store's size",
            Unit::Bytes,
            metrics.store_size.clone(),
        );
        metrics
    }

    pub(crate) fn batch(&self, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Stored => "stored",
            Outcome::Duplicate => "duplicate",
            Outcome::Conflict => "conflict",
            Outcome::Refused => "refused",
            Outcome::Busy => "busy",
            Outcome::Failed => "failed",
        };
        self.batches.get_or_create(&[("outcome", outcome)]).inc();
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.bytes.inc_by(bytes as u64);
    }

    /// How many of each kind a batch holds, to be counted once it is stored.
    pub(crate) fn records(&self, counts: RecordCounts) {
        for (kind, count) in [
            ("cell", counts.0),
            ("request", counts.1),
            ("process", counts.2),
            ("profile", counts.3),
        ] {
            self.records
                .get_or_create(&[("kind", kind)])
                .inc_by(count as u64);
        }
    }

    pub(crate) fn committed(&self, after: Duration) {
        self.commits.observe(after.as_secs_f64());
    }

    /// So many batches more wait for a commit, or fewer.
    pub(crate) fn queued(&self, more: i64) {
        self.queue.inc_by(more);
    }

    /// So many batches go into one commit.
    pub(crate) fn grouped(&self, batches: usize) {
        self.groups.observe(batches as f64);
    }

    pub(crate) fn judged(&self, verdict: DeployVerdict) {
        let verdict = match verdict {
            DeployVerdict::Pending => "pending",
            DeployVerdict::Regressed => "regressed",
            DeployVerdict::Improved => "improved",
            DeployVerdict::NoChange => "no_change",
            DeployVerdict::NotEnoughData => "not_enough_data",
            DeployVerdict::Withheld => "withheld",
            DeployVerdict::First => "first",
        };
        self.verdicts.get_or_create(&[("verdict", verdict)]).inc();
    }

    /// All of it as text.
    pub(crate) fn render(&self, store_size: u64) -> String {
        self.store_size
            .set(i64::try_from(store_size).unwrap_or(i64::MAX));
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string cannot fail");
        text
    }
}

/// Cells, request records, process records and profiles.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordCounts(usize, usize, usize, usize);

impl RecordCounts {
    pub(crate) fn of(batch: &Batch) -> Self {
        Self(
            batch.cells.len(),
            batch.requests.len(),
            batch.processes.len(),
            batch.profiles.len(),
        )
    }
}
