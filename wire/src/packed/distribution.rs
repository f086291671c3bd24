//! The distributions of a cell in few bytes, for whoever keeps many: a third of what their named fields take.
//!
//! Numbers are as long as they have to be. A bucket that is near the one before and holds few requests, as nearly all
//! do, is one byte.

use super::Broken;
use super::numbers::{put, put_wide, take, take_wide};
use crate::{Cell, DecodeError, Distribution, Wide};

/// Steps from one bucket to the next that are told in the byte of its count; beyond, what is beyond follows.
const NEAR: u64 = 7;
const NEAR_BITS: u32 = 3;

impl Cell {
    /// Writes the distributions, and how many requests were unfinished, behind what is there.
    pub fn pack_metrics(&self, into: &mut Vec<u8>) {
        let metrics = [
            &self.instructions,
            &self.cpu_ns,
            &self.wall_ns,
            &self.allocated_bytes,
        ];
        let there = (0_u32..)
            .zip(metrics)
            .map(|(bit, metric)| u64::from(metric.is_some()) << bit);
        put(into, there.sum());
        put(into, self.unfinished);
        for metric in metrics.into_iter().flatten() {
            pack(metric, into);
        }
    }

    /// Sets what [`Cell::pack_metrics`] wrote.
    ///
    /// # Errors
    /// If it is anything else.
    pub fn unpack_metrics(&mut self, packed: &[u8]) -> Result<(), DecodeError> {
        self.set_metrics(packed)
            .map_err(|error| DecodeError::Malformed {
                field: ".".into(),
                reason: error.to_string(),
            })
    }

    /// Sets of what [`Cell::pack_metrics`] wrote numbers, sums and sums of squares, of values and of their logarithms, of
    /// instructions and CPU time alone: all that a judge needs, in a fraction of the time.
    ///
    /// # Errors
    /// If it is anything else, as far as it is read.
    pub fn unpack_moments(&mut self, packed: &[u8]) -> Result<(), DecodeError> {
        self.set_moments(packed)
            .map_err(|error| DecodeError::Malformed {
                field: ".".into(),
                reason: error.to_string(),
            })
    }

    fn set_moments(&mut self, mut packed: &[u8]) -> Result<(), Broken> {
        let rest = &mut packed;
        let there = take(rest)?;
        self.unfinished = take(rest)?;
        if there & 1 == 1 {
            self.instructions = Some(moments(unpack_sums(rest)?));
            if there & 2 == 2 {
                skip_histogram(rest)?;
            }
        }
        if there & 2 == 2 {
            self.cpu_ns = Some(moments(unpack_sums(rest)?));
        }
        Ok(())
    }

    fn set_metrics(&mut self, mut packed: &[u8]) -> Result<(), Broken> {
        let rest = &mut packed;
        let there = take(rest)?;
        self.unfinished = take(rest)?;
        let metrics = [
            &mut self.instructions,
            &mut self.cpu_ns,
            &mut self.wall_ns,
            &mut self.allocated_bytes,
        ];
        for (bit, metric) in (0_u32..).zip(metrics) {
            *metric = if there >> bit & 1 == 1 {
                Some(unpack(rest)?)
            } else {
                None
            };
        }
        // Metrics of later versions follow.
        Ok(())
    }
}

fn pack(distribution: &Distribution, into: &mut Vec<u8>) {
    put(into, distribution.n);
    put(into, distribution.sum);
    put_wide(into, distribution.sum_squares.0);
    put(into, distribution.sum_logs);
    put_wide(into, distribution.sum_squared_logs.0);
    put(into, distribution.min);
    put(into, distribution.max);
    put(into, distribution.histogram.len() as u64);
    let mut next = 0;
    for &(bucket, count) in &distribution.histogram {
        let step = u64::from(bucket).saturating_sub(next);
        let near = step.min(NEAR);
        put_wide(into, u128::from(count) << NEAR_BITS | u128::from(near));
        if near == NEAR {
            put(into, step - NEAR);
        }
        next = u64::from(bucket) + 1;
    }
}

/// All but the histogram, which follows.
fn unpack_sums(rest: &mut &[u8]) -> Result<Distribution, Broken> {
    Ok(Distribution {
        n: take(rest)?,
        sum: take(rest)?,
        sum_squares: Wide(take_wide(rest)?),
        sum_logs: take(rest)?,
        sum_squared_logs: Wide(take_wide(rest)?),
        min: take(rest)?,
        max: take(rest)?,
        histogram: Vec::new(),
    })
}

