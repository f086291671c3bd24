//! The lines that a detector reads and writes.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::api::AddedCost;

/// A deploy: which code, in place of which, from when to when it was rolled out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployLine {
    /// Its name.
    pub deploy: String,
    /// The service.
    #[serde(default)]
    pub service: String,
    /// The deploy that it replaces; none: what ran before the file begins.
    #[serde(default)]
    pub replaces: Option<String>,
    /// First minute of the roll-out, in unix minutes.
    pub start: i64,
    /// Last minute of the roll-out.
    pub end: i64,
}

/// A cell: the requests of one minute, deploy, endpoint and host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellLine<'a> {
    /// The minute, in unix minutes.
    pub minute: i64,
    /// The deploy that served.
    #[serde(borrow)]
    pub deploy: Cow<'a, str>,
    /// The endpoint.
    #[serde(borrow)]
    pub endpoint: Cow<'a, str>,
    /// The host; `*`: all of the cluster.
    #[serde(borrow)]
    pub host: Cow<'a, str>,
    /// The cluster.
    #[serde(borrow)]
    pub cluster: Cow<'a, str>,
    /// What was counted: `instructions` or `cpu_ns`.
    #[serde(borrow)]
    pub metric: Cow<'a, str>,
    /// Requests counted.
    pub n: f64,
    /// Requests that they stand for.
    #[serde(default)]
    pub weight: f64,
    /// Sum of costs.
    pub sum: f64,
    /// Sum of squares of costs.
    #[serde(default)]
    pub sumsq: f64,
    /// Sum of natural logs of costs.
    pub sumlog: f64,
    /// Sum of squares of natural logs of costs.
    pub sumsqlog: f64,
    /// The least cost.
    #[serde(default)]
    pub min: f64,
    /// The greatest cost.
    #[serde(default)]
    pub max: f64,
    /// The flag by which these requests are split, which other cells hold too.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub flag: Option<Cow<'a, str>>,
    /// The flag's value.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Cow<'a, str>>,
}

/// What is said of a deploy's or a flag's endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ruling {
    /// It costs more.
    Regressed,
    /// It costs less.
    Improved,
    /// The whole interval lies within the smallest change that is worth a word.
    Unchanged,
    /// Neither can be said yet.
    Undecided,
    /// There are no requests of both sides.
    NoData,
    /// It was said to have changed, and that went away.
    Withdrawn,
}

/// A verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerdictLine {
    /// The deploy, if one is judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deploy: Option<String>,
    /// The flag, if one is judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flag: Option<String>,
    /// The flag's value that is held against "off".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The endpoint; none: the whole service at a fixed mix of requests.
    pub endpoint: Option<String>,
    /// What is said.
    pub verdict: Ruling,
    /// Relative change of the mean cost.
    pub effect: Option<f64>,
    /// Lower end of its 95 % interval.
    pub low: Option<f64>,
    /// Upper end of its 95 % interval.
    pub high: Option<f64>,
    /// The minute whose cells were needed; no later one was used.
    pub at_minute: i64,
    /// Of an undecided endpoint: at least how many more requests of each side it takes to decide, if the estimate stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_requests: Option<u64>,
    /// Of what is called: what it costs the service once it is rolled out, at the present load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<AddedCost>,
    /// Why: each check with its figures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<String>,
}
