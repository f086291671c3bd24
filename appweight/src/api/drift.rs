use appweight_wire::Kind;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Metric;

/// A place where a series changed for good.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LevelChange {
    /// The first day, or the Monday of the first week, after the change, µs.
    pub from_us: u64,
    /// The mean of the days before, up to the change before that, in the series' unit.
    pub before: f64,
    /// The mean of the days after, up to the next change.
    pub after: f64,
    /// After against before: 0.02 is 2 % more.
    pub relative: f64,
    /// How sure it is that there is a change, 0 to 1, if this were the only series looked at.
    pub confidence: f64,
    /// Whether it is sure enough among all that was looked at, and large enough to matter.
    pub told: bool,
}

/// How a series moves since its last change of level.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Trend {
    /// The first day of it, µs.
    pub from_us: u64,
    /// The relative change in a week: 0.02 is 2 % more each week.
    pub per_week: f64,
    /// The lower end of its 95 % interval.
    pub low: f64,
    /// The upper end of its 95 % interval.
    pub high: f64,
    /// How sure it is that there is a trend, 0 to 1, if this were the only series looked at.
    pub confidence: f64,
    /// Whether it is sure enough among all that was looked at, and large enough to matter.
    pub told: bool,
}

/// What a series of days, or of weeks, shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SeriesScan {
    /// Days or weeks that have a value.
    pub values: u32,
    /// Changes of level, in order.
    pub changes: Vec<LevelChange>,
    /// The trend since the last of them; absent while there are too few values for one.
    pub trend: Option<Trend>,
    /// How many values more it takes until a trend can be told; 0 if there are enough.
    pub lacking: u32,
}

/// A series of days and what is found in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DriftSeries {
    /// In what it is counted.
    pub metric: Metric,
    /// A value for each day of the report; absent where nothing was measured, or not enough of the day.
    pub days: Vec<Option<f64>>,
    /// By day.
    pub daily: SeriesScan,
    /// By week, from Monday on.
    pub weekly: SeriesScan,
    /// The last seven values against the first seven, as medians without the shape of the week; absent below fourteen. Many small
    /// steps, each too small to be told, add up here.
    pub overall: Option<f64>,
}

impl DriftSeries {
    /// Whether anything in it is told.
    #[must_use]
    pub fn is_told(&self) -> bool {
        [&self.daily, &self.weekly].into_iter().any(|scan| {
            scan.changes.iter().any(|change| change.told)
                || scan.trend.is_some_and(|trend| trend.told)
        })
    }
}

/// How an endpoint's cost per request moved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EndpointDrift {
    /// The endpoint.
    pub endpoint: String,
    /// Requests or tasks.
    pub kind: Kind,
    /// Its part of the CPU of all endpoints in the last seven days.
    pub share: f64,
    /// Its mean cost per request, day by day.
    pub cost: DriftSeries,
}

/// How a service's weight, and what its endpoints cost, moved over days and weeks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DriftReport {
    /// The service.
    pub service: String,
    /// The first day, 0:00 UTC, µs.
    pub from_us: u64,
    /// The day after the last one, 0:00 UTC, µs.
    pub until_us: u64,
    /// Since when days of this service are kept, µs; absent if there is none yet.
    pub kept_since_us: Option<u64>,
    /// The weight of each day's peak minute, the one with most active users.
    pub weight: DriftSeries,
    /// How many endpoints there are; those that cost most were looked at.
    pub endpoint_count: u32,
    /// Endpoint by endpoint: those of which something is told first, then by what they moved the service's CPU.
    pub endpoints: Vec<EndpointDrift>,
}
