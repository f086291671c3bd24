//! What the collector says about itself, in the Prometheus text format.

use std::time::Duration;

use appweight::api::DeployVerdict;
use appweight_wire::{Batch, PackedRequests};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry, Unit};

use crate::store::{DiskUse, Forgotten};

/// What is forgotten, as its label says it.
const FORGOTTEN: [&str; 9] = [
    "record",
    "batch_id",
    "profile",
    "folded_cell",
    "cell",
    "day",
    "endpoint",
    "deploy",
    "service",
];

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

impl Outcome {
    const ALL: [Self; 6] = [
        Self::Stored,
        Self::Duplicate,
        Self::Conflict,
        Self::Refused,
        Self::Busy,
        Self::Failed,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Duplicate => "duplicate",
            Self::Conflict => "conflict",
            Self::Refused => "refused",
            Self::Busy => "busy",
            Self::Failed => "failed",
        }
    }
}

/// Kinds of records, as their label says them.
const KINDS: [&str; 4] = ["cell", "request", "process", "profile"];

const VERDICTS: [DeployVerdict; 9] = [
    DeployVerdict::Pending,
    DeployVerdict::Regressed,
    DeployVerdict::Improved,
    DeployVerdict::NoChange,
    DeployVerdict::Undecided,
    DeployVerdict::Withdrawn,
    DeployVerdict::NotEnoughData,
    DeployVerdict::Withheld,
    DeployVerdict::First,
];

/// A verdict as a label says it.
pub(crate) fn verdict_name(verdict: DeployVerdict) -> &'static str {
    match verdict {
        DeployVerdict::Pending => "pending",
        DeployVerdict::Regressed => "regressed",
        DeployVerdict::Improved => "improved",
        DeployVerdict::NoChange => "no_change",
        DeployVerdict::Undecided => "undecided",
        DeployVerdict::Withdrawn => "withdrawn",
        DeployVerdict::NotEnoughData => "not_enough_data",
        DeployVerdict::Withheld => "withheld",
        DeployVerdict::First => "first",
    }
}

/// What there is: each line is a field of [`Metrics`], its name and unit, and what is said of it.
macro_rules! metrics {
    ($($field:ident: $type:ty = $start:expr, $name:literal $(in $unit:ident)?, $help:literal;)+) => {
        /// Counters and gauges of one collector.
        pub(crate) struct Metrics {
            registry: Registry,
            $($field: $type,)+
        }

        impl Metrics {
            pub(crate) fn new() -> Self {
                let mut registry = Registry::with_prefix("appweight_collector");
                $(
                    let $field: $type = $start;
                    register(&mut registry, $name, unit!($($unit)?), $help, $field.clone());
                )+
                let metrics = Self { registry, $($field),+ };
                metrics.begin_at_zero();
                metrics
            }
        }
    };
}

macro_rules! unit {
    () => {
        None
    };
    ($unit:ident) => {
        Some(Unit::$unit)
    };
}

fn register(
    registry: &mut Registry,
    name: &str,
    unit: Option<Unit>,
    help: &str,
    metric: impl Metric,
) {
    match unit {
        Some(unit) => registry.register_with_unit(name, help, unit, metric),
        None => registry.register(name, help, metric),
    }
}

type ByLabel = Family<Labels, Counter>;

