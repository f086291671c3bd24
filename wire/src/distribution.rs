use serde::{Deserialize, Serialize};

use crate::{Wide, logarithm};

/// What one metric of a cell's requests adds up to: enough for a mean with its error, for the
/// geometric mean, and for quantiles within a ninth of the value.
///
/// Integers add exactly and logarithms are fixed-point, so adding in any order gives the same
/// distribution. An empty distribution is the neutral element.
///
/// ```
/// use appweight_wire::Distribution;
///
/// let mut cpu_ns = Distribution::default();
/// cpu_ns.observe(800_000);
/// cpu_ns.observe(1_200_000);
/// assert_eq!(cpu_ns.mean(), Some(1_000_000.0));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    /// How many requests had this metric read. At most the cell's `n`.
    pub n: u64,
    /// The sum of the values.
    pub sum: u64,
    /// The sum of the squared values, as `[high, low]`.
    pub sum_squares: Wide,
    /// The sum of log₂(value) in units of 2⁻¹⁶, each rounded to the nearest; a value of 0 counts as 1.
    pub sum_logs: u64,
    /// The sum of the squares of those rounded logarithms (units of 2⁻³²), as `[high, low]`.
    pub sum_squared_logs: Wide,
    /// The smallest value; 0 if there is none.
    pub min: u64,
    /// The largest value; 0 if there is none.
    pub max: u64,
    /// The non-empty buckets as `[bucket, count]`, by rising bucket; see [`Distribution::bucket_of`].
    pub histogram: Vec<(u16, u64)>,
}

/// Buckets per power of two.
const SUB_BUCKETS: u64 = 8;
const SUB_BITS: u32 = 3;

impl Distribution {
    /// One more than the largest bucket there can be.
    pub const BUCKETS: u16 = 496;

    /// Adds one request's value.
    pub fn observe(&mut self, value: u64) {
        let log = Self::log_of(value);
        if self.n == 0 {
            self.min = value;
            self.max = value;
        } else {
            self.min = self.min.min(value);
            self.max = self.max.max(value);
        }
        self.n = self.n.saturating_add(1);
        self.sum = self.sum.saturating_add(value);
        let wide = u128::from(value);
        self.sum_squares = self.sum_squares.saturating_add(Wide(wide * wide));
        self.sum_logs = self.sum_logs.saturating_add(log);
        self.sum_squared_logs = self
            .sum_squared_logs
            .saturating_add(Wide(u128::from(log) * u128::from(log)));
        self.add_to_bucket(Self::bucket_of(value), 1);
    }

    /// Adds another distribution to this one.
    pub fn add(&mut self, other: &Self) {
        if other.n == 0 {
            return;
        }
        if self.n == 0 {
            *self = other.clone();
            return;
        }
        self.n = self.n.saturating_add(other.n);
        self.sum = self.sum.saturating_add(other.sum);
        self.sum_squares = self.sum_squares.saturating_add(other.sum_squares);
        self.sum_logs = self.sum_logs.saturating_add(other.sum_logs);
        self.sum_squared_logs = self.sum_squared_logs.saturating_add(other.sum_squared_logs);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.add_buckets(&other.histogram);
    }