fn moments(all: Distribution) -> Distribution {
    Distribution {
        n: all.n,
        sum: all.sum,
        sum_squares: all.sum_squares,
        sum_logs: all.sum_logs,
        sum_squared_logs: all.sum_squared_logs,
        ..Distribution::default()
    }
}

fn take_buckets(rest: &mut &[u8]) -> Result<u64, Broken> {
    let buckets = take(rest)?;
    if buckets > u64::from(Distribution::BUCKETS) {
        return Err(Broken::TooMany);
    }
    Ok(buckets)
}

fn skip_histogram(rest: &mut &[u8]) -> Result<(), Broken> {
    for _ in 0..take_buckets(rest)? {
        if take_wide(rest)? as u64 & NEAR == NEAR {
            take(rest)?;
        }
    }
    Ok(())
}

fn unpack(rest: &mut &[u8]) -> Result<Distribution, Broken> {
    let mut read = unpack_sums(rest)?;
    let buckets = take_buckets(rest)?;
    read.histogram.reserve_exact(buckets as usize);
    let mut next = 0_u64;
    for _ in 0..buckets {
        let value = take_wide(rest)?;
        let count = u64::try_from(value >> NEAR_BITS).map_err(|_| Broken::TooLong)?;
        let mut step = value as u64 & NEAR;
        if step == NEAR {
            step = step.saturating_add(take(rest)?);
        }
        let bucket = next.saturating_add(step);
        if bucket >= u64::from(Distribution::BUCKETS) {
            return Err(Broken::NoValue);
        }
        read.histogram.push((bucket as u16, count));
        next = bucket + 1;
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Age, CellKey, InstructionSource, Kind};

    fn empty() -> Cell {
        Cell::new(CellKey {
            start_us: 0,
            width_us: 1,
            kind: Kind::Request,
            endpoint: String::new(),
            instruction_source: InstructionSource::None,
            age: Age::Warm,
            flag: None,
        })
    }

    fn any_distribution() -> impl Strategy<Value = Distribution> {
        let values = prop_oneof![0..20_u64, 1_000_000..3_000_000_u64, any::<u64>()];
        let counts = prop_oneof![0..3_u64, any::<u64>()];
        proptest::collection::vec((values, counts), 0..40).prop_map(|values| {
            let mut distribution = Distribution::default();
            for (value, count) in values {
                distribution.observe(value);
                let last = distribution.histogram.len() - 1;
                distribution.histogram[last].1 = count;
            }
            distribution
        })
    }

    fn any_cell() -> impl Strategy<Value = Cell> {
        let metric = || proptest::option::of(any_distribution());
        let metrics = (metric(), metric(), metric(), metric());
        (metrics, any::<u64>()).prop_map(|(metrics, unfinished)| {
            let (instructions, cpu_ns, wall_ns, allocated_bytes) = metrics;
            Cell {
                instructions,
                cpu_ns,
                wall_ns,
                allocated_bytes,
                unfinished,
                ..empty()
            }
        })
    }

    fn packed(cell: &Cell) -> Vec<u8> {
        let mut bytes = Vec::new();
        cell.pack_metrics(&mut bytes);
        bytes
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn what_is_packed_comes_back_and_what_is_cut_is_refused(cell in any_cell()) {
            let bytes = packed(&cell);
            let mut read = empty();
            read.unpack_metrics(&bytes).unwrap();
            prop_assert_eq!(&read, &cell);
            let mut few = empty();
            few.unpack_moments(&bytes).unwrap();
            let only = Cell {
                instructions: cell.instructions.map(moments),
                cpu_ns: cell.cpu_ns.map(moments),
                unfinished: cell.unfinished,
                ..empty()
            };
            prop_assert_eq!(few, only);
            for cut in 0..bytes.len() {
                prop_assert!(empty().unpack_metrics(&bytes[..cut]).is_err());
            }
        }

        #[test]
        fn anything_else_does_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut read = empty();
            let _ = read.unpack_moments(&bytes);
            if read.unpack_metrics(&bytes).is_ok() && let Some(cpu_ns) = read.cpu_ns {
                prop_assert!(cpu_ns.histogram.len() <= usize::from(Distribution::BUCKETS));
            }
        }
    }

    #[test]
    fn a_minute_of_a_request_a_second_is_short() {
        let mut cell = empty();
        let cpu_ns = cell.cpu_ns.get_or_insert_default();
        (0..60).for_each(|at| cpu_ns.observe(1_000_000 + at * 50_000));
        let bytes = packed(&cell).len();
        assert!(bytes < 65, "{bytes}");
    }
}
