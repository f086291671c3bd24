use serde::{Deserialize, Serialize};

use super::load::Block;
use super::sides::Side;
use crate::interval::{Interval, change_of};

/// One figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What it is, with its unit.
    pub name: String,
    /// Without the agent: the geometric mean of the starts.
    pub without: f64,
    /// With it.
    pub with: f64,
    /// The relative change with its 95 % interval.
    pub change: Change,
    /// The same of a second process without the agent: what the method finds where there is nothing, or a layer that does
    /// nothing.
    pub floor: Change,
    /// The interval shall lie within this, either way.
    pub bar: Option<f64>,
}

/// A relative change with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// 0.01 is one per cent more.
    pub change: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Row {
    /// Whether the interval lies within the bar.
    #[must_use]
    pub fn is_within(&self) -> Option<bool> {
        let bar = self.bar?;
        Some(-bar <= self.change.low && self.change.high <= bar)
    }

    /// How many times as much would have to be measured for the interval to lie within the bar, if the
    /// difference stayed as it is; `None` if it can not.
    #[must_use]
    pub fn times_more(&self) -> Option<f64> {
        let half = (self.change.high - self.change.low) / 2.0;
        let left = self.bar? - self.change.change.abs();
        (left > 0.0).then(|| (half / left).powi(2).max(1.0))
    }
}

impl From<Interval> for Change {
    fn from(interval: Interval) -> Self {
        Self {
            change: interval.change,
            low: interval.low,
            high: interval.high,
        }
    }
}

/// What one start found on each side, by [`Side`].
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Found {
    /// Means over the blocks, of logarithms.
    pub(super) throughput: [f64; 3],
    pub(super) p99: [f64; 3],
    pub(super) cpu: [f64; 3],
    pub(super) busy: f64,
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52 of each")]
pub(super) fn sum_up(
    blocks: &[[Block; 3]],
    requests: usize,
    cpu_seconds: [f64; 3],
    cpus: usize,
) -> Found {
    let of_side = |side: Side, value: fn(&Block) -> f64| {
        mean(blocks.iter().map(|block| value(&block[side as usize]).ln()))
    };
    let requests = requests as f64;
    let answered = requests * blocks.len() as f64;
    let seconds: f64 = blocks.iter().flatten().map(|block| block.seconds).sum();
    Found {
        throughput: Side::ALL.map(|side| requests.ln() - of_side(side, |block| block.seconds)),
        p99: Side::ALL.map(|side| of_side(side, |block| block.p99_seconds * 1e6)),
        cpu: cpu_seconds.map(|seconds| (seconds * 1e6 / answered).ln()),
        busy: cpu_seconds.iter().sum::<f64>() / seconds / cpus as f64,
    }
}

pub(super) fn row(
    name: &str,
    found: &[Found],
    value: fn(&Found) -> [f64; 3],
    bar: Option<f64>,
) -> Row {
    let of_side = |side: Side| mean(found.iter().map(|found| value(found)[side as usize])).exp();
    let against = |side: Side| {
        let logs: Vec<f64> = found
            .iter()
            .map(|found| value(found)[side as usize] - value(found)[Side::Without as usize])
            .collect();
        change_of(&logs).into()
    };
    Row {
        name: name.to_owned(),
        without: of_side(Side::Without),
        with: of_side(Side::With),
        change: against(Side::With),
        floor: against(Side::WithoutAgain),
        bar,
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52 values")]
pub(super) fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len() as f64;
    values.sum::<f64>() / n
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(with: f64) -> Found {
        Found {
            throughput: [1_000_f64.ln(), 1_000_f64.ln(), with.ln()],
            ..Found::default()
        }
    }

    #[test]
    fn a_figure_is_within_its_bar_only_if_its_whole_interval_is() {
        let within = |with: [f64; 4]| {
            let found = with.map(found);
            let row = row("x", &found, |found| found.throughput, Some(0.01));
            assert!(row.floor.change.abs() < 1e-9);
            row.is_within()
        };
        assert_eq!(within([1_001.0, 999.0, 1_000.0, 1_001.0]), Some(true));
        // Chance alone, and a difference that is there.
        assert_eq!(within([1_030.0, 970.0, 1_000.0, 1_000.0]), Some(false));
        assert_eq!(within([980.0, 980.0, 981.0, 980.0]), Some(false));
    }

    #[test]
    fn four_times_as_much_halves_the_interval() {
        let row = |change| Row {
            name: String::new(),
            without: 1.0,
            with: 1.0,
            change: Change {
                change,
                low: change - 0.02,
                high: change + 0.02,
            },
            floor: Change {
                change: 0.0,
                low: 0.0,
                high: 0.0,
            },
            bar: Some(0.01),
        };
        assert_eq!(row(0.0).times_more().map(f64::round), Some(4.0));
        assert_eq!(row(0.011).times_more(), None);
    }
}