metrics! {
    batches: ByLabel = Family::default(), "batches", "Batches by what became of them";
    records: ByLabel = Family::default(), "records", "Records of stored batches by kind";
    bytes: Counter = Counter::default(), "received" in Bytes, "Bodies of batches";
    // From a quarter of a second to two days: a spool may be sent long after.
    lag: Histogram = Histogram::new(exponential_buckets(0.25, 2.0, 20)),
        "lag" in Seconds, "From the end of a batch's newest record to its arrival";
    // From half a millisecond to 16 s.
    commits: Histogram = Histogram::new(exponential_buckets(0.000_5, 2.0, 16)),
        "commit" in Seconds, "From a checked batch to its commit";
    groups: Histogram = Histogram::new(exponential_buckets(1.0, 2.0, 13)), "commit_batches", "Batches in a commit";
    queue: Gauge = Gauge::default(), "queue_batches", "Batches that wait for the next commit";
    queue_room: Gauge = Gauge::default(),
        "queue_room" in Bytes, "Memory that batches may take until they are committed";
    queue_room_free: Gauge = Gauge::default(), "queue_room_free" in Bytes, "What of it is free";
    verdicts: ByLabel = Family::default(), "verdicts", "Roll-outs judged for good, by verdict";
    late: Counter = Counter::default(),
        "detector_late_requests", "Requests that came after the detector had judged their minute";
    told: Counter = Counter::default(), "alerts_told", "Messages about alerts that were taken";
    telling_failed: Counter = Counter::default(), "alerts_telling_failed", "Attempts to tell of alerts that failed";
    over_limit: Family<[(&'static str, String); 1], Counter> = Family::default(),
        "endpoints_over_limit_records", "Records of endpoints beyond the limit, counted as \"other\", by service";
    clocks_apart: ByLabel = Family::default(),
        "clock_apart_batches", "Batches of clients whose clock is ahead of the collector's, or behind";
    store_size: Gauge = Gauge::default(), "store_size" in Bytes, "What the store occupies on the disk";
    store_reusable: Gauge = Gauge::default(),
        "store_reusable" in Bytes, "What of it was forgotten and will be written over";
    forgotten: ByLabel = Family::default(),
        "forgotten", "What was too old, by kind: folded cells were added to wider ones";
    retention_steps: Histogram = Histogram::new(exponential_buckets(0.000_5, 2.0, 16)),
        "retention_step" in Seconds, "How long a step of the retention took, waiting for the store included";
    retention_done: Gauge = Gauge::default(),
        "retention_done_timestamp" in Seconds, "When nothing was left that is too old, Unix time; 0 if not since the start";
}

impl Metrics {
    /// A series that is missing until its first event has no rate then, and no alert either.
    fn begin_at_zero(&self) {
        for outcome in Outcome::ALL {
            let _ = self.batches.get_or_create(&[("outcome", outcome.as_str())]);
        }
        for kind in KINDS {
            let _ = self.records.get_or_create(&[("kind", kind)]);
        }
        for kind in FORGOTTEN {
            let _ = self.forgotten.get_or_create(&[("kind", kind)]);
        }
        for direction in ["ahead", "behind"] {
            let _ = self.clocks_apart.get_or_create(&[("direction", direction)]);
        }
        for verdict in VERDICTS {
            let _ = self
                .verdicts
                .get_or_create(&[("verdict", verdict_name(verdict))]);
        }
    }

    pub(crate) fn batch(&self, outcome: Outcome) {
        self.batches
            .get_or_create(&[("outcome", outcome.as_str())])
            .inc();
    }

    /// A new batch came so long after the end of its newest record.
    pub(crate) fn arrived(&self, after: Duration) {
        self.lag.observe(after.as_secs_f64());
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.bytes.inc_by(bytes as u64);
    }

    /// How many of each kind a batch holds, to be counted once it is stored.
    pub(crate) fn records(&self, counts: RecordCounts) {
        for (kind, count) in KINDS.into_iter().zip(counts.0) {
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
        self.verdicts
            .get_or_create(&[("verdict", verdict_name(verdict))])
            .inc();
    }

    /// So many requests came after their minute was judged.
    pub(crate) fn late(&self, requests: u64) {
        self.late.inc_by(requests);
    }

    /// A message about an alert was taken.
    pub(crate) fn told(&self) {
        self.told.inc();
    }

    /// Somebody could not be told of an alert.
    pub(crate) fn telling_failed(&self) {
        self.telling_failed.inc();
    }

    /// So many records of a service named endpoints beyond the limit.
    pub(crate) fn over_limit(&self, service: &str, records: u64) {
        if records > 0 {
            let label = [("service", service.to_owned())];
            self.over_limit.get_or_create(&label).inc_by(records);
        }
    }

    /// A batch came from a client whose clock is so far ahead.
    pub(crate) fn clock_apart(&self, ahead_us: i64) {
        let direction = if ahead_us > 0 { "ahead" } else { "behind" };
        self.clocks_apart
            .get_or_create(&[("direction", direction)])
            .inc();
    }

    /// A step of the retention is done.
    pub(crate) fn forgot(&self, step: &Forgotten, took: Duration) {
        self.retention_steps.observe(took.as_secs_f64());
        let counts = [
            step.records,
            step.batches,
            step.profiles,
            step.folded,
            step.cells,
            step.days,
            step.endpoints,
            step.deploys,
            step.services,
        ];
        for (kind, count) in FORGOTTEN.into_iter().zip(counts) {
            self.forgotten
                .get_or_create(&[("kind", kind)])
                .inc_by(count);
        }
    }

    /// Nothing is left that was too old at that time.
    pub(crate) fn retained(&self, now_us: u64) {
        self.retention_done.set(gauged(now_us / 1_000_000));
    }

    /// All of it as text, with what is asked for at each look: what the store occupies, and the queue's room
    /// and what of it is free, bytes.
    pub(crate) fn render(&self, disk: DiskUse, room: usize, free: usize) -> String {
        self.store_size.set(gauged(disk.bytes));
        self.store_reusable.set(gauged(disk.reusable_bytes));
        self.queue_room.set(gauged(room as u64));
        self.queue_room_free.set(gauged(free as u64));
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string cannot fail");
        text
    }
}

fn gauged(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Cells, request records, process records and profiles: as many as there are [`KINDS`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordCounts([usize; KINDS.len()]);

impl RecordCounts {
    pub(crate) fn of(batch: &Batch, packed: Option<&PackedRequests>) -> Self {
        let packed = packed.map_or(0, PackedRequests::len);
        Self([
            batch.cells.len(),
            packed.max(batch.requests.len()),
            batch.processes.len(),
            batch.profiles.len(),
        ])
    }
}
