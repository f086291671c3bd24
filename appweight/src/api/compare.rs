use appweight_wire::{InstructionSource, Kind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is compared.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// CPU instructions.
    Instructions,
    /// CPU time, ns.
    #[default]
    Cpu,
}

/// What the old code was measured under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// Both served at the same time, in the same spans of time.
    SideBySide,
    /// One served after the other: whatever else changed meanwhile is in the difference, and the
    /// noise floor is wider.
    BeforeAfter,
}

/// One side of a comparison.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Arm {
    /// Requests counted.
    pub requests: u64,
    /// Requests they stand for.
    pub weight: u64,
    /// How many of the counted ones failed.
    pub errors: u64,
    /// How many groups of hosts they came from.
    pub host_groups: u32,
    /// The mean cost of a request in the metric's unit, at the spans of time that count.
    pub mean: f64,
}

/// A relative difference and how sure it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// The estimate: 0.013 is 1.3 % more.
    pub relative: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
    /// How sure the interval is, 0 to 1, after correction for the number of endpoints judged at once.
    pub confidence: f64,
    /// The standard error of the change's logarithm, noise floor included.
    pub standard_error: f64,
}

/// What a roll-out does to an endpoint's cost by itself, whatever its code: new processes start with
/// tidy heaps and empty caches, and are set against old ones. Learned from the service's earlier
/// roll-outs, most of which change nothing for most endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RestartEffect {
    /// The relative change: -0.02 is 2 % less.
    pub relative: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// From how many earlier roll-outs it is known.
    pub roll_outs: u32,
}

/// What is said of one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The whole interval lies above the smallest change that matters.
    Regressed,
    /// The whole interval lies below it, on the other side.
    Improved,
    /// No change could be told from noise; the interval says how large a one may hide.
    NoChange,
    /// Too few requests on one side to say anything. Never a pass.
    NotEnoughData,
    /// It looks cheaper, but its share of errors rose: failing fast is no improvement.
    Withheld,
}

/// One step on the way to a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Gate {
    /// The gate: `enough_requests`, `interval_above_floor`, …
    pub name: String,
    /// Whether it was passed.
    pub passed: bool,
    /// The numbers that decided, in words.
    pub detail: String,
}

/// One endpoint under two deploys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EndpointComparison {
    /// Request or task.
    pub kind: Kind,
    /// The route's template or the task's name.
    pub endpoint: String,
    /// What was compared.
    pub metric: Metric,
    /// How the instructions were counted, on both sides.
    pub instruction_source: InstructionSource,
    /// What the old code was measured under.
    pub control: Control,
    /// The old deploy.
    pub before: Arm,
    /// The new deploy.
    pub after: Arm,
    /// The difference, absent where there is too little to tell one. The restart is taken off.
    pub change: Option<Change>,
    /// What was taken off, absent where nothing is known of restarts.
    #[serde(default)]
    pub restart: Option<RestartEffect>,
    /// The standard error of the difference between the means as they were measured, from the spread
    /// of requests alone.
    #[serde(default)]
    pub request_error: Option<f64>,
    /// This endpoint's share of the service's cost under the old deploy, 0 to 1.
    pub share: f64,
    /// What is said.
    pub verdict: Verdict,
    /// Why.
    pub gates: Vec<Gate>,
}

/// The service as a whole: cost per request at the old deploy's mix of endpoints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TotalComparison {
    /// Mean cost of a request at that mix, before.
    pub before: f64,
    /// Mean cost of a request at the same mix, after.
    pub after: f64,
    /// The difference, absent where no endpoint has enough requests on both sides.
    pub change: Option<Change>,
}

/// Two deploys of one service side by side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Comparison {
    /// The service.
    pub service: String,
    /// The old deploy's id.
    pub base: String,
    /// The new deploy's id.
    pub head: String,
    /// What was compared.
    pub metric: Metric,
    /// What the old code was measured under.
    pub control: Control,
    /// Every endpoint, the heaviest first.
    pub endpoints: Vec<EndpointComparison>,
    /// All endpoints together at the old mix.
    pub total: TotalComparison,
}
