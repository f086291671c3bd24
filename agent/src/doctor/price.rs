use std::hint::black_box;
use std::time::{Duration, Instant};

/// Long against the reading of the clock around it.
const ROUND: Duration = Duration::from_micros(200);
/// Whatever runs beside it only adds, so the quickest of many is the nearest to the truth.
const ROUNDS: usize = 25;

/// What one reading takes, ns: the quickest of some rounds of many readings.
pub(super) fn ns_per_read<T>(mut read: impl FnMut() -> T) -> f64 {
    let mut reads = 16_u32;
    let mut round = |reads: u32| {
        let start = Instant::now();
        for _ in 0..reads {
            black_box(read());
        }
        start.elapsed()
    };
    while round(reads) < ROUND && reads < 1 << 24 {
        reads *= 2;
    }
    let quickest = (0..ROUNDS).map(|_| round(reads)).min();
    quickest.unwrap_or_default().as_secs_f64() * 1e9 / f64::from(reads)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys;

    #[test]
    fn a_reading_costs_what_it_costs_and_twice_it_twice_that() {
        let one = ns_per_read(sys::thread_cpu_ns);
        assert!(one > 1.0, "{one} ns for a system call");
        let ten = ns_per_read(|| (0..10).map(|_| sys::thread_cpu_ns()).max());
        assert!((5.0..20.0).contains(&(ten / one)), "{one} ns, ten {ten} ns");
    }
}