    /// The arithmetic mean, or `None` without a value.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.n > 0).then(|| self.sum as f64 / self.n as f64)
    }

    /// The unbiased sample variance, or `None` with fewer than two values.
    #[must_use]
    pub fn variance(&self) -> Option<f64> {
        let mean = self.mean()?;
        if self.n < 2 {
            return None;
        }
        let n = self.n as f64;
        Some(((self.sum_squares.as_f64() - n * mean * mean) / (n - 1.0)).max(0.0))
    }

    /// The value under which `fraction` (0 to 1) of the requests lie, to within its bucket's
    /// width (an eighth of its lower edge at most); `None` without a value.
    #[must_use]
    pub fn quantile(&self, fraction: f64) -> Option<u64> {
        if self.n == 0 {
            return None;
        }
        let rank = (fraction.clamp(0.0, 1.0) * self.n as f64).ceil().max(1.0) as u64;
        let mut seen = 0_u64;
        for &(bucket, count) in &self.histogram {
            seen = seen.saturating_add(count);
            if seen >= rank {
                let (low, high) = Self::bucket_bounds(bucket);
                return Some((low + (high - low) / 2).clamp(self.min, self.max));
            }
        }
        Some(self.max)
    }

    /// log₂(value) in units of 2⁻¹⁶, rounded to the nearest; a value of 0 counts as 1.
    #[must_use]
    #[inline]
    pub fn log_of(value: u64) -> u64 {
        logarithm::log2(value)
    }

    /// The bucket of a value: values under 8 have a bucket each; above, every power of two is cut
    /// into 8 equal buckets. With e = ⌊log₂ v⌋ the bucket is 8·(e − 2) + (v >> (e − 3)) − 8.
    #[must_use]
    #[inline]
    pub fn bucket_of(value: u64) -> u16 {
        if value < SUB_BUCKETS {
            return value as u16;
        }
        let exponent = value.ilog2();
        let within = (value >> (exponent - SUB_BITS)) - SUB_BUCKETS;
        (SUB_BUCKETS * u64::from(exponent - SUB_BITS + 1) + within) as u16
    }

    /// The smallest and the largest value of a bucket.
    #[must_use]
    pub fn bucket_bounds(bucket: u16) -> (u64, u64) {
        let bucket = u64::from(bucket.min(Self::BUCKETS - 1));
        if bucket < SUB_BUCKETS {
            return (bucket, bucket);
        }
        let shift = bucket / SUB_BUCKETS - 1;
        let low = (SUB_BUCKETS + bucket % SUB_BUCKETS) << shift;
        (low, low + ((1_u64 << shift) - 1))
    }

    /// Both rise, so that one go through both is enough.
    fn add_buckets(&mut self, others: &[(u16, u64)]) {
        let mut sum = Vec::with_capacity(self.histogram.len() + others.len());
        let mut rest = others;
        for &(bucket, count) in &self.histogram {
            while let Some((&less, behind)) = rest.split_first()
                && less.0 < bucket
            {
                sum.push(less);
                rest = behind;
            }
            let mut count = count;
            if let Some((&(same, more), behind)) = rest.split_first()
                && same == bucket
            {
                count = count.saturating_add(more);
                rest = behind;
            }
            sum.push((bucket, count));
        }
        sum.extend_from_slice(rest);
        self.histogram = sum;
    }

    fn add_to_bucket(&mut self, bucket: u16, count: u64) {
        match self.histogram.binary_search_by_key(&bucket, |&(b, _)| b) {
            Ok(at) => self.histogram[at].1 = self.histogram[at].1.saturating_add(count),
            Err(at) => self.histogram.insert(at, (bucket, count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[u64]) -> Distribution {
        let mut distribution = Distribution::default();
        for &value in values {
            distribution.observe(value);
        }
        distribution
    }

    #[test]
    fn buckets_tile_the_integers_without_gap_or_overlap() {
        let mut next = 0_u64;
        for bucket in 0..Distribution::BUCKETS {
            let (low, high) = Distribution::bucket_bounds(bucket);
            assert_eq!(low, next, "bucket {bucket}");
            assert_eq!(Distribution::bucket_of(low), bucket);
            assert_eq!(Distribution::bucket_of(high), bucket);
            next = high.wrapping_add(1);
        }
        assert_eq!(next, 0, "the last bucket ends at the largest u64");
    }

    #[test]
    fn an_empty_distribution_has_no_mean() {
        assert_eq!(Distribution::default().mean(), None);
        assert_eq!(Distribution::default().quantile(0.5), None);
        assert_eq!(of(&[7]).variance(), None);
    }

    #[test]
    fn quantiles_are_within_their_bucket() {
        let distribution = of(&(1..=1000).collect::<Vec<_>>());
        let median = distribution.quantile(0.5).unwrap();
        assert!((450..=550).contains(&median), "{median}");
        assert_eq!(distribution.quantile(0.0), Some(1));
    }

    proptest! {
        #[test]
        fn adding_in_any_order_gives_the_same(
            values in proptest::collection::vec(any::<u64>(), 0..60),
            cut_a in 0_usize..60,
            cut_b in 0_usize..60,
        ) {
            let whole = of(&values);
            let (first, second) = (cut_a.min(cut_b).min(values.len()), cut_a.max(cut_b).min(values.len()));
            let (a, b, c) = (of(&values[..first]), of(&values[first..second]), of(&values[second..]));
            let mut left = a.clone();
            left.add(&b);
            left.add(&c);
            let mut right = c;
            right.add(&b);
            right.add(&a);
            prop_assert_eq!(&left, &whole);
            prop_assert_eq!(&right, &whole);
        }

        #[test]
        fn mean_and_variance_are_those_of_the_values(values in proptest::collection::vec(0_u64..10_000_000_000, 2..60)) {
            let n = values.len() as f64;
            let mean = values.iter().map(|&v| v as f64).sum::<f64>() / n;
            let variance = values.iter().map(|&v| (v as f64 - mean).powi(2)).sum::<f64>() / (n - 1.0);
            let distribution = of(&values);
            prop_assert!((distribution.mean().unwrap() - mean).abs() <= mean * 1e-9);
            prop_assert!((distribution.variance().unwrap() - variance).abs() <= variance * 1e-6 + mean * mean * 1e-9);
        }
    }
}
