use appweight_wire::TimerValues;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::text;

/// What a timer itself costs at a call, in thousandths of its unit: what was taken off a profile's values for it, and how
/// much of it may be left in them.
///
/// Each process measures its own; of several the largest are told, so that in any order the sum is the same. Zero where
/// nothing was taken off, as of samples, and where it is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TimerCost {
    /// What was taken off for each call.
    pub taken_off_milli: u64,
    /// What may be left for each call, too much or too little.
    pub left_milli: u64,
}

impl TimerCost {
    pub(super) fn of(timer: &TimerValues) -> Self {
        Self {
            taken_off_milli: timer.taken_off_milli,
            left_milli: timer.left_milli,
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.taken_off_milli = self.taken_off_milli.max(other.taken_off_milli);
        self.left_milli = self.left_milli.max(other.left_milli);
    }

    /// Half a sentence on it; `None` where nothing was taken off.
    ///
    /// ```
    /// use appweight::profile::TimerCost;
    ///
    /// let cost = TimerCost { taken_off_milli: 35_200, left_milli: 4_000 };
    /// assert_eq!(
    ///     cost.told("ns").unwrap(),
    ///     "the timer’s own cost of up to 35.2 ns a call is taken off; ±4.00 ns a call may remain, and what cold caches add"
    /// );
    /// ```
    #[must_use]
    pub fn told(self, unit: &str) -> Option<String> {
        let amount = |milli: u64| text::amount(unit, milli as f64 / 1e3);
        (self != Self::default()).then(|| {
            format!(
                "the timer’s own cost of up to {} a call is taken off; ±{} a call may remain, and what cold caches add",
                amount(self.taken_off_milli),
                amount(self.left_milli)
            )
        })
    }
}
